//! `enas data check`: tables, JSON and exit codes.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{json, keys, refused, run, stdout, temp, text};

/// Copies an image.
fn copy(folder: &Path, from: &Path, to: &str) {
    let to = folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// Digits in all three splits.
fn digits(folder: &Path) -> Vec<std::path::PathBuf> {
    ["train", "valid", "test"]
        .iter()
        .flat_map(|part| write_digits(&folder.join("photos").join(part), 179))
        .collect()
}

const SIZE: [&str; 2] = ["--set", "data.image_size=8"];

fn check<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["data", "check", "photos"], &SIZE[..], more].concat()
}

#[test]
fn the_table_says_what_was_found_and_what_happens() {
    let folder = temp();
    let folder = folder.path();
    digits(folder);
    fs::write(folder.join("photos/train/3/broken.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    let table = stdout(folder, &check(&["--examples", "1"]));
    assert!(table.starts_with("photos: 538 images, 537 usable, 10 classes\n"), "{table}");
    assert!(table.contains("class    train    valid     test\n0  "), "{table}");
    assert!(table.contains("179 groups of the same image in more than one split  [leakage]"), "{table}");
    assert!(table.contains("… 178 more"), "{table}");
    assert!(
        table.contains(
            "1 file cannot be read  [unreadable]\n           train/3/broken.png: cannot be decoded"
        ),
        "{table}"
    );
    assert!(table.contains("→ skipped, each with a warning"), "{table}");
    assert!(table.lines().last().unwrap().starts_with("verdict: a run can start (2 warnings, "), "{table}");
}

#[test]
fn the_document_has_every_path_and_repeats_to_the_byte() {
    let folder = temp();
    let folder = folder.path();
    digits(folder);
    let report = json(folder, &check(&[]));
    assert_eq!(
        keys(&report),
        ["can_start", "classes", "coloured", "drawn", "files", "findings", "path", "sizes", "usable"]
    );
    let findings = report["findings"].as_array().unwrap();
    let leakage = findings.iter().find(|finding| finding["kind"] == "leakage").unwrap();
    assert_eq!(keys(leakage), ["cases", "consequence", "kind", "severity", "summary"]);
    assert_eq!(leakage["cases"].as_array().unwrap().len(), 179);
    assert_eq!(leakage["cases"][0]["paths"].as_array().unwrap().len(), 3);
    let with = |threads| stdout(folder, &check(&["--json", "--threads", threads]));
    assert_eq!(with("1"), with("3"));
}

#[test]
fn what_stops_a_run_ends_with_one_and_is_the_verdict() {
    let folder = temp();
    let folder = folder.path();
    let images = write_digits(folder, 1);
    copy(folder, &images[0], "photos/only/a.png");
    let output = run(folder, &check(&[]));
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("error    photos is not laid out as a data set"), "{table}");
    assert!(table.contains("\nverdict: no run can start (1 error, "), "{table}");
    let output = run(folder, &check(&["--json"]));
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["can_start"], false);
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let folder = temp();
    refused(folder.path(), &["data", "check", "nowhere"], 1, "no data at nowhere");
    refused(folder.path(), &["data", "check", "--set", "data.channels=2"], 2, "data.channels = 2");
    refused(folder.path(), &["data", "check", "--threads", "0"], 2, "from 1 to 1024");
}

#[test]
fn the_built_in_digits_are_sound() {
    let folder = temp();
    let table = stdout(folder.path(), &["data", "check", "--set", "data.image_size=8"]);
    assert!(table.ends_with("verdict: a run can start (0 warnings, 0 notes)\n"), "{table}");
}

#[test]
fn the_check_describes_the_split_that_a_run_makes() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 179);
    let report = json(folder, &check(&[]));
    let sum = |report: &serde_json::Value, part: &str| -> u64 {
        report["classes"].as_array().unwrap().iter().map(|class| class[part].as_u64().unwrap()).sum()
    };
    let small =
        ["--cell", "wide-light", "--epochs", "1", "--set", "child.filters=4", "--set", "child.layers=1"];
    stdout(folder, &[&["train", "photos", "--set", "data.image_size=8"], &small[..]].concat());
    let split = std::fs::read_to_string(folder.join("runs/photos-train-1/split.json")).unwrap();
    let split: serde_json::Value = serde_json::from_str(&split).unwrap();
    for part in ["train", "valid", "test"] {
        assert_eq!(sum(&report, part), split[part].as_array().unwrap().len() as u64, "{part}");
    }
    assert!(sum(&report, "test") > 22, "the larger share: {report}");
    let notes = report["findings"].as_array().unwrap();
    assert!(notes.iter().any(|finding| finding["kind"] == "small-split"), "{report}");
    // What is set by hand and presets are as they are.
    for more in [&["--set", "data.test_fraction=0.1"][..], &["--preset", "folder"]] {
        assert!(sum(&json(folder, &check(more)), "test") < 22, "{more:?}");
    }
}

#[test]
fn competition_layouts_are_refused_by_checks_and_runs_alike() {
    let folder = temp();
    let folder = folder.path();
    let images = write_digits(&folder.join("digits"), 56);
    for (i, image) in images.iter().enumerate() {
        let part = if i % 2 == 0 { "train" } else { "test1" };
        copy(folder, image, &format!("photos/{part}/{i}.png"));
    }
    fs::write(folder.join("photos/labels.csv"), "id,label\n").unwrap();
    let output = run(folder, &check(&[]));
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("test1, train hold no class folders") && table.contains("labels.csv"), "{table}");
    assert!(table.ends_with("verdict: no run can start (1 error, 0 warnings, 0 notes)\n"), "{table}");
    let train = ["train", "photos", "--cell", "wide-light", "--epochs", "1"];
    refused(folder, &train, 1, "test1, train hold no class folders");
}

#[test]
fn a_class_name_of_two_lines_keeps_the_table() {
    let folder = temp();
    let folder = folder.path();
    for (i, image) in write_digits(&folder.join("digits"), 40).iter().enumerate() {
        copy(folder, image, &format!("photos/{}/{i}.png", ["two\nlines", "one"][i % 2]));
    }
    fs::write(folder.join("photos/two\nlines/broken.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    let table = stdout(folder, &check(&[]));
    assert!(table.contains("\ntwo\\nlines  ") && table.contains("two\\nlines/broken.png"), "{table}");
    assert!(!table.contains("two\nlines"), "{table}");
}

#[test]
fn a_place_where_no_run_can_be_written_names_the_way_out() {
    let folder = temp();
    let folder = folder.path();
    fs::write(folder.join("runs"), "a file").unwrap();
    let train = ["train", "--cell", "wide-light", "--epochs", "1"];
    refused(folder, &train, 1, "cannot create runs: ");
    refused(folder, &train, 1, "; name a folder that can be written with --out");
}
