//! SIGKILL on automatic runs: finished phases are kept, and the interrupted one is resumed.

use std::thread;
use std::time::Duration;

use enas_testing::kills::{self, KillCounts};

use crate::job::{Job, RUN, Whole, temp};

#[test]
fn automatic_runs_killed_at_random_moments_end_alike() {
    let story = "automatic runs killed at random";
    let job = Job::auto();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new(story);
    for share in kills::moments(story, 5) {
        let folder = temp();
        // Twice each: the second kill is in what the first left to do.
        for share in [share, 0.3 * share] {
            tally.hit(kills::after(&mut job.go_on(folder.path()), whole.time.mul_f64(share)));
        }
        let case = tally.case(&format!("at {share:.2} of {:?}, and once more", whole.time));
        whole.assert_reached(&job, folder.path(), &case, &mut tally);
    }
    assert!(tally.kills >= 5, "too few kills hit: {tally:?}");
}

#[test]
fn automatic_runs_killed_where_phases_begin_end_alike() {
    let story = "automatic runs killed where phases begin";
    let job = Job::auto();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new(story);
    let mut chance = kills::chance(story);
    for phase in ["first", "search", "train"] {
        for _ in 0..2 {
            let pause = Duration::from_micros(chance.below(3000) as u64);
            let folder = loop {
                let folder = temp();
                let begun = folder.path().join(RUN).join(phase);
                let end = kills::when(&mut job.start(folder.path()), || {
                    let found = begun.exists();
                    if found {
                        thread::sleep(pause);
                    }
                    found
                });
                if tally.hit(end) {
                    break folder;
                }
                assert!(tally.late < 20, "{tally:?}: the phases are too short to be hit");
            };
            let case = tally.case(&format!("{pause:?} into {phase}"));
            whole.assert_reached(&job, folder.path(), &case, &mut tally);
        }
    }
    assert_eq!(tally.kills, 6);
}
