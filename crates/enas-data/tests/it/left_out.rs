//! What a run leaves out is counted and named in it, and stops nothing.

use std::fs;

use enas_data::{Config, LoadOptions, load};
use enas_rng::Seed;

use crate::bundle::{Bundle, encode, loaded, png, warning};
use crate::zip::pack;

#[test]
fn images_beside_class_folders_are_left_out_counted_and_named() {
    let bundle = Bundle::new().with("cat", 10).with("dog", 10);
    ["b.png", "a.png"].iter().for_each(|name| drop(bundle.file(name, &png(1, 1))));
    let (data, log) = loaded(&bundle);
    assert_eq!(data.fingerprint.files, 20);
    let line = warning(&log, "left out");
    assert!(
        line.contains("left out 2 images outside of the class folders (a.png, b.png); put each"),
        "{line}"
    );
}

#[test]
fn masks_and_thumbnails_are_not_images_of_the_class() {
    let bundle = ["cat", "dog"].iter().fold(Bundle::new(), |bundle, class| {
        bundle.with(&format!("{class}/images"), 10).with(&format!("{class}/masks"), 10)
    });
    let (data, log) = loaded(&bundle);
    assert_eq!(data.fingerprint.files, 20);
    assert!(warning(&log, "masks").contains("left out 2 folders of masks"), "{log}");
    // Where there is nothing else, these are the images.
    let bundle = Bundle::new().with("mask", 10).with("no mask", 10);
    assert_eq!(loaded(&bundle).0.classes, ["mask", "no mask"]);
}

#[test]
fn run_directories_below_the_data_are_no_classes() {
    let bundle = Bundle::new().with("cat", 10).with("dog", 10);
    let alone = loaded(&bundle).0;
    for run in ["runs/x-search-1", "out", "cat/r"] {
        bundle.file(&format!("{run}/config.toml"), b"");
        bundle.file(&format!("{run}/manifest.json"), b"{}");
        bundle.file(&format!("{run}/cells/normal.png"), &png(1, 1));
        bundle.file(&format!("{run}/checkpoints/1"), b"");
    }
    let bundle = bundle.folder("runs/x-train-1").folder("old/runs");
    bundle.file("old/auto/search.toml", b"");
    bundle.file("old/auto/auto.json", b"{}");
    let (data, log) = loaded(&bundle);
    assert_eq!((&data.fingerprint, data.split_file()), (&alone.fingerprint, alone.split_file()));
    let line = warning(&log, "left out");
    assert!(line.contains("left out 4 folders of runs (cat/r, old, out, …)"), "{line}");

    let elsewhere = Bundle::new();
    let path = elsewhere.root().join("packed.zip");
    pack(bundle.root(), &path, "");
    let packed = load(&Config { path, ..bundle.config() }, &LoadOptions::new(Seed::new(1))).unwrap();
    assert_eq!(packed.fingerprint, alone.fingerprint);
}

#[test]
fn a_class_may_be_called_runs() {
    let bundle = Bundle::new().with("runs", 10).with("walks", 10);
    bundle.file("runs/config.toml", b"");
    assert_eq!(loaded(&bundle).0.classes, ["runs", "walks"]);
}

#[test]
fn folders_and_files_of_systems_do_not_stop_a_run() {
    let bundle = Bundle::new().with("cat", 10).with("dog", 10);
    let alone = loaded(&bundle).0;
    for folder in
        ["@eaDir", "__pycache__", ".git", "#recycle", "$RECYCLE.BIN", "lost+found", "cat/@eaDir/000.png"]
    {
        bundle.file(&format!("{folder}/thumb.jpg"), &png(1, 1));
    }
    ["Thumbs.db", "cat/desktop.ini", "dog/._000.png"].iter().for_each(|name| drop(bundle.file(name, b"x")));
    let (data, log) = loaded(&bundle);
    assert_eq!((&data.fingerprint, &data.classes), (&alone.fingerprint, &alone.classes));
    let line = warning(&log, "left out");
    assert!(line.contains("left out 10 hidden folders and files of systems or programs"), "{line}");
    assert!(line.contains("(#recycle, $RECYCLE.BIN, .git, …)"), "{line}");
}

