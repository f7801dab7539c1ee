//! `enas runs`: real runs side by side, whatever state they are in.

use std::fs;

use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, keys, refused, run, stdout, temp, text};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_of_all_kinds_are_listed_with_what_they_came_to() {
    let folder = temp();
    let dir = folder.path();
    let train = [&["train", "--arc", TINY_ARC, "--epochs", "1", "--quiet"], &TINY[..]].concat();
    stdout(dir, &[&["search", "--epochs", "1", "--quiet"], &TINY[..], &TINY_SEARCH].concat());
    stdout(dir, &train);
    stdout(dir, &[&train[..], &["--seeds", "2", "--set", "schedule.lr_max=0.02"]].concat());
    fs::create_dir_all(dir.join("runs/broken")).unwrap();
    fs::write(dir.join("runs/broken/manifest.json"), "{").unwrap();

    let all = lines(&stdout(dir, &["runs", "--json", "--latency"]));
    let of = |name: &str| all.iter().find(|line| line["name"] == name).unwrap();
    assert_eq!(all.len(), 4);
    let training = of("digits-train-1");
    for key in
        ["accuracy", "low", "high", "params", "macs", "latency_ms", "epochs", "seconds", "arc", "model"]
    {
        assert!(!training[key].is_null(), "{key} is missing: {training}");
    }
    assert!(keys(training).contains(&"differences"));
    assert_eq!((&training["kind"], &training["state"]), (&"train".into(), &"finished".into()));
    assert_eq!((&training["run"], &training["split"]), (&"runs/digits-train-1".into(), &"test".into()));
    assert_eq!(training["accuracy"], training["test_accuracy"]);
    assert!(training["latency_ms"].as_f64().unwrap() > 0.0);
    let seeds = of("digits-train-2");
    assert_eq!((&seeds["kind"], &seeds["seeds"]["all"]), (&"train-seeds".into(), &2.into()));
    assert_eq!(
        (&of("digits-search-1")["kind"], &of("digits-search-1")["split"]),
        (&"search".into(), &"valid".into())
    );
    assert_eq!((&of("broken")["state"], &all[3]["name"]), (&"damaged".into(), &"broken".into()));
    assert!(of("broken")["note"].as_str().unwrap().contains("manifest.json"));
    // One of both trainings is compared with the other.
    let changed = all.iter().flat_map(|line| line["differences"].as_array().unwrap());
    assert!(changed.clone().any(|difference| difference["key"] == "schedule.lr_max"), "{all:?}");

    let table = stdout(dir, &["runs", "--html", "runs.html"]);
    assert!(table.starts_with("digits: 1 797 images\n"), "{table}");
    for shown in ["runs/digits-train-1", "95 % interval", "damaged: ", "schedule.lr_max"] {
        assert!(table.contains(shown), "no {shown}: {table}");
    }
    let html = fs::read_to_string(dir.join("runs.html")).unwrap();
    assert!(html.contains("runs/digits-train-1/report.html") && !html.contains("<script"), "{html}");

    let only =
        lines(&stdout(dir, &["runs", "runs/digits-train-1", "--run", "runs/digits-search-1", "--json"]));
    assert_eq!(only.len(), 2);
    let by_size = lines(&stdout(dir, &["runs", "--data", "digits", "--sort", "params", "--json"]));
    let sizes: Vec<u64> = by_size.iter().map(|line| line["params"].as_u64().unwrap()).collect();
    assert!(sizes.len() == 3 && sizes.is_sorted(), "{sizes:?}");
}

#[test]
fn nothing_to_list_is_said_and_a_folder_that_is_not_there_is_refused() {
    let folder = temp();
    let output = run(folder.path(), &["runs"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(text(&output.stderr).contains("no runs in runs; enas search"), "{}", text(&output.stderr));
    assert_eq!(stdout(folder.path(), &["runs", "--json"]), "");
    refused(folder.path(), &["runs", "nowhere"], 2, "nowhere: there is no such folder");
    refused(folder.path(), &["runs", "--sort", "colour"], 2, "accuracy, params, macs");
}
