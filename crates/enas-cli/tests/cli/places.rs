//! Where images may lie: folders with names that mean something else, run directories among them, links and archives.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, json, refused, run, stdout, temp, text, trained};
use image::{ImageBuffer, Luma};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Packs files under their names below `root`.
fn pack(root: &Path, files: &[std::path::PathBuf], to: &Path) {
    let mut zip = ZipWriter::new(fs::File::create(to).unwrap());
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &fs::read(file).unwrap()).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn a_folder_that_is_called_digits_wins_over_the_built_in_ones() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 179);
    let first = |args: &[&str]| stdout(folder, args).lines().next().unwrap().to_owned();
    assert_eq!(first(&["data", "check", "digits"]), "./digits: 179 images, 179 usable, 10 classes");
    assert!(first(&["data", "check", "--set", "data.path=digits"]).starts_with("./digits: 179 images"));
    // Without a word about data, nothing in a folder changes what is meant.
    assert!(first(&["data", "check"]).starts_with("digits: 1 797 images"));
    let measured = json(folder, &["eval", "--model", &trained().model(), "--data", "digits"]);
    assert_eq!(measured["total"], 179);
    let help = stdout(folder, &["search", "--help"]);
    assert!(help.contains("./digits"), "{help}");
}

#[test]
fn inside_the_folder_of_images_one_command_follows_the_other() {
    let folder = temp();
    let folder = folder.path();
    write_digits(folder, 179);
    let small = ["--set", "data.image_size=8", "--epochs", "1"];
    let batches = ["--set", "run.batch_size=16", "--set", "reward.batch_size=8"];
    let search = [&["search", "--data", "."], &small[..], &TINY[..], &TINY_SEARCH[..], &batches].concat();
    let found = json(folder, &search);
    let of_search = found["run"].as_str().unwrap();
    let train =
        [&["train", "--run", of_search], &small[..2], &["--epochs", "1"], &TINY[..], &batches[..2]].concat();
    let fixed = json(folder, &train);
    let check = stdout(folder, &["data", "check", "."]);
    assert!(check.contains("179 usable, 10 classes") && check.contains("1 folder of runs"), "{check}");
    assert!(
        json(folder, &["eval", "--model", fixed["model"].as_str().unwrap()])["total"].as_u64().unwrap() < 40
    );
}

#[test]
fn what_a_run_leaves_out_is_said_in_the_run() {
    let folder = temp();
    let folder = folder.path();
    let images = write_digits(&folder.join("photos"), 60);
    fs::copy(&images[0], folder.join("photos/cover.png")).unwrap();
    fs::write(folder.join("photos/labels.csv"), "a,b").unwrap();
    let args = ["augment", "--data", "photos", "--out", "sheet.png", "--set", "data.image_size=8"];
    let output = run(folder, &args);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for expected in [
        "photos: left out 1 image outside of the class folders (cover.png)",
        "left out 1 file that is not named like an image (labels.csv)",
    ] {
        assert_eq!(stderr.matches(expected).count(), 1, "{stderr}");
    }
}

#[test]
fn predict_reads_an_archive_as_the_folder_it_was_made_from() {
    let folder = temp();
    let model = trained().model();
    let folder = folder.path();
    let images = write_digits(&folder.join("photos"), 12);
    pack(folder, &images, &folder.join("packed.zip"));
    let labels = |path: &str| -> Vec<(String, Value)> {
        let lines = lines(&stdout(folder, &["predict", "--model", &model, "--json", path]));
        lines.iter().map(|line| (line["path"].as_str().unwrap().to_owned(), line["label"].clone())).collect()
    };
    let of_folder = labels("photos");
    let mut of_zip = labels("packed.zip");
    assert_eq!(of_folder.len(), 12);
    of_zip.iter_mut().for_each(|(path, _)| *path = path.strip_prefix("packed.zip/").unwrap().to_owned());
    assert_eq!(of_zip, of_folder);

    fs::write(folder.join("broken.zip"), b"PK\x03\x04rubbish").unwrap();
    let output = run(folder, &["predict", "--model", &model, "broken.zip", "photos"]);
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output.stdout);
    assert!(text.starts_with("broken.zip: error: broken.zip is not a complete zip"), "{text}");
    assert_eq!(text.lines().count(), 13);
}