#[test]
fn files_that_are_not_used_are_named_by_their_kind() {
    let bundle = Bundle::new().with("cat", 10).with("dog", 10);
    bundle.file("cat/photo.jfif", &png(1, 1));
    bundle.file("cat/IMG_1.HEIC", b"....ftypheic");
    bundle.file("dog/more.zip", b"PK");
    bundle.file("dog/.hidden.png", &png(1, 1));
    bundle.file("labels.csv", b"a,b\n");
    let (data, log) = loaded(&bundle);
    assert_eq!(data.fingerprint.files, 20);
    for expected in [
        "1 file that is an image but not named like one (cat/photo.jfif); give them names that end",
        "1 file of a kind that is not read (cat/IMG_1.HEIC); convert them",
        "1 archive (dog/more.zip); unpack them",
        "1 image whose name begins with a dot (dog/.hidden.png)",
        "1 file that is not named like an image (labels.csv)",
    ] {
        assert!(warning(&log, expected).contains("left out"), "{log}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_are_not_opened_and_circles_are_left() {
    let bundle = Bundle::new().with("cat", 10).with("dog", 10);
    let made = std::process::Command::new("mkfifo").arg(bundle.root().join("cat/pipe.png")).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("..", bundle.root().join("dog/up")).unwrap();
    std::os::unix::fs::symlink(".", bundle.root().join("self")).unwrap();
    let (data, log) = loaded(&bundle);
    assert_eq!((data.fingerprint.files, data.classes.len()), (20, 2));
    assert!(warning(&log, "pipe, socket").contains("(cat/pipe.png)"), "{log}");
    assert!(
        warning(&log, "lead back")
            .contains("left out 2 links that lead back to a folder above (dog/up, self)")
    );
}

#[test]
fn a_folder_deep_down_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let bundle = Bundle::new().with("cat", 10).with("dog", 10).folder("cat/a/b");
    let locked = bundle.root().join("cat/a/b");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever may read everything is not stopped by that.
    let expected = fs::read_dir(&locked).is_err();
    let (data, log) = loaded(&bundle);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(data.fingerprint.files, 20);
    assert_eq!(log.contains("1 folder that cannot be read (cat/a/b)"), expected, "{log}");
}

#[test]
fn the_check_lists_what_a_run_leaves_out() {
    use enas_data::check::{FindingKind, Severity, check_dataset};
    let bundle =
        Bundle::new().with("w/cat", 12).with("w/dog", 12).with("w/cat/more", 3).with("w/dog/masks", 2);
    bundle.file("w/@eaDir/x.png", &png(1, 1));
    bundle.file("w/out/config.toml", b"");
    bundle.file("w/out/manifest.json", b"{}");
    bundle.file("w/a.heic", b"x");
    bundle.file("cover.png", &png(1, 2));
    let report = check_dataset(&bundle.config(), Seed::new(1)).unwrap();
    assert!(report.can_start && report.path.ends_with("/w"), "{}", report.path);
    assert_eq!(report.files, 27);
    let lines: Vec<String> = report.findings.iter().map(|finding| finding.line()).collect();
    for expected in [
        "all images are in w: its folders are the classes or splits",
        "3 images are in folders inside class folders (cat/more): counted for the class",
        "1 folder of masks, thumbnails or the like in a class folder (such as dog/masks): left out: rename it",
        "1 folder of runs (such as out): left out",
        "hidden folder or file of a system or program (such as @eaDir): left out",
        "1 image is outside of the class folders (such as cover.png): left out: put each",
        "1 file is not named like an image (such as a.heic): left out",
    ] {
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:#?}");
    }
    let serious =
        report.findings.iter().filter(|f| f.kind == FindingKind::LeftOut && f.severity == Severity::Warning);
    assert_eq!(serious.count(), 1, "only the masks could have been meant");
}

#[test]
fn the_check_says_which_sample_is_white() {
    let bundle = Bundle::new();
    for (i, class) in ["a", "b"].into_iter().cycle().take(8).enumerate() {
        let pixel = |x: u32, y: u32| image::Luma([((x * 67 + y * 31) * (97 + i as u32) % 4000) as u16]);
        let image = image::ImageBuffer::<image::Luma<u16>, Vec<u16>>::from_fn(8, 8, pixel);
        bundle.file(&format!("{class}/{i}.png"), &encode(&image.into()));
    }
    let report = enas_data::check::check_dataset(&bundle.config(), Seed::new(1)).unwrap();
    let deep =
        report.findings.iter().find(|finding| finding.kind == enas_data::check::FindingKind::Deep).unwrap();
    assert_eq!(deep.consequence, "kept, scaled to 8 bits, with white at 4095 (data.white_level)");
}
