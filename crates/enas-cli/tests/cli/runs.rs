//! `enas search`, `enas train` and what they leave behind.

use std::fs;

use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, json, keys, refused, run, stdout, temp, text};
use serde_json::Value;

/// The shortest search that does everything.
fn tiny_search(more: &[&'static str]) -> Vec<&'static str> {
    [&["search", "--epochs", "1"], &TINY[..], &TINY_SEARCH, more].concat()
}

#[test]
fn a_search_is_followed_by_training_what_it_found() {
    let folder = temp();
    let folder = folder.path();
    let found = json(folder, &tiny_search(&[]));
    for key in
        ["run", "arc", "valid_accuracy", "random_valid_accuracy", "epochs", "seconds", "params", "macs"]
    {
        assert!(!found[key].is_null(), "{key} is missing: {found}");
    }
    assert_eq!(found["run"], "runs/digits-search-1");
    let candidates = found["candidates"].as_array().unwrap();
    assert!(candidates.len() > 1 && candidates.iter().all(|candidate| candidate["origin"].is_string()));
    assert_eq!(
        (&candidates[0]["arc"], &candidates[0]["valid_accuracy"]),
        (&found["arc"], &found["valid_accuracy"])
    );
    let of_gain = |key: &str| found["gain"][key].as_f64().unwrap();
    let points = 100.0
        * (found["valid_accuracy"].as_f64().unwrap() - found["random_valid_accuracy"].as_f64().unwrap());
    assert!((of_gain("points") - points).abs() < 1e-9, "{}", found["gain"]);
    assert!(of_gain("low") <= points && points <= of_gain("high"));
    assert_eq!(found["control"]["mean"], found["random_valid_accuracy"]);
    assert_eq!(found["picks"]["balanced"], found["arc"]);
    let finalist = &found["finalists"][0];
    for key in
        ["arc", "origin", "params", "macs", "latency_ms", "steps", "score", "valid_choose", "valid_report"]
    {
        assert!(!finalist[key].is_null(), "{key} is missing: {finalist}");
    }
    assert!(found["warnings"].is_array());

    let best: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("runs/digits-search-1/best.arc.json")).unwrap())
            .unwrap();
    assert_eq!(best["arc"], found["arc"]);

    let args = [&["train", "--run", "runs/digits-search-1", "--epochs", "1"], &TINY[..]].concat();
    let trained = json(folder, &args);
    assert_eq!(
        keys(&trained),
        [
            "arc",
            "chance_level",
            "ended",
            "epochs",
            "macs",
            "model",
            "params",
            "run",
            "seconds",
            "test_accuracy",
            "test_correct",
            "test_interval",
            "test_macro_f1",
            "test_total",
            "train_loss",
            "valid_accuracy"
        ]
    );
    assert_eq!(trained["arc"], found["arc"]);
    assert_eq!(trained["run"], "runs/digits-train-1");
    assert!(folder.join(trained["model"].as_str().unwrap()).is_file());

    // Both runs end with a report, and the training's knows the search.
    let report = |run: &str| fs::read_to_string(folder.join(run).join("report.html")).unwrap();
    assert!(report("runs/digits-search-1").contains("Final choice"));
    assert!(report("runs/digits-train-1").contains("href=\"../digits-search-1/report.html\""));
    assert!(folder.join("runs/digits-train-1/events.out.tfevents.0000000001.enas").is_file());
}

#[test]
fn a_report_is_written_again_wherever_it_is_wanted() {
    let folder = temp();
    let folder = folder.path();
    json(folder, &[&["train", "--arc", TINY_ARC, "--epochs", "1", "--out", "r"], &TINY[..]].concat());
    fs::remove_file(folder.join("r/report.html")).unwrap();
    assert_eq!(json(folder, &["report", "--run", "r"]), serde_json::json!({"path": "r/report.html"}));
    assert_eq!(stdout(folder, &["report", "--run", "r", "--out", "x.html"]), "x.html\n");
    let html = fs::read_to_string(folder.join("x.html")).unwrap();
    assert!(html.contains("Worst mistakes") && html.contains("enas train --arc "), "{html}");
    refused(folder, &["report", "--run", "missing"], 2, "missing: this is not a run directory");
    refused(folder, &["report", "--run", "r", "--out", "no/x.html"], 1, "cannot write no/x.html");
}

#[test]
fn a_report_that_cannot_be_written_is_a_warning_with_a_remedy() {
    let folder = temp();
    let folder = folder.path();
    // A folder has the name of the report, so the run cannot write it. The run itself continues.
    json(folder, &[&["train", "--arc", TINY_ARC, "--epochs", "1", "--out", "r"], &TINY[..]].concat());
    fs::remove_file(folder.join("r/report.html")).unwrap();
    fs::create_dir(folder.join("r/report.html")).unwrap();
    let output = run(folder, &["train", "--resume", "r"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("test        "));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("no report was written") && stderr.contains("enas report --run r"), "{stderr}");
}

