//! Odd surroundings: no environment, odd names of folders, another working directory, a strict umask.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use enas_testing::images::write_digits;
use enas_testing::kills::KillCounts;

use crate::job::{Job, RUN, Whole, enas, fail, succeed, temp};
use crate::results::Results;

#[test]
fn an_empty_environment_is_enough() {
    let job = Job::search();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new("a search without HOME and PATH");
    let folder = temp();
    succeed(job.start(folder.path()).env_clear(), "no environment");
    whole.assert_reached(&job, folder.path(), "no environment", &mut tally);
}

#[test]
fn a_strict_umask_keeps_a_run_private_and_whole() {
    let job = Job::train();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new("a training under umask 077");
    let folder = temp();
    let start = job.start(folder.path());
    let mut shell = Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", "umask 077; exec \"$@\"", "sh"]);
    succeed(shell.arg(start.get_program()).args(start.get_args()), "umask 077");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let run = folder.path().join(RUN);
    assert_eq!((mode(&run), mode(&run.join("model.safetensors"))), (0o700, 0o600));
    whole.assert_reached(&job, folder.path(), "umask 077", &mut tally);
}

#[test]
fn names_with_spaces_quotes_and_other_letters_are_names() {
    let name = "my \"best\" run's données, $HOME & *";
    let folder = temp();
    write_digits(&folder.path().join(name).join("photos"), 150);
    let data = format!("{name}/photos");
    let small = ["--set", "data.image_size=8", "--set", "run.batch_size=32", "--set", "run.epochs=1"];
    let job = Job::train().with(&["--data", &data]).with(&small);
    let undisturbed = job.finish(folder.path(), "undisturbed");

    // The same run in a folder of that name, from within another one.
    let elsewhere = folder.path().join(name).join("deeper");
    fs::create_dir(&elsewhere).unwrap();
    let there = folder.path().join(name);
    let mut command = job.start(&elsewhere);
    let arguments: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    let moved = arguments.iter().map(|argument| match argument.to_str() {
        Some(RUN) => "../run",
        Some(path) if path == data => "../photos",
        other => other.unwrap(),
    });
    command = enas(&elsewhere);
    succeed(command.args(moved), "a relative path");
    let reached = Results::of(&there.join(RUN));
    let weights = |results: &Results| results.get("checkpoints").to_owned();
    assert!(weights(&reached) == weights(&undisturbed), "the path is in the weights");
    succeed(enas(&elsewhere).args(["train", "--resume", "../run"]), "a relative path");
    if cfg!(feature = "export") {
        succeed(enas(&there).args(["export", "--model", "run/model.safetensors"]), "export");
        assert!(there.join("run/model.onnx").is_file());
    }
    succeed(enas(&elsewhere).args(["report", "--run", "../run"]), "report");
    assert!(there.join("run/report.html").is_file());
}

#[test]
fn names_that_are_no_text_work_or_are_refused_in_words() {
    let folder = temp();
    let name = OsStr::from_bytes(b"caf\xe9");
    let odd = folder.path().join(name);
    write_digits(&odd.join("photos"), 150);
    let small = ["--set", "data.image_size=8", "--set", "run.batch_size=32", "--set", "run.epochs=1"];

    // A run in a folder of such a name is a run like any other.
    let job = Job::train().with(&["--data", "photos"]).with(&small);
    job.finish(&odd, "a working directory that is no text");
    // So is one that is named by the way to it.
    let run = odd.join(RUN);
    succeed(enas(folder.path()).arg("report").arg("--run").arg(&run), "report");
    let out = odd.join("second");
    let train = ["train", "--json", "--arc", enas_testing::program::TINY_ARC];
    succeed(
        enas(folder.path()).args(train).args(enas_testing::program::TINY).args(small).arg("--out").arg(&out),
        "out",
    );

    // A search there can be trained from, though the training can only show where it was.
    let deeper = odd.join("deeper");
    fs::create_dir(&deeper).unwrap();
    Job::search().with(&["--data", "../photos"]).with(&small).finish(&deeper, "a search");
    let mut train = enas(&deeper);
    train.args(["train", "--out", "../after"]).args(enas_testing::program::TINY).args(small).arg("--run");
    succeed(train.arg(deeper.join(RUN)), "training after a search");
    let manifest = fs::read_to_string(odd.join("after/manifest.json")).unwrap();
    assert!(manifest.contains("caf\u{fffd}/deeper/run"), "{manifest}");

    // Images there cannot be named in the settings of a run, which are text.
    let mut command = enas(folder.path());
    command.args(["train", "--arc", enas_testing::program::TINY_ARC, "--out", "third", "--data"]);
    fail(command.arg(odd.join("photos")), 2, &["photos", "UTF-8"]);
    assert!(!folder.path().join("third").exists());
}

#[test]
fn classes_whose_names_are_no_text_are_refused_in_words() {
    let folder = temp();
    let photos = folder.path().join("photos");
    write_digits(&photos, 150);
    for (class, odd) in [("1", b"caf\xe9"), ("2", b"caf\xe8")] {
        fs::rename(photos.join(class), photos.join(OsStr::from_bytes(odd))).unwrap();
    }
    // Shown alike, they would be taken for one class.
    let job = Job::train().with(&["--data", "photos", "--set", "data.image_size=8"]);
    fail(&mut job.start(folder.path()), 1, &["caf", "UTF-8"]);
}
