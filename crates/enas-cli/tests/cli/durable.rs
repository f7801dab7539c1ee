//! What stands in the way of going on with a run, and what does not.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, json, refused, run, start, temp, text};
use enas_testing::signals::{send, wait_for_text};

/// Settings of a tiny training on images of one's own.
const SMALL: [&str; 8] = [
    "--set",
    "data.image_size=8",
    "--set",
    "data.channels=1",
    "--set",
    "child.aux_head=off",
    "--set",
    "run.batch_size=32",
];

#[test]
fn a_second_process_is_turned_away_and_a_killed_one_locks_nobody_out() {
    let folder = temp();
    let folder = folder.path();
    let args =
        [&["search", "--epochs", "1000", "--out", "r", "--set", "run.log_every=1"], &TINY[..], &TINY_SEARCH];
    let mut first = start(folder, &args.concat());
    wait_for_text(&folder.join("r/metrics.jsonl"), "\"step\"");
    let by = format!("r: in use by process {} on ", first.id());
    refused(folder, &["search", "--resume", "r"], 2, &by);
    refused(
        folder,
        &[&["search", "--out", "r"], &TINY[..], &TINY_SEARCH].concat(),
        2,
        "this run exists already",
    );
    assert_eq!(run(folder, &["report", "--run", "r"]).status.code(), Some(0), "reading needs no lock");
    assert!(first.try_wait().unwrap().is_none(), "the first one was disturbed");
    send("-KILL", &first);
    first.wait().unwrap();

    let second = start(folder, &["search", "--resume", "r"]);
    wait_for_text(&folder.join("r/run.lock"), &format!("process {} on ", second.id()));
    send("-TERM", &second);
    assert_eq!(second.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn two_automatic_runs_do_not_share_a_folder() {
    let folder = temp();
    let folder = folder.path();
    let args = [&["auto", "--out", "a", "--set", "run.epochs=1000"], &TINY[..], &TINY_SEARCH].concat();
    let mut first = start(folder, &args);
    wait_for_text(&folder.join("a/auto.json"), "{");
    refused(folder, &["auto", "--resume", "a"], 2, &format!("a: in use by process {} on ", first.id()));
    send("-KILL", &first);
    first.wait().unwrap();
}

/// A training on images of its own that is complete.
fn trained_on_photos(folder: &Path) {
    write_digits(&folder.join("photos"), 120);
    let train = ["train", "--arc", TINY_ARC, "--data", "photos", "--epochs", "1", "--out", "r"];
    json(folder, &[&train[..], &TINY, &SMALL].concat());
}

#[test]
fn images_that_changed_are_refused_by_name() {
    let folder = temp();
    let folder = folder.path();
    trained_on_photos(folder);
    let mut images: Vec<_> =
        fs::read_dir(folder.join("photos/3")).unwrap().map(|e| e.unwrap().path()).collect();
    images.sort();
    let name = |i: usize| format!("3/{}", images[i].file_name().unwrap().to_str().unwrap());

    fs::copy(&images[0], folder.join("photos/3/more.png")).unwrap();
    refused(
        folder,
        &["train", "--resume", "r"],
        2,
        "the run was started with: 1 added\n  added    3/more.png\n",
    );
    fs::remove_file(folder.join("photos/3/more.png")).unwrap();

    fs::copy(&images[1], &images[0]).unwrap();
    let changed = format!(": 1 changed\n  changed  {}\nrestore them, or start a new run", name(0));
    refused(folder, &["train", "--resume", "r"], 2, &changed);

    fs::remove_file(&images[2]).unwrap();
    let both = format!(": 1 removed, 1 changed\n  changed  {}\n  removed  {}\n", name(0), name(2));
    refused(folder, &["train", "--resume", "r"], 2, &both);

    for i in 0..15 {
        fs::copy(&images[1], folder.join(format!("photos/3/x{i:02}.png"))).unwrap();
    }
    let output = run(folder, &["train", "--resume", "r"]);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("15 added, 1 removed, 1 changed") && stderr.contains("and 7 more"), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("  ")).count(), 11, "{stderr}");
}