#[test]
fn people_are_told_what_was_found_and_what_to_type_next() {
    let folder = temp();
    let folder = folder.path();
    let output = run(folder, &tiny_search(&["--out", "my run"]));
    let human = text(&output.stdout);
    assert!(human.starts_with("validation      "), "{human}");
    assert!(human.contains("final network   "), "{human}");
    let places = ["validation ", "networks to train", "normal:\n  2 = ", "next: "]
        .map(|part| human.find(part).unwrap());
    assert!(places.is_sorted(), "the result, the networks, the architecture: {human}");
    assert!(
        human.contains("random architecture with the same training") && !human.contains("beat"),
        "{human}"
    );
    assert!(human.contains("points, 95 % interval") && human.contains("that no choice used"), "{human}");
    assert!(human.ends_with("next: enas train --run 'my run'\n"), "{human}");
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("digits: ") && stderr.contains(" images in 10 classes; "), "{stderr}");
    assert!(stderr.contains("epoch 1/1  loss ") && !stderr.contains("memory: "), "{stderr}");
    assert!(!stderr.contains('\u{1b}') && !human.contains('\u{1b}'), "no colours off a terminal");

    let human = stdout(folder, &[&["train", "--arc", TINY_ARC, "--epochs", "1"], &TINY[..]].concat());
    assert!(human.starts_with("test        ") && human.contains(" of 179), 95 % interval "), "{human}");
    assert!(human.contains("next: enas eval --model runs/digits-train-1/model.safetensors\n"), "{human}");
}

#[test]
fn quiet_prints_the_result_alone() {
    let folder = temp();
    let output = run(folder.path(), &tiny_search(&["--quiet"]));
    assert_eq!(text(&output.stderr), "");
    assert!(text(&output.stdout).contains("next: enas train --run "));
}

#[test]
fn runs_are_numbered_and_never_overwritten() {
    let folder = temp();
    let folder = folder.path();
    let args = [&["train", "--arc", TINY_ARC, "--epochs", "1"], &TINY[..]].concat();
    assert_eq!(json(folder, &args)["run"], "runs/digits-train-1");
    assert_eq!(json(folder, &args)["run"], "runs/digits-train-2");
    let again = [&args[..], &["--out", "runs/digits-train-1"]].concat();
    refused(folder, &again, 2, "runs/digits-train-1: this run exists already");
    refused(folder, &["search", "--resume", "runs/digits-train-1"], 2, "not of a search");
    refused(folder, &["train", "--run", "runs/digits-train-1"], 2, "not of a search");
}

#[test]
fn the_same_seed_gives_the_same_result_with_one_thread_and_with_two() {
    let folder = temp();
    let result = |threads: &'static str| {
        let mut found = json(folder.path(), &tiny_search(&["--seed", "3", "--threads", threads]));
        let changing = found.as_object_mut().unwrap();
        changing.remove("seconds");
        changing.remove("run");
        for finalist in changing["finalists"].as_array_mut().unwrap() {
            finalist.as_object_mut().unwrap().remove("latency_ms");
        }
        found
    };
    assert_eq!(result("1"), result("2"));
}

#[test]
fn own_images_train_with_the_splits_of_their_search() {
    let folder = temp();
    let folder = folder.path();
    enas_testing::images::write_digits(&folder.join("photos"), 150);
    let small = ["--set", "data.image_size=8", "--set", "data.channels=1", "--set", "child.aux_head=off"];
    let tiny: Vec<&str> = TINY.iter().copied().chain(["--set", "run.batch_size=32"]).collect();
    let search = [&["search", "--data", "photos", "--epochs", "1"], &tiny[..], &TINY_SEARCH, &small].concat();
    let found = json(folder, &search);
    assert_eq!(found["run"], "runs/photos-search-1");
    let trained = json(
        folder,
        &[&["train", "--run", "runs/photos-search-1", "--epochs", "1", "--seed", "9"], &tiny[..]].concat(),
    );
    let split =
        |run: &Value| fs::read_to_string(folder.join(run.as_str().unwrap()).join("split.json")).unwrap();
    assert_eq!(split(&found["run"]), split(&trained["run"]));
    let model = trained["model"].as_str().unwrap();
    let measured = json(folder, &["eval", "--model", model, "--data", "photos"]);
    assert_eq!(measured["accuracy"], trained["test_accuracy"]);
}
