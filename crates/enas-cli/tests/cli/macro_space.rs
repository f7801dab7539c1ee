//! `enas search --space macro` and what follows from it: a network that is trained, measured and used, and one clear
//! word from everything that works with cells only.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{enas, json, refused, run, stdout, temp, text};
use serde_json::Value;

const TINY: [&str; 18] = [
    "--set",
    "macro.layers=3",
    "--set",
    "macro.filters=4",
    "--set",
    "data.image_size=8",
    "--set",
    "run.batch_size=256",
    "--set",
    "select.samples=3",
    "--set",
    "select.random=2",
    "--set",
    "controller.steps=2",
    "--set",
    "reward.batch_size=40",
    "--set",
    "warmup.updates=0",
];

fn searched(folder: &Path, out: &str, args: &[&str]) -> Value {
    json(folder, &[&["search", "--space", "macro", "--epochs", "2", "--out", out], &TINY[..], args].concat())
}

#[test]
fn a_search_leads_to_a_model_that_predicts() {
    let folder = temp();
    let folder = folder.path();
    let found = searched(folder, "search", &[]);
    assert!(found["arc"].as_str().unwrap().starts_with("1 = "), "{}", found["arc"]);
    assert_eq!(found["candidates"].as_array().unwrap().len(), 4);
    assert!(found["final_network"]["params"].as_u64() > Some(0));
    let best: Value =
        serde_json::from_slice(&fs::read(folder.join("search/best.arc.json")).unwrap()).unwrap();
    assert_eq!((&best["space"], &best["arc"]), (&"macro".into(), &found["arc"]));
    let report = |run: &str| fs::read_to_string(folder.join(run).join("report.html")).unwrap();
    assert!(report("search").contains("macro space") && report("search").contains("skip connections"));

    let trained = json(
        folder,
        &["train", "--run", "search", "--epochs", "2", "--out", "train", "--set", "run.batch_size=256"],
    );
    assert_eq!(trained["arc"], found["arc"]);
    assert!(report("train").contains("Drawing of the network"), "a trained network is drawn");
    let measured = json(folder, &["eval", "--model", "train"]);
    assert_eq!(measured["accuracy"], trained["test_accuracy"]);
    write_digits(&folder.join("images"), 3);
    let lines = stdout(folder, &["predict", "--model", "train", "images", "--json"]);
    assert_eq!(lines.lines().count(), 3);
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(line["probability"].as_f64() > Some(0.0), "{line}");

    // The same architecture from its file, from integers and in its readable form.
    let again = |arc: &str, out: &str| {
        let own = ["--epochs", "1", "--out", out, "--set", "run.batch_size=256", "--set", "macro.filters=4"];
        json(folder, &[&["train", "digits", "--arc", arc][..], &own[..]].concat())["valid_accuracy"].clone()
    };
    let first = again("search/best.arc.json", "by-file");
    assert_eq!(again(best["integers"].as_str().unwrap(), "by-integers"), first);
    assert_eq!(again(best["arc"].as_str().unwrap(), "by-lines"), first);
    assert!(json(folder, &["bench", "--model", "train"])["params"].as_u64() > Some(0));
    let listed = stdout(folder, &["runs", "."]);
    assert!(listed.contains("search") && listed.contains("train"), "{listed}");

    let exported = json(folder, &["export", "--model", "train", "--out", "net.onnx"]);
    assert!(exported["max_abs_difference"].as_f64() < Some(0.01), "{exported}");

    let only = "cells only";
    for args in [
        &["train", "--run", "search", "--seeds", "2"][..],
        &["train", "--run", "search", "--find-lr"],
        &["train", "--run", "search", "--pick", "small"],
        &["train", "--run", "search", "--warm-start", "train/model.safetensors", "--out", "warm"],
    ] {
        refused(folder, args, 2, only);
    }
}

