//! What commands say on stderr: the first line, the architecture, and what they leave out.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, refused, run, stdout, temp, text};
use tempfile::TempDir;

/// 150 grey images of nine classes, and files that no command reads.
fn photos() -> TempDir {
    let folder = temp();
    let photos = folder.path().join("photos");
    let image = write_digits(&photos, 150).remove(0);
    let class = image.parent().unwrap();
    fs::copy(&image, class.join("other.jfif")).unwrap();
    fs::copy(&image, class.join("other")).unwrap();
    fs::write(class.join("phone.HEIC"), "x").unwrap();
    fs::write(class.join("notes.txt"), "x").unwrap();
    folder
}

/// Runs the program, which must succeed, and gives the lines on stderr.
fn said(folder: &Path, args: &[&str]) -> Vec<String> {
    let output = run(folder, args);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    // Status lines of slow machines end with the time.
    stderr.lines().filter(|line| !(line.contains(" … ") && line.ends_with(" s"))).map(str::to_owned).collect()
}

/// The number of lines that contain `fragment`.
fn count(lines: &[String], fragment: &str) -> usize {
    lines.iter().filter(|line| line.contains(fragment)).count()
}

#[test]
fn the_first_line_says_data_work_and_limit() {
    let folder = photos();
    let folder = folder.path();
    let small = ["--set", "child.filters=4", "--set", "child.layers=1", "--epochs", "1"];
    let data = "photos: 150 images in 9 classes; ";
    let cases: [(&[&str], &str); 4] = [
        (&["train", "photos", "--arc", TINY_ARC], "Training of one network, 1 epoch at most, no time limit"),
        (
            &["train", "photos", "--arc", TINY_ARC, "--seeds", "2", "--jobs", "2"],
            "2 trainings of one architecture, each of 1 epoch at most, no time limit",
        ),
        (
            &["train", "photos", "--arc", TINY_ARC, "--time", "5m"],
            "Training of one network, time limit 5 min 00 s",
        ),
        (&["search", "photos"], "Search of an architecture, 1 epoch at most, no time limit"),
    ];
    for (command, work) in cases {
        let more: &[&str] = if command[0] == "search" { &TINY_SEARCH } else { &[] };
        let lines = said(folder, &[command, &small[..], more].concat());
        assert!(lines[0].starts_with(data) && lines[0].ends_with(work), "{command:?}: {lines:#?}");
        // Each kind of file that is left out is reported once.
        assert_eq!(count(&lines, "named like one"), 1, "{lines:#?}");
        assert_eq!(count(&lines, "a kind that is not read"), 1, "{lines:#?}");
        assert!(count(&lines, "the time limit leaves") <= 1, "{lines:#?}");
    }
}

#[test]
fn an_automatic_run_names_its_data_first_and_its_cell() {
    let folder = photos();
    let photos = folder.path().join("photos");
    fs::copy(photos.join("0/other"), photos.join("alone.png")).unwrap();
    let settings = ["--set", "child.filters=4", "--set", "run.epochs=1", "--set", "refit.images=none"];
    let lines = said(folder.path(), &[&["auto", "photos", "--search", "never"], &settings[..]].concat());
    assert!(lines[0].starts_with("photos: 150 images in 9 classes; "), "{lines:#?}");
    assert!(lines[0].ends_with("Training of a ready cell, without a search, no time limit"), "{lines:#?}");
    assert_eq!(count(&lines[1..], "verdict: a run can start"), 1, "{lines:#?}");
    assert_eq!(count(&lines, "outside of the class folders"), 1, "{lines:#?}");
    let cell = lines.iter().find(|line| line.starts_with("network: the ready cell wide-light, "));
    let cell = cell.unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(cell.ends_with("; enas train photos --cell NAME trains another"), "{cell}");
}

#[test]
fn an_automatic_run_trains_the_cell_that_is_given() {
    let folder = photos();
    let folder = folder.path();
    fs::write(folder.join("my.arc"), TINY_ARC).unwrap();
    let settings = ["--set", "child.filters=4", "--set", "child.layers=1", "--set", "run.epochs=1"];
    let auto = |cell: &str| said(folder, &[&["auto", "photos", "--cell", cell], &settings[..]].concat());
    for cell in ["enas-cifar10", TINY_ARC, "my.arc"] {
        let lines = auto(cell);
        assert!(
            lines[0].ends_with("Training of the given cell, without a search, no time limit"),
            "{lines:#?}"
        );
        assert_eq!(count(&lines, "plan: training of the given cell "), 1, "{lines:#?}");
        let named = count(&lines, "network: the ready cell enas-cifar10, as --cell says: ");
        assert_eq!(named, usize::from(cell == "enas-cifar10"), "{lines:#?}");
    }
    let shown = stdout(folder, &["arc", "convert", "--run", "runs/photos-auto-2", "--to", "ints"]);
    assert_eq!(shown.trim(), TINY_ARC);
    // A finished run says its result again, with the cell that was given.
    let resumed = said(folder, &["auto", "--resume", "runs/photos-auto-1"]);
    assert!(
        resumed[0].ends_with("Training of the given cell, without a search, no time limit"),
        "{resumed:#?}"
    );
}