#[test]
fn images_that_are_gone_are_asked_for_and_found_where_they_were_moved() {
    let folder = temp();
    let folder = folder.path();
    trained_on_photos(folder);
    let before = fs::read(folder.join("r/best.arc.json")).unwrap();
    fs::rename(folder.join("photos"), folder.join("moved")).unwrap();
    let gone = "no data at photos: there is no such file or folder; r needs the images it was started with: bring them \
                back, or give their new place with --data";
    refused(folder, &["train", "--resume", "r"], 1, gone);
    json(folder, &["train", "--resume", "r", "--data", "moved"]);
    assert_eq!(fs::read(folder.join("r/best.arc.json")).unwrap(), before);
    json(folder, &["train", "--resume", "r"]);
    fs::remove_dir_all(folder.join("moved/3")).unwrap();
    refused(folder, &["train", "--resume", "r"], 2, "are not those the run was started with: ");
}

#[test]
fn other_settings_are_shown_and_refused_unless_no_result_depends_on_them() {
    let folder = temp();
    let folder = folder.path();
    let args = [&["train", "--arc", TINY_ARC, "--epochs", "2", "--out", "r"], &TINY[..]].concat();
    json(folder, &args);
    let model = fs::read(folder.join("r/model.safetensors")).unwrap();
    let resume = |flags: &[&'static str]| [&["train", "--resume", "r"], flags].concat();
    for (flags, line) in [
        (&["--set", "child.filters=8"][..], "  child.filters: 4 in the run, 8 asked for\n"),
        (&["--epochs", "3"], "  run.epochs: 2 in the run, 3 asked for\n"),
        (&["--seed", "7"], "  run.seed: 1 in the run, 7 asked for\n"),
        (&["--preset", "folder"], "  child.layers: 1 in the run, "),
    ] {
        refused(folder, &resume(flags), 2, line);
    }
    refused(folder, &resume(&["--set", "child.filter=8"]), 2, "did you mean child.filters?");
    fs::write(folder.join("my.toml"), fs::read_to_string(folder.join("r/config.toml")).unwrap()).unwrap();
    let harmless = [
        "--config",
        "my.toml",
        "--set",
        "run.log_every=3",
        "--set",
        "run.checkpoint_seconds=7",
        "--threads",
        "1",
    ];
    json(folder, &resume(&harmless));
    let config = fs::read_to_string(folder.join("r/config.toml")).unwrap();
    assert!(config.contains("checkpoint_seconds = 7") && config.contains("log_every = 3"), "{config}");
    assert!(fs::read(folder.join("r/model.safetensors")).unwrap() == model, "the model changed");

    fs::write(folder.join("r/config.toml"), config.replace("filters = 4", "filters = 6")).unwrap();
    refused(folder, &resume(&[]), 2, "  child.filters: 4 in the run, 6 asked for\n");
}

#[test]
fn a_divergence_is_a_warning_once_and_then_a_failure_with_a_diagnosis() {
    let folder = temp();
    let folder = folder.path();
    let hot = ["--set", "schedule.lr_max=1e6", "--set", "schedule.lr_min=1e5", "--set", "child.l2=0.1"];
    let args = [&["train", "--arc", TINY_ARC, "--out", "r", "--set", "child.clip_norm=0.0"], &TINY[..], &hot];
    let output = run(folder, &args.concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.matches("going back to the beginning of the epoch").count(), 1, "{stderr}");
    for part in ["error: ", "; first not finite: ", "the most suspicious first: ", "gone back once already"] {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn counts_beyond_all_measure_are_refused() {
    let folder = temp();
    for (assignment, expected) in [
        ("run.epochs=9223372036854775807", "allowed: 1000000000 or less"),
        ("run.epochs=18446744073709551615", "run.epochs"),
        ("run.log_every=0", "allowed: 1 or more"),
        ("run.batch_size=0", "allowed: 1 or more"),
        ("reward.batch_size=0", "allowed: 1 or more"),
        ("controller.steps=9223372036854775807", "allowed: 1000000000 or less"),
        ("select.random=9223372036854775807", "allowed: 1000000 or less"),
        ("select.samples=9223372036854775807", "allowed: 1000000 or less"),
    ] {
        refused(folder.path(), &["search", "--set", assignment], 2, expected);
    }
}