#[test]
fn architectures_of_layers_are_drawn_shown_and_converted() {
    let folder = temp();
    let folder = folder.path();
    let arc = "1 = conv-3x3(0); 2 = sep-conv-5x5(1) + 0; 3 = max-pool-3x3(2) + 0 + 1";
    assert_eq!(stdout(folder, &["arc", "check", arc]), "ok: 3 layers\n");
    let small = ["--set", "macro.filters=4"];
    let shown = json(folder, &[&["arc", "show", arc][..], &small].concat());
    assert_eq!((&shown["arc"], &shown["layers"], &shown["skips"]), (&arc.into(), &3.into(), &3.into()));
    assert!(shown["params"].as_u64() > Some(0) && shown["macs"].as_u64() > Some(0), "{shown}");
    let human = stdout(folder, &[&["arc", "show", arc][..], &small].concat());
    assert!(human.contains("3 layers, 3 skip connections") && human.contains("3 = max-pool-3x3(2) + 0 + 1"));
    assert_eq!(stdout(folder, &["arc", "convert", arc]), "0 3 1 5 1 1\n");
    assert_eq!(stdout(folder, &["arc", "convert", "0 3 1 5 1 1"]), arc.replace("; ", "\n") + "\n");

    let drawn = json(folder, &[&["arc", "draw", arc, "--out", "drawings"][..], &small].concat());
    assert_eq!(drawn["paths"], serde_json::json!(["drawings/network.svg"]));
    let drawing = fs::read_to_string(folder.join("drawings/network.svg")).unwrap();
    assert!(drawing.contains("2: sep-conv-5x5") && drawing.contains("3 skip connections"), "{drawing}");
    stdout(folder, &[&["arc", "draw", arc, "--out", "net.dot", "--part", "network"][..], &small].concat());
    let dot = fs::read_to_string(folder.join("net.dot")).unwrap();
    assert!(dot.contains("l1 -> l3 [constraint=false];"), "{dot}");
    refused(folder, &["arc", "draw", arc, "--part", "normal"], 2, "has no cells");

    let lines = stdout(folder, &["arc", "random", "--layers", "4", "--n", "2", "--seed", "3"]);
    let output = enas(folder).args(["arc", "check"]).write_stdin(lines).output().unwrap();
    assert_eq!(text(&output.stdout), "ok: 4 layers\n".repeat(2));
}

#[test]
fn what_does_not_go_together_is_said_once() {
    let folder = temp();
    let folder = folder.path();
    for (args, fragment) in [
        (&["search", "--space", "macro", "--strategy", "wide"][..], "a kind of cells"),
        (&["search", "--space", "macro", "--set", "finals.steps=9"], "finals train cells only"),
        (&["search", "--space", "macro", "--max-params", "9"], "only finals apply limits"),
        (&["search", "--space", "macro", "--repeat", "2"], "--repeat works with cells only"),
        (&["search", "--space", "macro", "--set", "macro.filters=3"], "macro.filters"),
        (&["auto", "--set", "space=macro", "--set", "finals.steps=0"], "enas auto works with cells only"),
        (&["study", "--set", "space=macro", "--set", "finals.steps=0"], "enas study works with cells only"),
        (&["search", "--space", "tree"], "possible values: micro, macro"),
    ] {
        refused(folder, args, 2, fragment);
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "a refused command wrote something");
}

#[test]
fn an_interrupted_search_goes_on_with_its_own_settings() {
    let folder = temp();
    let folder = folder.path();
    let whole = searched(folder, "whole", &["--strategy", "evolution"]);
    let begun = searched(folder, "begun", &["--strategy", "evolution"]);
    assert_eq!(begun["arc"], whole["arc"]);
    fs::remove_file(folder.join("begun/best.arc.json")).unwrap();
    let resumed = json(folder, &["search", "--resume", "begun"]);
    assert_eq!((&resumed["arc"], &resumed["candidates"]), (&whole["arc"], &whole["candidates"]));
    let output = run(folder, &["search", "--resume", "begun", "--space", "micro"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("space: \"macro\" in the run, \"micro\" asked for"));
}

#[test]
fn the_presets_of_the_macro_space_have_the_published_values() {
    let folder = temp();
    let search = json(folder.path(), &["config", "show", "--preset", "reference-macro"]);
    let of = |pointer: &str| search.pointer(pointer).unwrap().clone();
    assert_eq!(
        (of("/space"), of("/macro/layers"), of("/macro/filters")),
        ("macro".into(), 12.into(), 36.into())
    );
    assert_eq!((of("/controller/skip/weight"), of("/controller/skip/target")), (0.8.into(), 0.4.into()));
    assert_eq!((of("/run/batch_size"), of("/run/epochs")), (128.into(), 310.into()));
    let train = ["config", "show", "--for", "train", "--preset", "reference-macro-final"];
    let train = json(folder.path(), &train);
    let of = |pointer: &str| train.pointer(pointer).unwrap().clone();
    assert_eq!((of("/macro/layers"), of("/macro/fixed_ops")), (24.into(), "full-convolutions".into()));
    assert_eq!((of("/run/batch_size"), of("/macro/keep_prob")), (100.into(), 0.5.into()));
}
