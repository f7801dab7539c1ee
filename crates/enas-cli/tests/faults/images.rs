//! Images that vanish: between a run and its resumption, and while it works.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use enas_testing::images::write_digits;
use enas_testing::kills::{self, KillCounts};

use crate::job::{Job, RUN, enas, fail, has_a_checkpoint, refused, succeed, temp};
use crate::results::Results;

/// A search on images in the same parent folder.
fn job(epochs: u64) -> Job {
    let small = ["--data", "photos", "--set", "data.image_size=8", "--set", "run.batch_size=32"];
    Job::search().with(&small).with(&["--set", &format!("run.epochs={epochs}")])
}

/// What it comes to.
fn undisturbed(job: &Job) -> Results {
    let folder = temp();
    write_digits(&folder.path().join("photos"), 150);
    job.finish(folder.path(), "undisturbed")
}

/// Does `attempt` with searches of more and more epochs, until it says that one was long enough.
fn long_enough(attempt: impl Fn(&Job) -> bool) {
    let found = [2, 8, 32, 128].map(job).iter().any(attempt);
    assert!(found, "all searches ended before anything could happen to their images");
}

#[test]
fn images_that_are_gone_are_named_and_the_run_goes_on_once_they_are_back() {
    long_enough(|job| {
        let mut tally = KillCounts::new("searches whose images were gone");
        let folder = temp();
        let photos = folder.path().join("photos");
        let elsewhere = folder.path().join("elsewhere");
        let images = write_digits(&photos, 150);
        let end = kills::when(&mut job.start(folder.path()), || has_a_checkpoint(folder.path()));
        if !tally.hit(end) {
            return false;
        }
        fs::rename(&photos, &elsewhere).unwrap();
        fail(&mut job.go_on(folder.path()), 1, &["photos", "no such file or folder"]);
        fs::rename(&elsewhere, &photos).unwrap();

        fs::rename(&images[0], &elsewhere).unwrap();
        let name = images[0].file_name().unwrap().to_str().unwrap();
        let code = refused(&mut job.go_on(folder.path()), &["photos", name]);
        assert!(code == 1 || code == 2, "{code}");
        fs::rename(&elsewhere, &images[0]).unwrap();

        let reached = job.finish(folder.path(), "the images are back");
        tally.bytes += undisturbed(job).assert_same(&reached, "the images are back");
        true
    });
}

#[test]
fn images_that_vanish_while_a_run_works_are_in_its_memory() {
    long_enough(|job| {
        let mut tally = KillCounts::new("searches whose images vanished at work");
        let folder = temp();
        let photos = folder.path().join("photos");
        write_digits(&photos, 150);
        let mut command = job.start(folder.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while !has_a_checkpoint(folder.path()) {
            assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint");
            std::thread::yield_now();
        }
        fs::remove_dir_all(&photos).unwrap();
        let was_at_work = child.try_wait().unwrap().is_none();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let reached = Results::of(&folder.path().join(RUN));
        tally.bytes += undisturbed(job).assert_same(&reached, "the images vanished at work");
        was_at_work
    });
}

#[test]
fn a_report_says_what_it_lacks_when_the_images_are_gone() {
    let job = Job::train().with(&["--data", "photos", "--set", "data.image_size=8"]);
    let job = job.with(&["--set", "run.batch_size=32", "--set", "run.epochs=1"]);
    let folder = temp();
    write_digits(&folder.path().join("photos"), 150);
    succeed(&mut job.start(folder.path()), "training");
    fs::remove_dir_all(folder.path().join("photos")).unwrap();
    succeed(enas(folder.path()).args(["report", "--run", RUN]), "report");
    let report = fs::read_to_string(folder.path().join(RUN).join("report.html")).unwrap();
    assert!(report.contains("The images of the run cannot be loaded"), "the report does not say so");
}
