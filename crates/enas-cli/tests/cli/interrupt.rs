//! Ctrl-C on a running search.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Child;

use enas_testing::program::{TINY, TINY_SEARCH, json, refused, start, temp, text};
use enas_testing::signals::{send, wait_for_text};

/// Where a search of the digits is.
const SEARCH: &str = "runs/digits-search-1";

#[test]
fn the_first_signal_saves_and_the_run_goes_on_later() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = temp();
        let folder = folder.path();
        let search = start_search(folder, "4");
        wait_for_a_step(folder, SEARCH);
        send(signal, &search);
        let output = search.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(text(&output.stdout), "");
        assert!(stderr.contains("go on with: enas search --resume runs/digits-search-1"), "{stderr}");
        assert!(!folder.join("runs/digits-search-1/best.arc.json").exists());

        let found = json(folder, &["search", "--resume", "runs/digits-search-1"]);
        assert_eq!((&found["run"], &found["epochs"]), (&"runs/digits-search-1".into(), &4.into()));
    }
}

#[test]
fn an_unfinished_search_cannot_be_trained_from() {
    let folder = temp();
    let folder = folder.path();
    let search = start_search(folder, "1000");
    wait_for_a_step(folder, SEARCH);
    send("-INT", &search);
    search.wait_with_output().unwrap();
    let args = ["train", "--run", "runs/digits-search-1"];
    refused(folder, &args, 2, "finish it with --resume");
}

#[test]
fn an_automatic_run_leaves_a_model_and_goes_on_later() {
    let folder = temp();
    let folder = folder.path();
    let auto = ["auto", "--set", "run.log_every=1", "--set", "run.epochs=2"];
    let auto = start(folder, &[&auto, &TINY[..], &TINY_SEARCH].concat());
    wait_for_a_step(folder, "runs/digits-auto-1/first");
    send("-INT", &auto);
    let output = auto.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("the best model so far: runs/digits-auto-1/model.safetensors"), "{stderr}");
    assert!(stderr.contains("go on with: enas auto --resume runs/digits-auto-1"), "{stderr}");
    let eval = ["eval", "--model", "runs/digits-auto-1/model.safetensors"];
    assert_eq!(json(folder, &eval)["total"], 179);

    let resume = ["auto", "--resume", "runs/digits-auto-1"];
    for (flag, line) in [
        ("child.filters=6", "search.toml: a result depends on these settings"),
        ("child.filters=6", "  child.filters: 4 in the run, 6 asked for\n"),
        ("keep=last", "  keep: \"best\" in the run, \"last\" asked for\n"),
    ] {
        refused(folder, &[&resume[..], &["--set", flag]].concat(), 2, line);
    }
    let made = json(folder, &[&resume[..], &["--set", "run.checkpoint_seconds=9", "--time", "1h"]].concat());
    let stored = fs::read_to_string(folder.join("runs/digits-auto-1/train.toml")).unwrap();
    assert!(stored.contains("checkpoint_seconds = 9"), "{stored}");
    for file in ["model", "report"] {
        assert!(folder.join(made[file].as_str().unwrap()).is_file(), "{made}");
    }
    assert_eq!(made["onnx"].is_string(), cfg!(feature = "export"), "{made}");
    assert_eq!(json(folder, &eval)["accuracy"], made["test_accuracy"]);
    let report = fs::read_to_string(folder.join("runs/digits-auto-1/report.html")).unwrap();
    for part in [
        "Automatic run on digits",
        "An architecture was searched, as there were 1\u{202f}439\u{a0}training images.",
        "First model",
        "1\u{202f}797\u{a0}image files. All of them are usable",
        "enas auto --set run.log_every=1 --set run.epochs=2 --set ",
    ] {
        assert!(report.contains(part), "no {part:?}");
    }
}

fn start_search(folder: &Path, epochs: &str) -> Child {
    let args =
        [&["search", "--epochs", epochs, "--set", "run.log_every=1"], &TINY[..], &TINY_SEARCH].concat();
    start(folder, &args)
}

fn wait_for_a_step(folder: &Path, run: &str) {
    wait_for_text(&folder.join(run).join("metrics.jsonl"), "\"step\"");
}