#[cfg(unix)]
#[test]
fn predict_follows_links_as_a_search_does() {
    use std::os::unix::fs::symlink;
    let folder = temp();
    let model = trained().model();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 100);
    fs::create_dir_all(folder.join("farm")).unwrap();
    symlink("../photos/1", folder.join("farm/1")).unwrap();
    symlink("../photos/2", folder.join("farm/2")).unwrap();
    symlink("..", folder.join("farm/up")).unwrap();
    fs::create_dir_all(folder.join("farm/@eaDir")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("farm/pipe.png")).status().unwrap();
    assert!(made.success());
    let checked = json(folder, &["data", "check", "farm"]);
    let labelled = lines(&stdout(folder, &["predict", "--model", &model, "--json", "farm"]));
    assert!(!labelled.is_empty());
    assert_eq!(checked["files"], labelled.len());
    assert!(labelled[0]["path"].as_str().unwrap().starts_with("farm/1/"), "{labelled:?}");
}

#[test]
fn a_model_of_twelve_bits_reads_other_images_as_its_own() {
    let folder = temp();
    let folder = folder.path();
    for (class, most) in [("dark", 1200u32), ("light", 4095)] {
        fs::create_dir_all(folder.join("x").join(class)).unwrap();
        for i in 0..20u32 {
            let pixel = |x: u32, y: u32| Luma([((x * 67 + y * 31 + i * 7) * 97 % (most + 1)) as u16]);
            let path = folder.join(format!("x/{class}/{i:02}.png"));
            ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(8, 8, pixel).save(path).unwrap();
        }
    }
    let train = [
        &["train", "--arc", TINY_ARC, "--data", "x", "--epochs", "3", "--set", "data.image_size=8"],
        &TINY[..6],
        &["--set", "run.batch_size=8", "--preset", "quick"],
    ]
    .concat();
    let output = run(folder, &train);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("from the largest samples, white is 4095 (data.white_level sets it)"),
        "{stderr}"
    );
    let runs: Vec<_> =
        fs::read_dir(folder.join("runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // TensorList from its run, a model measures all images, those that it was trained on included.
    fs::copy(runs[0].join("model.safetensors"), folder.join("alone.safetensors")).unwrap();
    let model = "alone.safetensors";
    // All samples of these are dark; by themselves they would be taken for fewer bits.
    fs::create_dir_all(folder.join("only")).unwrap();
    fs::rename(folder.join("x/dark"), folder.join("only/dark")).unwrap();
    let measured = json(folder, &["eval", "--model", model, "--data", "only"]);
    let labelled = lines(&stdout(folder, &["predict", "--model", model, "--json", "only"]));
    let right = labelled.iter().filter(|line| line["label"] == "dark").count();
    assert_eq!((measured["total"].clone(), measured["correct"].clone()), (20.into(), right.into()));
}

#[test]
fn copied_images_and_a_missing_network_are_told_apart_from_what_the_model_learned() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 150);
    write_digits(&folder.join("copy"), 150);
    let refit = ["--set", "refit.images=all", "--set", "keep=last", "--epochs", "4", "--out", "r"];
    json(folder, &[&["train", "photos", "--arc", TINY_ARC][..], &TINY, &refit].concat());
    let own = json(folder, &["eval", "--run", "r"]);
    let copied = json(folder, &["eval", "--run", "r", "--data", "copy"]);
    assert_eq!(copied["confusion"], own["confusion"], "the network before the refit, on the same images");
    let report = || fs::read_to_string(folder.join("r/report.html")).unwrap();
    assert!(report().contains("Predictions of the test split"));

    fs::remove_file(folder.join("r/measured.safetensors")).unwrap();
    stdout(folder, &["report", "r"]);
    let html = report();
    assert!(html.contains("(measured.safetensors) is missing"), "the page says what it lacks");
    assert!(
        !html.contains("Predictions of the test split") && !html.contains("95\u{a0}% interval"),
        "{html}"
    );
}

#[test]
fn an_automatic_run_without_a_search_names_what_there_is() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 150);
    let small = ["--set", "run.epochs=1", "--set", "child.filters=4", "--set", "child.layers=1"];
    let output = run(folder, &[&["auto", "photos", "--search", "never", "--out", "a"][..], &small].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("controller.steps") && !said.contains("finals."), "{said}");
    refused(folder, &["train", "--run", "a"], 2, "--arc-file a/train/best.arc.json");
    refused(folder, &["prove", "a"], 2, "this automatic run made no search");
    for command in ["train", "search"] {
        refused(folder, &[command, "--resume", "a"], 2, "go on with: enas auto --resume a");
    }
    refused(folder, &["auto", "--resume", "a", "--search", "always"], 2, "--search");
    refused(folder, &["predict", "--run", "nope", "x.png"], 2, "there is no such folder");
}
