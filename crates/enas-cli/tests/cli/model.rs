//! `enas eval` and `enas predict` with a model that `enas train` wrote.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{enas, json, keys, refused, run, stdout, temp, text, trained};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn eval_measures_exactly_what_training_reported() {
    let trained = trained();
    let measured = json(trained.folder(), &["eval", "--model", &trained.model()]);
    assert_eq!(measured["accuracy"], trained.printed["test_accuracy"]);
    let valid = json(
        trained.folder(),
        &["eval", "--model", &trained.model(), "--data", "digits", "--split", "valid"],
    );
    assert_eq!(valid["accuracy"], trained.printed["valid_accuracy"]);
}

#[test]
fn eval_has_the_promised_keys_and_consistent_counts() {
    let trained = trained();
    let measured = json(trained.folder(), &["eval", "--model", &trained.model()]);
    assert_eq!(
        keys(&measured),
        [
            "accuracy",
            "balanced_accuracy",
            "chance_level",
            "confusion",
            "correct",
            "interval",
            "macro_f1",
            "most_frequent",
            "per_class",
            "total"
        ]
    );
    let first = &measured["per_class"][0];
    assert_eq!(keys(first), ["f1", "label", "precision", "recall", "support"]);
    let rows = measured["confusion"].as_array().unwrap();
    let sum: u64 = rows.iter().flat_map(|row| row.as_array().unwrap()).map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(Some(sum), measured["total"].as_u64());
    let diagonal: u64 = rows.iter().enumerate().map(|(k, row)| row[k].as_u64().unwrap()).sum();
    assert_eq!(Some(diagonal), measured["correct"].as_u64());
}

#[test]
fn eval_prints_tables_for_people() {
    let trained = trained();
    let human = stdout(trained.folder(), &["eval", "--model", &trained.model()]);
    assert!(human.starts_with("accuracy "), "{human}");
    assert!(human.contains("precision") && human.contains("true \\ given"), "{human}");
}

#[test]
fn eval_refuses_images_of_other_classes() {
    let trained = trained();
    let folder = temp();
    for class in ["cat", "dog"] {
        let class = folder.path().join("test").join(class);
        fs::create_dir_all(&class).unwrap();
        image::GrayImage::new(8, 8).save(class.join("a.png")).unwrap();
    }
    refused(folder.path(), &["eval", "--model", &trained.model(), "--data", "."], 1, "cat, dog");
}

#[test]
fn predict_gives_a_line_per_image_and_goes_on_after_bad_ones() {
    let trained = trained();
    let folder = temp();
    let folder = folder.path();
    let paths = write_digits(folder, 3);
    fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    let good: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let model = trained.model();
    let args =
        ["predict", "--model", &model, "--json", &good[0], "broken.png", "missing.png", &good[1], &good[2]];
    let output = run(folder, &args);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines = lines(&text(&output.stdout));
    assert_eq!(lines.len(), 5);
    assert_eq!(keys(&lines[0]), ["label", "path", "probability", "top"]);
    assert_eq!(lines[0]["path"], good[0].as_str());
    assert_eq!(lines[0]["top"][0]["label"], lines[0]["label"]);
    assert_eq!(keys(&lines[1]), ["error", "path"]);
    assert_eq!(lines[1]["path"], "broken.png");
    assert_eq!(keys(&lines[2]), ["error", "path"]);
    assert_eq!(lines[4]["path"], good[2].as_str());
    assert!(text(&output.stderr).contains("2 of 5 could not be labelled"));
}

#[test]
fn predict_agrees_with_eval() {
    let trained = trained();
    let folder = temp();
    write_digits(&folder.path().join("pictures"), 120);
    let model = trained.model();
    let output = lines(&stdout(folder.path(), &["predict", "--model", &model, "--json", "pictures"]));
    assert_eq!(output.len(), 120);
    let right =
        output.iter().filter(|line| class_of(&line["path"]) == line["label"].as_str().unwrap()).count();
    let measured = json(folder.path(), &["eval", "--model", &model, "--data", "pictures"]);
    assert_eq!(measured["total"], 120);
    assert_eq!(measured["correct"], right);
}

