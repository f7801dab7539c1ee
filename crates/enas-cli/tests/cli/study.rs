//! `enas study` and `enas prove`: documents, exit codes, going on.

use std::fs;

use enas_testing::program::{TINY, TINY_SEARCH, enas, json as document, refused, run, temp, text};
use enas_testing::runs::set_gain;
use serde_json::{Value, json};

/// Counts and finals of a study that takes seconds.
const FEW: [&str; 24] = [
    "--pool",
    "3",
    "--wide",
    "1",
    "--searches",
    "1",
    "--seeds",
    "1",
    "--set",
    "run.epochs=1",
    "--set",
    "train.run.epochs=1",
    "--set",
    "finals.policy=1",
    "--set",
    "finals.wide=1",
    "--set",
    "finals.random=3",
    "--set",
    "finals.mutants=0",
    "--set",
    "finals.controls=2",
    "--set",
    "finals.steps=2",
];

/// Finals alone.
fn finals() -> &'static [&'static str] {
    &FEW[12..]
}

#[test]
fn a_study_says_what_was_promised_and_goes_on() {
    let folder = temp();
    let folder = folder.path();
    let args = [&["study", "--out", "s"], &FEW[..], &TINY, &TINY_SEARCH].concat();
    let found = document(folder, &args);
    assert_eq!((&found["complete"], &found["study"]), (&json!(true), &json!("s")));
    // 3 + 1 random ones, a search, what it found with two seeds, four of its size, and a small one.
    assert_eq!((&found["done"], &found["total"]), (&json!(12), &json!(12)));
    assert_eq!(found["percentile"].as_array().unwrap().len(), 1);
    for key in
        ["tau", "tau_low", "tau_high", "seed_tau", "precision_top10", "gain_sigma", "hypervolume_ratio"]
    {
        assert!(found.get(key).is_some(), "no {key} in {found}");
    }
    assert!(found["gain_points"]["mean"].is_number(), "{found}");
    assert!(found["gain_points"]["low"].is_null(), "one search has no interval: {found}");
    assert_eq!(found["verdicts"]["random"], "cannot-be-said");
    let lines = fs::read_to_string(folder.join("s/trials.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 12);
    assert!(
        ["study.json", "study.md", "study.html"].iter().all(|name| folder.join("s").join(name).is_file())
    );

    let human = run(folder, &["study", "--resume", "s", "--pool", "4"]);
    let said = text(&human.stdout);
    assert!(human.status.success() && said.contains("found by search") && said.contains("page"), "{said}");
    let more = fs::read_to_string(folder.join("s/trials.jsonl")).unwrap();
    assert!(more.starts_with(&lines) && more.lines().count() == 13, "{more}");
}

#[test]
fn time_that_is_up_ends_a_study_with_what_there_is() {
    let folder = temp();
    let folder = folder.path();
    // Trainings of minutes, none of which fits.
    let long = ["study", "--out", "s", "--time", "3s", "--set", "train.run.epochs=100000"];
    let began = std::time::Instant::now();
    let found = document(folder, &[&long[..], &TINY, &TINY_SEARCH].concat());
    assert_eq!((&found["complete"], &found["done"]), (&json!(false), &json!(0)));
    assert!(began.elapsed().as_secs_f64() < 20.0, "{:?}", began.elapsed());
    assert!(found["missing"][0].as_str().unwrap().starts_with("0 of 80 trainings"), "{found}");
    let said = text(&run(folder, &["study", "--resume", "s", "--time", "1s"]).stdout);
    assert!(said.contains("go on with: enas study --resume s"), "{said}");
}

#[test]
fn what_cannot_be_studied_is_refused() {
    let folder = temp();
    let folder = folder.path();
    refused(folder, &["study", "--pool", "1"], 2, "whole number from 2");
    refused(folder, &["study", "--resume", "s", "--set", "run.epochs=1"], 2, "cannot be used with");
    refused(folder, &["study", "--resume", "nothing"], 2, "not the directory of a study");
    refused(folder, &["study", "--set", "train.run.epoch=1"], 2, "did you mean run.epochs?");
    refused(folder, &["study", "--set", "train.data.path=x"], 2, "the same images");
    refused(folder, &["study", "--set", "train.child.nodes=2"], 2, "the same number of nodes");
    refused(folder, &["study", "--train-images", "1000000"], 2, "at most");
    assert!(!folder.join("runs").exists(), "nothing is left of what was refused");
}

#[test]
fn a_claim_that_does_not_hold_ends_with_1_and_none_with_0() {
    let folder = temp();
    let folder = folder.path();
    let search =
        [&["search", "--epochs", "1", "--out", "r", "--quiet"], finals(), &TINY, &TINY_SEARCH].concat();
    assert!(enas(folder).args(&search).output().unwrap().status.success());
    set_gain(&folder.join("r"), -1.0);
    let nothing = document(folder, &["prove", "r"]);
    assert_eq!(nothing["claims"], false);

    set_gain(&folder.join("r"), 60.0);
    let prove = ["prove", "--run", "r", "--seeds", "2", "--random", "3", "--json"];
    let output = run(folder, &prove);
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let holds = found["holds"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if holds { 0 } else { 1 }), "{found}");
    assert_eq!(holds, found["gain_points"]["low"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!((found["found"].as_array().unwrap().len(), found["random"].as_array().unwrap().len()), (2, 3));
    assert_eq!(found["claim"]["gain"]["low"], 60.0);
    refused(folder, &["prove", "nowhere"], 2, "nowhere");
    refused(folder, &["prove"], 2, "no run given");
}
