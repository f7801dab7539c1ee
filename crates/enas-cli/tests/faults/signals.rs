//! SIGINT and SIGTERM at random moments: saved, 130 or 143, and the bytes of an undisturbed run after `--resume`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use enas_testing::kills::{self, KillCounts};
use enas_testing::program::text;
use enas_testing::signals::send;

use crate::job::{Job, RUN, Whole, has_a_checkpoint, temp};

/// A signal by its name for `kill`, its number, and the exit code of a run that it stopped.
const SIGNALS: [(&str, i32, i32); 2] = [("-INT", 2, 130), ("-TERM", 15, 143)];

#[test]
fn searches_stopped_at_random_moments_save_and_end_alike() {
    stopped("searches stopped by signals", &Job::search(), 6);
}

#[test]
fn trainings_stopped_at_random_moments_save_and_end_alike() {
    stopped("trainings stopped by signals", &Job::train(), 6);
}

#[test]
fn a_second_signal_loses_nothing_either() {
    let story = "searches stopped by two signals";
    let job = Job::search();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new(story);
    for (signal, _, code) in SIGNALS {
        let folder = temp();
        let child = start(&job, folder.path());
        wait_for(&folder.path().join(RUN).join("metrics.jsonl"));
        send(signal, &child);
        send(signal, &child);
        let (status, stderr) = end(child);
        assert_eq!(status.code(), Some(code), "{signal}: {stderr}");
        tally.stops += 1;
        whole.assert_reached(&job, folder.path(), &tally.case(signal), &mut tally);
    }
}

#[test]
fn a_second_signal_ends_a_run_in_the_middle_of_a_step() {
    // A step of so large a network takes seconds, and the first signal waits for its end.
    let job = Job::search().with(&["--set", "child.filters=128", "--set", "run.batch_size=512"]);
    for (signal, _, code) in SIGNALS {
        let folder = temp();
        let mut child = start(&job, folder.path());
        wait_for(&folder.path().join(RUN).join("events.out.tfevents.0000000001.enas"));
        send(signal, &child);
        thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "{signal}: the first signal did not wait for the step");
        let sent = Instant::now();
        send(signal, &child);
        let (status, stderr) = end(child);
        assert_eq!(status.code(), Some(code), "{signal}: {stderr}");
        assert!(sent.elapsed() < Duration::from_secs(2), "{signal}: {:?}", sent.elapsed());
    }
}

/// Stops `n` runs, each at a moment of its own.
fn stopped(story: &'static str, job: &Job, n: usize) {
    let whole = Whole::of(job);
    let mut tally = KillCounts::new(story);
    for (i, share) in kills::moments(story, n).into_iter().enumerate() {
        let mut delay = whole.time.mul_f64(share);
        loop {
            let folder = temp();
            let signal = SIGNALS[i % SIGNALS.len()];
            let caught = stop(job, folder.path(), signal, delay);
            let case = tally.case(&format!("{} after {delay:?} of {:?}: {caught:?}", signal.0, whole.time));
            whole.assert_reached(job, folder.path(), &case, &mut tally);
            match caught {
                Caught::AtWork => break,
                Caught::TooEarly => delay = delay.mul_f64(1.2) + Duration::from_millis(1),
                Caught::TooLate => delay = delay.mul_f64(0.8),
            }
            tally.late += 1;
            assert!(tally.late < 10 * n, "{case}: the run cannot be caught at work");
        }
        tally.stops += 1;
    }
}

/// Where a signal found a run.
#[derive(Clone, Copy, Debug)]
enum Caught {
    /// The program had not begun to listen.
    TooEarly,
    /// It stopped, and saved.
    AtWork,
    /// Only the report was still to be written.
    TooLate,
}

/// Starts a run, sends a signal after `delay`, and checks that what follows is one of the three things that may.
fn stop(job: &Job, folder: &Path, signal: (&str, i32, i32), delay: Duration) -> Caught {
    let (name, number, code) = signal;
    let child = start(job, folder);
    thread::sleep(delay);
    send(name, &child);
    let (status, stderr) = end(child);
    match (status.code(), status.signal()) {
        (Some(found), None) if found == code => {
            assert!(stderr.contains(&format!("go on with: enas {} --resume {RUN}", job.verb)), "{stderr}");
            assert!(has_a_checkpoint(folder), "nothing was saved: {stderr}");
            Caught::AtWork
        }
        (Some(0), None) => Caught::TooLate,
        (None, Some(found)) if found == number => {
            assert!(!folder.join(RUN).exists(), "it had begun: {stderr}");
            Caught::TooEarly
        }
        _ => panic!("{name} after {delay:?}: {status}: {stderr}"),
    }
}

fn start(job: &Job, folder: &Path) -> Child {
    job.start(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> (ExitStatus, String) {
    let output = child.wait_with_output().unwrap();
    (output.status, text(&output.stderr))
}

/// Waits until a file is there.
fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no {}", path.display());
        thread::sleep(Duration::from_millis(2));
    }
}
