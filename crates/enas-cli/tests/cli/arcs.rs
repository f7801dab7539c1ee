//! `enas arc`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use enas_testing::program::{enas, json, keys, refused, stdout, temp, text};
use serde_json::{Value, json};

const ARC: &str = "0 1 0 3 2 3 0 1 1 4 0 0 4 1 2 0 1 1 1 2 1 1 0 3 0 3 0 0 2 1 1 1 4 1 3 1 1 2 1 1";

#[test]
fn an_arc_may_be_one_argument_or_forty_or_a_file_or_piped_in() {
    let folder = temp();
    let folder = folder.path();
    let ok = "ok: 5 nodes per cell\n";
    assert_eq!(stdout(folder, &["arc", "check", ARC]), ok);
    let separate: Vec<&str> = ["arc", "check"].into_iter().chain(ARC.split(' ')).collect();
    assert_eq!(stdout(folder, &separate), ok);
    std::fs::write(folder.join("arcs.txt"), format!("# two\n{ARC}\n{ARC}\n")).unwrap();
    assert_eq!(stdout(folder, &["arc", "check", "--file", "arcs.txt"]), ok.repeat(2));
    for args in [&["arc", "check"][..], &["arc", "check", "-"]] {
        let output = enas(folder).args(args).write_stdin(ARC).output().unwrap();
        assert_eq!(text(&output.stdout), ok);
    }
    let checked = json(folder, &["arc", "check", ARC]);
    assert_eq!(checked, json!({"valid": true, "nodes": 5, "arc": ARC}));
}

#[test]
fn a_wrong_arc_is_refused_with_place_value_and_range() {
    let folder = temp();
    let folder = folder.path();
    let wrong = ARC.replacen("2 3 0 1", "3 3 0 1", 1);
    let message = "ARC: position 4 (normal cell, node 3, first input): 3 is out of range, allowed 0..=2";
    refused(folder, &["arc", "check", &wrong], 2, message);
    refused(folder, &["arc", "show", "--json", &wrong], 2, message);
    refused(folder, &["arc", "check", "0", "1", "x"], 2, "`x` is not an integer");
    refused(folder, &["arc", "check", "0", "-1", "0", "0", "0", "0", "0", "0"], 2, "-1 is negative");
    refused(folder, &["arc", "check", "--file", "none"], 2, "cannot read none");
    refused(folder, &["arc", "check", ARC, "--file", "x"], 2, "cannot be used with");
    let output = enas(folder).args(["arc", "check"]).write_stdin("").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: stdin: the arc is empty"));
}

#[test]
fn a_wrong_line_of_many_is_named() {
    let folder = temp();
    std::fs::write(folder.path().join("arcs.txt"), format!("{ARC}\n{}\n", &ARC[2..])).unwrap();
    refused(folder.path(), &["arc", "check", "--file", "arcs.txt"], 2, "arcs.txt: line 2: 39 integers");
}

#[test]
fn show_has_the_promised_keys_and_a_readable_form() {
    let folder = temp();
    let shown = json(folder.path(), &["arc", "show", ARC]);
    assert_eq!(
        keys(&shown),
        ["arc", "aux_params", "classes", "input", "loose", "macs", "normal", "params", "reduction"]
    );
    assert_eq!(shown["normal"].as_array().unwrap().len(), 20);
    assert_eq!(shown["reduction"][19], 1);
    assert_eq!(shown["loose"], json!({"normal": [3, 5, 6], "reduction": [5, 6]}));
    assert!(shown["params"].as_u64().unwrap() > 0 && shown["macs"].as_u64().unwrap() > 0);
    let human = stdout(folder.path(), &["arc", "show", ARC]);
    assert!(human.contains("2 = sep-conv-5x5(0) + max-pool-3x3(0)"), "{human}");
    assert!(human.contains("loose ends: normal 3 5 6, reduction 5 6"), "{human}");
    assert!(human.contains("final network on 16x16x1 images of 10 classes"), "{human}");
}

#[test]
fn the_size_follows_the_settings() {
    let folder = temp();
    let params = |more: &[&str]| {
        let args = [&["arc", "show", ARC], more].concat();
        json(folder.path(), &args)["params"].as_u64().unwrap()
    };
    assert!(params(&["--set", "child.filters=64"]) > params(&["--set", "child.filters=16"]));
    assert!(params(&["--classes", "100"]) > params(&["--classes", "10"]));
    refused(folder.path(), &["arc", "show", ARC, "--classes", "1"], 2, "write a whole number from 2");
    refused(folder.path(), &["arc", "show", ARC, "--set", "child.filters=3"], 2, "even numbers");
}

#[test]
fn random_arcs_follow_the_seed_and_are_valid() {
    let folder = temp();
    let folder = folder.path();
    let draw = |seed: &str| stdout(folder, &["arc", "random", "--n", "5", "--nodes", "3", "--seed", seed]);
    assert_eq!(draw("7"), draw("7"));
    assert_ne!(draw("7"), draw("8"));
    let output = enas(folder).args(["arc", "check"]).write_stdin(draw("7")).output().unwrap();
    assert_eq!(text(&output.stdout), "ok: 3 nodes per cell\n".repeat(5));
    let lines = stdout(folder, &["arc", "random", "--n", "3", "--json"]);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["arc"].is_string()));
    refused(folder, &["arc", "random", "--n", "0"], 2, "write a whole number from 1");
    refused(folder, &["arc", "random", "--nodes", "0"], 2, "write a whole number from 1 to 20");
}

#[test]
fn converting_twice_gives_the_same_arc() {
    let folder = temp();
    let folder = folder.path();
    let readable = stdout(folder, &["arc", "convert", ARC]);
    assert!(readable.starts_with("normal:\n"), "{readable}");
    let output = enas(folder).args(["arc", "convert"]).write_stdin(readable.clone()).output().unwrap();
    assert_eq!(text(&output.stdout), format!("{ARC}\n"));
    assert_eq!(stdout(folder, &["arc", "convert", "--to", "ints", ARC]), format!("{ARC}\n"));
    assert_eq!(json(folder, &["arc", "convert", ARC]), json!({"arc": ARC, "readable": readable}));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enas"))
        .args(["arc", "random", "--n", "200000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
