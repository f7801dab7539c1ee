//! Settings that follow from the images, in `search`, `train` and `augment` as in `auto`.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY_SEARCH, run, temp, text};
use serde_json::Value;
use tempfile::TempDir;

/// Settings of a small network, none of which follows from images.
const SMALL: [&str; 6] = ["--epochs", "1", "--set", "child.filters=4", "--set", "child.layers=1"];

/// 150 grey images of ten classes, 8 pixels wide.
fn photos() -> TempDir {
    let folder = temp();
    write_digits(&folder.path().join("photos"), 150);
    folder
}

fn search(folder: &Path, more: &[&str]) -> String {
    succeed(folder, &[&["search", "photos"], &SMALL[..], &TINY_SEARCH, more].concat())
}

/// Runs the program, which must succeed, and gives its stderr.
fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    stderr
}

fn config(folder: &Path, run: &str) -> toml::Table {
    fs::read_to_string(folder.join("runs").join(run).join("config.toml")).unwrap().parse().unwrap()
}

fn manifest(folder: &Path, run: &str) -> Value {
    let path = folder.join("runs").join(run).join("manifest.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_search_takes_settings_from_the_images_and_says_why() {
    let folder = photos();
    let folder = folder.path();
    let said = search(folder, &[]);
    let line = said.lines().find(|line| line.contains("--set run.batch_size=32 ")).unwrap_or(&said);
    assert!(line.contains("training images make ") && line.ends_with(" steps"), "{said}");
    assert!(said.contains("--set data.channels=1 ") && said.contains("all images are grey"), "{said}");
    let taken = config(folder, "photos-search-1");
    assert_eq!(taken["run"]["batch_size"].as_integer(), Some(32));
    assert_eq!(taken["data"]["image_size"].as_integer(), Some(8));
    assert_eq!(taken["data"]["test_fraction"].as_float(), Some(0.15));
    // What is set by hand wins, and is not said to follow from the images.
    assert_eq!(taken["controller"]["steps"].as_integer(), Some(2));
    assert!(!said.contains("controller.steps") && !said.contains("run.epochs"), "{said}");
    let kept = manifest(folder, "photos-search-1")["choices"].clone();
    let batch = kept.as_array().unwrap().iter().find(|choice| choice["key"] == "run.batch_size").unwrap();
    assert!(batch["value"] == "32" && batch["reason"].as_str().unwrap().ends_with(" steps"), "{kept}");
}

#[test]
fn what_is_set_by_hand_and_presets_win() {
    let folder = photos();
    let folder = folder.path();
    let said = search(folder, &["--set", "run.batch_size=8", "--set", "data.image_size=12"]);
    assert!(!said.contains("run.batch_size") && !said.contains("data.image_size"), "{said}");
    let taken = config(folder, "photos-search-1");
    assert_eq!(taken["run"]["batch_size"].as_integer(), Some(8));
    assert_eq!(taken["data"]["image_size"].as_integer(), Some(12));

    let preset = ["--preset", "folder", "--set", "data.image_size=8", "--set", "run.batch_size=16"];
    let said = search(folder, &preset);
    assert!(!said.contains("follow from the images"), "{said}");
    let taken = config(folder, "photos-search-2");
    assert_eq!(taken["data"]["channels"].as_integer(), Some(3), "the preset's");
    assert_eq!(manifest(folder, "photos-search-2").get("choices"), None);
}

#[test]
fn a_training_takes_them_too_and_goes_on_with_them() {
    let folder = photos();
    let folder = folder.path();
    search(folder, &["--set", "data.image_size=12"]);
    let said = succeed(folder, &[&["train", "--run", "runs/photos-search-1"], &SMALL[..]].concat());
    assert!(said.contains("--set keep=last ") && !said.contains("data.image_size"), "{said}");
    let taken = config(folder, "photos-train-1");
    assert_eq!(taken["keep"].as_str(), Some("last"));
    assert_eq!(taken["data"]["image_size"].as_integer(), Some(12), "as the search had it");
    assert_eq!(taken["data"]["augment"]["mode"].as_str(), Some("rand-augment"));

    // Going on takes what the run was started with, and looks at nothing again.
    let before = fs::read(folder.join("runs/photos-train-1/config.toml")).unwrap();
    let said = succeed(folder, &["train", "--resume", "runs/photos-train-1"]);
    assert!(!said.contains("follow from the images"), "{said}");
    assert!(fs::read(folder.join("runs/photos-train-1/config.toml")).unwrap() == before);

    // The path may be a setting as well.
    let by_setting = ["train", "--set", "data.path=photos", "--cell", "wide-light"];
    let said = succeed(folder, &[&by_setting, &SMALL[..]].concat());
    assert!(said.contains("--set run.batch_size=32 "), "{said}");
    let sheet = succeed(folder, &["augment", "photos", "--set", "data.augment.magnitude=9"]);
    assert!(sheet.contains("data.augment.mode=rand-augment") && !sheet.contains("magnitude"), "{sheet}");
}

#[test]
fn with_a_time_limit_a_training_takes_the_network_that_there_is_time_for() {
    let folder = photos();
    let folder = folder.path();
    let said = succeed(folder, &["train", "photos", "--cell", "wide-light", "--time", "6s", "--epochs", "2"]);
    let line = said.lines().find(|line| line.contains("--set child.filters=")).unwrap_or(&said);
    assert!(line.contains("can be trained in the time"), "{said}");
    let taken = config(folder, "photos-train-1");
    let kept = manifest(folder, "photos-train-1");
    let chosen = kept["choices"].as_array().unwrap().iter().find(|c| c["key"] == "child.filters").unwrap();
    let filters = taken["child"]["filters"].as_integer().unwrap();
    assert_eq!(chosen["value"].as_str().unwrap(), filters.to_string());
    let by_hand = ["--set", "child.filters=4", "--time", "6s", "--epochs", "1"];
    let said = succeed(folder, &[&["train", "photos", "--cell", "wide-light"], &by_hand[..]].concat());
    assert!(!said.contains("child.filters=") && !said.contains("child.layers="), "{said}");
}

#[test]
fn the_digits_keep_their_preset() {
    let folder = temp();
    let args = [&["search"], &SMALL[..], &TINY_SEARCH, &["--set", "run.batch_size=256"]].concat();
    let said = succeed(folder.path(), &args);
    assert!(!said.contains("follow from the images"), "{said}");
}

#[test]
fn the_automatic_run_learns_from_all_images_in_the_end_and_reports_what_it_measured_before() {
    let folder = photos();
    let folder = folder.path();
    let args = ["auto", "photos", "--search", "never", "--set", "run.epochs=2", "--set", "child.filters=4"];
    let args = [&args[..], &["--set", "child.layers=1", "--json"]].concat();
    let output = run(folder, &args);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("--set refit.images=all "), "{said}");
    assert!(said.contains("now trains for 1 epoch with all 150 images"), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["refit"]["images"], &told["refit"]["fitted"]), (&"all".into(), &150.into()));
    let measured = |args: &[&str]| -> (f64, String) {
        let output = run(folder, &[args, &["--json"]].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        (document["accuracy"].as_f64().unwrap(), text(&output.stderr))
    };
    // The images of the test split are measured with the network that had not seen them.
    let (accuracy, said) = measured(&["eval", "--run", "runs/photos-auto-1"]);
    assert_eq!(accuracy, told["test_accuracy"].as_f64().unwrap());
    assert!(said.contains("this is the network from before that"), "{said}");
    let (accuracy, _) = measured(&["eval", "photos", "--run", "runs/photos-auto-1", "--split", "valid"]);
    assert_eq!(accuracy, told["valid_accuracy"].as_f64().unwrap());
    // Without that network, a message says that the accuracy is not one on new images.
    fs::remove_file(folder.join("runs/photos-auto-1/measured.safetensors")).unwrap();
    let (_, said) = measured(&["eval", "--run", "runs/photos-auto-1"]);
    assert!(said.contains("says nothing about other images"), "{said}");

    let by_hand = [&args[..], &["--set", "keep=best"]].concat();
    let said = succeed(folder, &by_hand);
    assert!(!said.contains("refit.images"), "{said}");
}
