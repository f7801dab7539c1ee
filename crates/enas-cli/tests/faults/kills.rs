//! SIGKILL on searches and trainings, then `--resume` to the end: the bytes of an undisturbed run.

use std::path::Path;
use std::time::Duration;

use enas_testing::kills::{self, KillCounts};

use crate::job::{Job, RUN, Whole, temp};

#[test]
fn searches_killed_at_random_moments_end_alike() {
    at_random("searches killed at random", &Job::search(), 12);
}

#[test]
fn trainings_killed_at_random_moments_end_alike() {
    at_random("trainings killed at random", &Job::train(), 12);
}

#[test]
fn searches_killed_again_and_again_end_alike() {
    again_and_again("searches killed again and again", &Job::search(), 8);
}

#[test]
fn searches_by_evolution_killed_again_and_again_end_alike() {
    let job = Job::search().with(&["--strategy", "evolution", "--set", "strategy.population=4"]);
    again_and_again("searches by evolution killed again and again", &job, 6);
}

#[test]
fn trainings_killed_again_and_again_end_alike() {
    again_and_again("trainings killed again and again", &Job::train(), 8);
}

#[test]
fn searches_killed_while_a_checkpoint_is_written_end_alike() {
    inside_checkpoints("searches killed inside a checkpoint", &Job::search(), 5);
}

#[test]
fn trainings_killed_while_a_checkpoint_is_written_end_alike() {
    inside_checkpoints("trainings killed inside a checkpoint", &Job::train(), 5);
}

#[test]
fn trainings_killed_while_the_model_is_written_end_alike() {
    let being_written = |run: &Path| run.join("model.safetensors.part").exists();
    inside("trainings killed inside the model", &Job::train(), 4, being_written);
}

#[test]
fn runs_killed_while_their_folder_is_made_can_be_started_again() {
    let being_written = kills::is_being_written;
    inside("searches killed while their folder is made", &Job::search(), 4, being_written);
}

/// Kills `n` runs, each at a moment of its own, all moments spread over the length of a run.
fn at_random(story: &'static str, job: &Job, n: usize) {
    let whole = Whole::of(job);
    let mut tally = KillCounts::new(story);
    for share in kills::moments(story, n) {
        let mut folder = temp();
        let mut delay = whole.time.mul_f64(share);
        while !tally.hit(kills::after(&mut job.start(folder.path()), delay)) {
            // Runs take longer and shorter; what came after the end of one is no kill.
            delay = delay.mul_f64(0.8);
            folder = temp();
        }
        let case = tally.case(&format!("after {delay:?} of {:?}", whole.time));
        whole.assert_reached(job, folder.path(), &case, &mut tally);
    }
    assert_eq!(tally.kills, n);
}

/// Kills the same run over and over before it may end; `n` kills in all, over as many runs as it takes.
fn again_and_again(story: &'static str, job: &Job, n: usize) {
    let whole = Whole::of(job);
    let mut tally = KillCounts::new(story);
    let mut chance = kills::chance(story);
    while tally.kills < n {
        let folder = temp();
        let mut of_this_run = 0;
        loop {
            let delay = whole.time.mul_f64(f64::from(chance.range(0.1, 0.5)));
            if tally.kills == n || !tally.hit(kills::after(&mut job.go_on(folder.path()), delay)) {
                break;
            }
            of_this_run += 1;
        }
        let case = tally.case(&format!("the last of {of_this_run} in a row"));
        whole.assert_reached(job, folder.path(), &case, &mut tally);
    }
}

/// Kills `n` runs, each while it writes a checkpoint; which one, chance decides.
fn inside_checkpoints(story: &'static str, job: &Job, n: usize) {
    let whole = Whole::of(job);
    let mut tally = KillCounts::new(story);
    let mut chance = kills::chance(story);
    while tally.kills < n {
        let folder = temp();
        let checkpoints = folder.path().join(RUN).join("checkpoints");
        let wanted = 1 + chance.below(whole.checkpoints());
        let mut seen = 0;
        let mut last = None;
        let end = kills::when(&mut job.start(folder.path()), || {
            let part = kills::parts(&checkpoints).next();
            if part.is_some() && part != last {
                seen += 1;
                last = part;
            }
            seen == wanted
        });
        let case = tally.case(&format!("in checkpoint {wanted}"));
        if kills::is_being_written(&checkpoints) {
            tally.hit(end);
        } else {
            // Between seeing the file and the kill the file was finished.
            tally.late += 1;
        }
        assert!(tally.late < 20 * n, "{case}: checkpoints are written too fast to be hit");
        whole.assert_reached(job, folder.path(), &case, &mut tally);
    }
}

/// Kills `n` runs in the moment in which `now` holds for their folder, and still holds after the kill.
fn inside(story: &'static str, job: &Job, n: usize, now: impl Fn(&Path) -> bool) {
    let whole = Whole::of(job);
    let mut tally = KillCounts::new(story);
    let mut chance = kills::chance(story);
    while tally.kills < n {
        let folder = temp();
        let run = folder.path().join(RUN);
        // Into the writing, but not beyond it where it is quick.
        let pause = Duration::from_micros(chance.below(1 + (300 >> tally.late.min(8))) as u64);
        let end = kills::when(&mut job.start(folder.path()), || {
            let found = now(&run);
            if found {
                std::thread::sleep(pause);
            }
            found
        });
        let case = tally.case(&format!("{pause:?} into the writing"));
        if now(&run) {
            tally.hit(end);
        } else {
            tally.late += 1;
        }
        assert!(tally.late < 20 * n, "{case}: written too fast to be hit");
        whole.assert_reached(job, folder.path(), &case, &mut tally);
    }
}
