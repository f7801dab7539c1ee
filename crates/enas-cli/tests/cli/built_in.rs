//! The built-in data sets, wherever data may be meant, in a folder without any file.

use std::fs;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, json, stdout, temp};

/// Few pixels, for the sake of time.
const SIZE: [&str; 2] = ["--set", "data.image_size=8"];

#[test]
fn fashion_small_is_searched_trained_and_measured_without_a_file() {
    let folder = temp();
    let dir = folder.path();
    let check = stdout(dir, &["data", "check", "fashion-small"]);
    assert!(check.starts_with("fashion-small: 6 000 images, 6 000 usable, 10 classes\n"), "{check}");
    assert!(check.contains("7-sneaker"), "{check}");
    stdout(dir, &["augment", "fashion-small", "--out", "sheet.png"]);
    assert!(dir.join("sheet.png").is_file());

    let search = ["search", "fashion-small", "--epochs", "1"];
    let found = json(dir, &[&search[..], &SIZE, &TINY, &TINY_SEARCH].concat());
    assert_eq!(found["run"], "runs/fashion-small-search-1");
    let train = ["train", "--run", "runs/fashion-small-search-1", "--epochs", "1"];
    let fixed = json(dir, &[&train[..], &SIZE, &TINY].concat());
    assert_eq!(fixed["run"], "runs/fashion-small-train-1");

    let run = ["eval", "--run", "runs/fashion-small-train-1"];
    let own = json(dir, &run);
    assert_eq!((&own["total"], &own["accuracy"]), (&1000.into(), &fixed["test_accuracy"]));
    assert_eq!(json(dir, &[&run[..], &["--data", "fashion-small"]].concat()), own);
    let valid = json(dir, &[&run[..], &["fashion-small", "--split", "valid"]].concat());
    assert_eq!(valid["total"], 500, "a tenth of the 5,000 images that are not for testing");
}

#[test]
fn an_automatic_run_and_settings_in_a_file_take_fashion_small() {
    let folder = temp();
    let dir = folder.path();
    let auto = ["auto", "fashion-small", "--search", "never", "--time", "20s", "--set", "run.epochs=1"];
    let made = json(dir, &[&auto[..], &SIZE, &TINY].concat());
    assert_eq!(made["run"], "runs/fashion-small-auto-1");
    let settings = ["config", "show", "--for", "train", "--preset", "folder"];
    fs::write(
        dir.join("my.toml"),
        stdout(dir, &[&settings[..], &["--set", "data.path=fashion-small"]].concat()),
    )
    .unwrap();
    let train =
        ["train", "--config", "my.toml", "--arc", TINY_ARC, "--epochs", "1", "--set", "data.channels=1"];
    let fixed = json(dir, &[&train[..], &SIZE, &TINY].concat());
    assert_eq!(fixed["run"], "runs/fashion-small-train-1");
}

#[test]
fn a_folder_that_is_called_fashion_small_wins() {
    let folder = temp();
    let dir = folder.path();
    write_digits(&dir.join("fashion-small"), 179);
    let check = stdout(dir, &["data", "check", "fashion-small"]);
    assert!(check.starts_with("./fashion-small: 179 images, 179 usable, 10 classes"), "{check}");
}