fn class_of(path: &Value) -> String {
    let folder = Path::new(path.as_str().unwrap()).parent().unwrap();
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn folders_come_in_order_and_paths_from_stdin() {
    let trained = trained();
    let folder = temp();
    let folder = folder.path();
    let mut paths: Vec<String> = write_digits(folder, 12)
        .iter()
        .map(|path| path.strip_prefix(folder).unwrap().display().to_string())
        .collect();
    let model = trained.model();
    let piped = paths.join("\n");
    let output = enas(folder).args(["predict", "--model", &model, "-"]).write_stdin(piped).output().unwrap();
    let labelled = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(':').next().unwrap().trim_start_matches("./").to_owned()).collect()
    };
    assert_eq!(labelled(&text(&output.stdout)), paths);
    paths.sort();
    assert_eq!(labelled(&stdout(folder, &["predict", "--model", &model, "."])), paths);
}

#[test]
fn stdin_without_paths_and_archives_that_are_not_read_are_errors() {
    let folder = temp();
    let model = trained().model();
    for nothing in ["", "\n\n"] {
        let args = ["predict", "--model", &model, "--csv", "-"];
        let output = enas(folder.path()).args(args).write_stdin(nothing).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
        assert!(text(&output.stderr).contains("no image to label"), "{}", text(&output.stderr));
    }
    fs::write(folder.path().join("photos.tar"), [0; 1024]).unwrap();
    let output = run(folder.path(), &["predict", "--model", &model, "photos.tar"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("unpack it first"), "{}", text(&output.stdout));
}

#[test]
fn a_folder_without_pictures_is_a_bad_path() {
    let trained = trained();
    let folder = temp();
    fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    let output = run(folder.path(), &["predict", "--model", &trained.model(), "--quiet", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), ".: error: no images in this folder\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn probabilities_are_calibrated_unless_raw_ones_are_asked_for() {
    let folder = temp();
    let path = write_digits(folder.path(), 1)[0].display().to_string();
    let of = |more: &[&str]| {
        let model = trained().model();
        let args = [&["predict", "--model", &model, &path, "--top", "10"], more].concat();
        let line = json(folder.path(), &args);
        let guesses = line["top"].as_array().unwrap().clone();
        guesses.iter().map(|guess| guess["probability"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let calibrated = of(&[]);
    let raw = of(&["--raw"]);
    assert!((calibrated.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    // The logarithms of all odds are divided by one number.
    let odds = |row: &[f64], k: usize| (row[0] / row[k]).ln();
    let temperatures: Vec<f64> = (1..10).map(|k| odds(&raw, k) / odds(&calibrated, k)).collect();
    assert!((temperatures[0] - 1.0).abs() > 1e-3, "{temperatures:?}");
    assert!(temperatures.iter().all(|t| (t / temperatures[0] - 1.0).abs() < 1e-2), "{temperatures:?}");
}

#[test]
fn top_and_csv_shape_the_lines() {
    let trained = trained();
    let folder = temp();
    let path = write_digits(folder.path(), 1)[0].display().to_string();
    let model = trained.model();
    let csv = stdout(folder.path(), &["predict", "--model", &model, "--csv", "--top", "2", &path]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["path", "label", "probability", "label_2", "probability_2", "error"]);
    assert_eq!((rows.len(), rows[1].len()), (2, 6));
    let all = stdout(folder.path(), &["predict", "--model", &model, "--json", "--top", "99", &path]);
    let all = &lines(&all)[0];
    let top = all["top"].as_array().unwrap();
    assert_eq!(top.len(), 10, "no more labels than classes");
    let sum: f64 = top.iter().map(|guess| guess["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}