#[test]
fn a_cell_that_cannot_be_given_is_refused() {
    let folder = temp();
    let cases: [(&[&str], &str); 4] = [
        (&["--cell", "wide", "--search", "never"], "cannot be used with"),
        (&["--cell", "wide", "--resume", "runs/x"], "cannot be used with"),
        (
            &["--cell", "narrow"],
            "--cell narrow: there is no such cell; cells: wide, wide-light, enas-cifar10",
        ),
        (&["--cell", "0 1 2"], "--cell: 3 integers do not make an arc"),
    ];
    for (flags, fragment) in cases {
        refused(folder.path(), &[&["auto"], flags].concat(), 2, fragment);
    }
}

#[test]
fn a_training_names_its_ready_cell() {
    let folder = temp();
    let lines = said(folder.path(), &[&["train", "digits", "--epochs", "1"], &TINY[..]].concat());
    let cell = lines.iter().find(|line| line.starts_with("network: the ready cell wide, the default: "));
    assert!(cell.is_some_and(|line| line.ends_with("--cell NAME or --arc ARC trains another")), "{lines:#?}");
    let given = ["train", "digits", "--arc", TINY_ARC, "--epochs", "1"];
    assert_eq!(count(&said(folder.path(), &[&given, &TINY[..]].concat()), "ready cell"), 0);
}

#[test]
fn files_that_are_not_classified_are_counted_and_named() {
    let folder = photos();
    let folder = folder.path();
    let train = ["train", "photos", "--arc", TINY_ARC, "--epochs", "1", "--out", "r"];
    said(folder, &[&train, &["--set", "child.filters=4", "--set", "child.layers=1"][..]].concat());
    let output = run(folder, &["predict", "--run", "r", "photos"]);
    let stdout = text(&output.stdout);
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stdout.lines().count() == 150, "{stderr}");
    for line in [
        "photos: left out 2 files that are images but not named like one (",
        "/other.jfif); give them names that end in jpg, png, … to use them",
        "photos: left out 1 file of a kind that is not read (",
        "/phone.HEIC); convert them to JPEG or PNG to use them",
        "photos: left out 1 file that is not named like an image (",
    ] {
        assert!(stderr.contains(line), "no {line:?} in {stderr}");
    }
    // A file that is named itself is read whatever its name.
    let named =
        fs::read_dir(folder.join("photos")).unwrap().map(|class| class.unwrap().path().join("other.jfif"));
    let named = named.into_iter().find(|path| path.exists()).unwrap();
    let output = run(folder, &["predict", "--run", "r", named.to_str().unwrap()]);
    assert!(output.status.success() && !text(&output.stderr).contains("left out"));
}

#[test]
fn a_warm_start_takes_a_run_directory() {
    let folder = temp();
    let folder = folder.path();
    let train = |more: &[&str]| {
        let base = ["train", "digits", "--arc", TINY_ARC, "--epochs", "1"];
        said(folder, &[&base[..], &TINY, more].concat())
    };
    train(&["--out", "first"]);
    let by_file = train(&["--out", "a", "--warm-start", "first/model.safetensors"]);
    let by_run = train(&["--out", "b", "--warm-start", "first"]);
    assert_eq!(count(&by_file, "weight tensors of the given model"), 1, "{by_file:#?}");
    assert_eq!(count(&by_run, "weight tensors of the given model"), 1, "{by_run:#?}");
    let start = |run: &str| fs::read(folder.join(run).join("start.safetensors")).unwrap();
    assert_eq!(start("a"), start("b"));
    // The model before a refit, where there is one.
    fs::rename(folder.join("a/model.safetensors"), folder.join("first/measured.safetensors")).unwrap();
    train(&["--out", "c", "--warm-start", "first"]);
    assert_ne!(start("c"), start("b"));

    fs::create_dir(folder.join("empty")).unwrap();
    let args = ["train", "digits", "--arc", TINY_ARC, "--warm-start", "empty"];
    enas_testing::program::refused(
        folder,
        &args,
        2,
        "--warm-start empty: there is no model.safetensors in it",
    );
}
