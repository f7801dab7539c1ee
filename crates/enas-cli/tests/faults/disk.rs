//! A disk that is full, and one that cannot be written: one message that names the file, and once there is space the
//! bytes of an undisturbed run.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use enas_testing::kills::{self, KillCounts};
use enas_testing::namespace::{self, Disk};
use enas_testing::program::text;

use crate::job::{Job, RUN, Whole, enas, fail, succeed, temp};

/// What the system says.
const FULL: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

/// Enough for any run here.
const ROOMY: &str = "size=64m";

#[test]
fn searches_go_on_after_the_disk_was_full() {
    if namespace::is_own("disk::searches_go_on_after_the_disk_was_full") {
        full("searches on full disks", &Job::search());
    }
}

#[test]
fn trainings_go_on_after_the_disk_was_full() {
    if namespace::is_own("disk::trainings_go_on_after_the_disk_was_full") {
        full("trainings on full disks", &Job::train());
    }
}

#[test]
fn automatic_runs_go_on_after_the_disk_was_full() {
    if namespace::is_own("disk::automatic_runs_go_on_after_the_disk_was_full") {
        full("automatic runs on full disks", &Job::auto());
    }
}

/// Runs into disks of more and more space, until one suffices.
fn full(story: &'static str, job: &Job) {
    let whole = Whole::of(job);
    let needed = size_of(&whole.run());
    let mut tally = KillCounts::new(story);
    let mut stopped = 0;
    // Disks are filled by pages of 4 KiB.
    for eighth in 0..10 {
        let folder = temp();
        let space = (needed * eighth / 8).next_multiple_of(4096).max(4096);
        let disk = Disk::on(folder.path(), space);
        let output = job.start(folder.path()).output().unwrap();
        let case = format!("{story}: {space} bytes of {needed}");
        stopped += usize::from(stopped_by(&output, FULL, &case));
        disk.remount(ROOMY);
        whole.assert_reached(job, folder.path(), &case, &mut tally);
    }
    assert!(stopped >= 5, "{story}: only {stopped} disks were full");
}

/// Whether a run was stopped by a disk. It must say so once and name the file; only a report, which comes after the
/// work, may be missing from a run that succeeds.
fn stopped_by(output: &Output, problem: &str, case: &str) -> bool {
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("panicked"), "{case}: {stderr}");
    if output.status.success() {
        return false;
    }
    assert_eq!(output.status.code(), Some(1), "{case}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(
        errors.len() == 1 && errors[0].contains(problem) && errors[0].contains(&format!(" {RUN}")),
        "{case}: the message should name file and reason: {stderr}"
    );
    true
}

/// Bytes in a folder, by whole pages.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let size = |path: &Path| fs::metadata(path).unwrap().len().next_multiple_of(4096);
    entries.map(|path| if path.is_dir() { size_of(&path) } else { size(&path) }).sum()
}

#[test]
fn full_and_read_only_disks_leave_whole_files() {
    if !namespace::is_own("disk::full_and_read_only_disks_leave_whole_files") {
        return;
    }
    let whole = Whole::of(&Job::train());
    let folder = temp();
    let disk = Disk::on(folder.path(), 1 << 20);
    succeed(Command::new("cp").arg("-r").arg(whole.run()).arg(folder.path()), "copy");
    let mut commands = vec![(vec!["report", "--run", RUN], "run/report.html")];
    if cfg!(feature = "export") {
        let export = vec!["export", "--model", "run/model.safetensors", "--out", "run/m.onnx", "--force"];
        commands.push((export, "run/m.onnx"));
    }
    for (arguments, file) in commands {
        let path = folder.path().join(file);
        fs::write(&path, "old").unwrap();
        let filler = fill(folder.path());
        fail(enas(folder.path()).args(&arguments), 1, &[file, FULL]);
        assert_eq!(fs::read(&path).unwrap(), b"old", "{file}");
        assert!(!kills::is_being_written(&folder.path().join(RUN)), "{file}: a .part was left behind");
        fs::remove_file(filler).unwrap();

        disk.remount("ro");
        fail(enas(folder.path()).args(&arguments), 1, &[file, READ_ONLY]);
        disk.remount("rw");
        succeed(enas(folder.path()).args(&arguments), file);
        assert!(fs::metadata(&path).unwrap().len() > 3, "{file}");
    }
}

/// Takes all space.
fn fill(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("filler");
    let mut file = File::create(&path).unwrap();
    std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    path
}

#[test]
fn a_read_only_disk_is_said_and_the_run_goes_on_later() {
    if !namespace::is_own("disk::a_read_only_disk_is_said_and_the_run_goes_on_later") {
        return;
    }
    let mut tally = KillCounts::new("runs on read-only disks");
    for job in [Job::search(), Job::train()] {
        let whole = Whole::of(&job);
        let folder = temp();
        let disk = Disk::on(folder.path(), 64 << 20);

        disk.remount("ro");
        fail(&mut job.start(folder.path()), 1, &[RUN, READ_ONLY]);
        disk.remount("rw");
        kills::after(&mut job.start(folder.path()), whole.time.mul_f64(0.6));
        disk.remount("ro");
        fail(&mut job.go_on(folder.path()), 1, &[RUN, READ_ONLY]);
        disk.remount("rw");
        whole.assert_reached(&job, folder.path(), job.verb, &mut tally);
    }
}

#[test]
fn results_that_cannot_be_printed_are_an_error_and_messages_that_cannot_be_are_none() {
    let folder = temp();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let output = enas(folder.path()).args(["arc", "random"]).stdout(full()).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stdout") && stderr.contains(FULL) && !stderr.contains("panicked"), "{stderr}");

    let job = Job::search();
    let mut tally = KillCounts::new("a search whose messages nobody can write");
    let whole = Whole::of(&job);
    let status = job.start(folder.path()).arg("-vv").stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert!(status.success(), "{status}");
    whole.assert_reached(&job, folder.path(), "stderr on a full disk", &mut tally);
}
