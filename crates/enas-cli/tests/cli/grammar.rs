//! One grammar for all commands: data as DATA, runs as `--run`, models as a file or the directory of a run.

use std::fs;
use std::path::Path;

use enas_testing::images::write_digits;
use enas_testing::program::{
    TINY, TINY_ARC, TINY_SEARCH, Trained, json, keys, refused, run, stdout, temp, text, trained,
};
use serde_json::json as value;

/// A search of digits as `search`, a training as `train`, and both as the phases of an automatic run in `auto`.
fn runs(dir: &Path) {
    let search = [&["search", "--epochs", "1", "--out", "search"], &TINY[..], &TINY_SEARCH].concat();
    stdout(dir, &search);
    let train = [&["train", "--arc", TINY_ARC, "--epochs", "1", "--out", "train"], &TINY[..]].concat();
    stdout(dir, &train);
    for phase in ["search", "train"] {
        fs::create_dir_all(dir.join("auto").join(phase)).unwrap();
        for file in fs::read_dir(dir.join(phase)).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                fs::copy(&path, dir.join("auto").join(phase).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    fs::write(dir.join("auto/auto.json"), "{}").unwrap();
    fs::copy(dir.join("train/model.safetensors"), dir.join("auto/model.safetensors")).unwrap();
}

/// Writes `photos`, trains on them as `r`, and gives what was printed.
fn train_on_photos(dir: &Path) -> serde_json::Value {
    write_digits(&dir.join("photos"), 150);
    let small = ["data.image_size=8", "data.channels=1", "child.aux_head=off", "run.batch_size=32"];
    let small: Vec<&str> = small.iter().flat_map(|setting| ["--set", setting]).collect();
    let train = ["train", "photos", "--arc", TINY_ARC, "--epochs", "1", "--out", "r"];
    json(dir, &[&train[..], &TINY[..6], &small].concat())
}

#[test]
fn a_run_is_a_run_for_every_command() {
    let folder = temp();
    let dir = folder.path();
    runs(dir);
    write_digits(&dir.join("new"), 3);
    let expected = json(dir, &["eval", "--model", "train/model.safetensors"]);
    for place in [["--run", "train"], ["--model", "train"], ["--run", "auto"], ["--model", "auto"]] {
        assert_eq!(json(dir, &[&["eval"], &place[..]].concat()), expected, "{place:?}");
        assert_eq!(stdout(dir, &[&["predict", "new"], &place[..]].concat()).lines().count(), 3, "{place:?}");
    }
    let of_training = json(dir, &["arc", "show", "--run", "train"]);
    assert_eq!(of_training["arc"], TINY_ARC);
    assert_eq!(json(dir, &["arc", "show", "--run", "auto"]), of_training);
    assert_eq!(json(dir, &["report", "train"]), json(dir, &["report", "--run", "train"]));
    assert_eq!(json(dir, &["report", "auto"]), value!({"path": "auto/report.html"}));
    assert_eq!(stdout(dir, &["arc", "draw", "--run", "auto", "--out", "d"]), "d/cells.svg\nd/network.svg\n");
    let again = [&["train", "--run", "auto", "--epochs", "1", "--out", "again"], &TINY[..]].concat();
    assert_eq!(json(dir, &again)["run"], "again");
    refused(dir, &["report"], 2, "no run given: enas report RUN, or --run DIR");
    refused(dir, &["report", "train", "--run", "train"], 2, "cannot be used with");
}

#[test]
fn what_is_not_a_model_is_named_with_what_would_be() {
    let folder = temp();
    let dir = folder.path();
    runs(dir);
    fs::write(dir.join("train/model.onnx"), "x").unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    fs::create_dir(dir.join("begun")).unwrap();
    fs::write(dir.join("begun/auto.json"), "{}").unwrap();
    let is_search = "this is a search, which has no model; make one with: enas train --run search";
    let cases: [(&[&str], &str); 7] = [
        (&["--model", "search"], is_search),
        (&["--run", "search"], "--run search: this is a search"),
        (&["--run", "empty"], "--run empty: there is no model.safetensors in it"),
        (&["--run", "begun"], "go on with: enas auto --resume begun"),
        (&["--model", "train/model.onnx"], "was written from: --model train/model.safetensors"),
        (&["--model", "other.onnx"], "give the model.safetensors that it was written from"),
        (&["train"], "did you mean --model train?"),
    ];
    for (place, message) in cases {
        refused(dir, &[&["eval"], place].concat(), 2, message);
        refused(dir, &[&["predict"], place, &["a.png"]].concat(), 2, message);
    }
}

#[test]
fn data_stand_for_themselves() {
    let folder = temp();
    let dir = folder.path();
    assert_eq!(train_on_photos(dir)["run"], "r");
    let named = json(dir, &["eval", "photos", "--run", "r"]);
    let own = json(dir, &["eval", "--run", "r"]);
    assert_eq!(named, own);
    assert_eq!(json(dir, &["augment", "photos"])["path"], "photos-augment-1.png");
    let commands: [&[&str]; 6] = [
        &["search"],
        &["train", "--arc", TINY_ARC],
        &["eval", "--model", "m"],
        &["augment"],
        &["auto"],
        &["data", "check"],
    ];
    for command in commands {
        refused(dir, &[command, &["photos", "--data", "photos"]].concat(), 2, "cannot be used with");
        let tip = "tip: write the folder or zip itself";
        refused(dir, &[command, &["nowhere", "--dataset", "x"]].concat(), 2, tip);
    }
}

#[test]
fn an_architecture_may_be_a_file_wherever_it_may_be_given() {
    let folder = temp();
    let dir = folder.path();
    fs::write(dir.join("my.arc"), TINY_ARC).unwrap();
    assert_eq!(json(dir, &["arc", "show", "my.arc"]), json(dir, &["arc", "show", TINY_ARC]));
    assert_eq!(stdout(dir, &["arc", "check", "my.arc"]), "ok: 1 node per cell\n");
    let train = [&["train", "--arc", "my.arc", "--epochs", "1"], &TINY[..]].concat();
    assert_eq!(json(dir, &train)["arc"], TINY_ARC);
    refused(dir, &["train", "--arc", "none.json"], 2, "--arc: cannot read none.json");
    let folder_given = "is a folder; name a file in it, or give the run with --run";
    refused(dir, &["train", "--arc", "runs"], 2, folder_given);
    refused(dir, &["arc", "show", "."], 2, "is a folder; name a file in it, or give the run with --run .");
    refused(dir, &["search", "--set", "lr=0.1"], 2, "there is no key lr; did you mean schedule.lr_max?");
    refused(dir, &["arc", "show", "runs/none.json"], 2, "cannot read runs/none.json");
}

#[test]
fn a_file_in_a_run_is_explained_for_the_task_of_that_run() {
    let folder = temp();
    let dir = folder.path();
    runs(dir);
    let shown = json(dir, &["arc", "show", "train/best.arc.json"]);
    assert_eq!(shown, json(dir, &["arc", "show", "--run", "train"]));
    assert_eq!(shown["input"], value!([1, 16, 16]));
    let trained = fs::read_to_string(dir.join("train/best.arc.json")).unwrap();
    let trained: serde_json::Value = serde_json::from_str(&trained).unwrap();
    assert_eq!((&shown["params"], &shown["macs"]), (&trained["params"], &trained["macs"]));
    // What is asked for by name wins over the run.
    let other = json(dir, &["arc", "show", "train/best.arc.json", "--classes", "3"]);
    assert_eq!(other["classes"], 3);
    // A search speaks of the network that training builds after it.
    let final_network = json(dir, &["arc", "show", "--run", "search"]);
    let trained = json(dir, &["train", "--run", "search", "--epochs", "1"]);
    assert_eq!((&final_network["params"], &final_network["macs"]), (&trained["params"], &trained["macs"]));
    let own = "has settings and classes of its own";
    refused(dir, &["arc", "show", "--run", "train", "--preset", "quick"], 2, own);
}

#[test]
fn a_sheet_replaces_nothing_unless_it_is_told_to() {
    let folder = temp();
    let dir = folder.path();
    let image = write_digits(&dir.join("photos"), 150).remove(0);
    let shown = image.display().to_string();
    let before = fs::read(&image).unwrap();
    let exists = "this file exists already; --force replaces it";
    refused(dir, &["augment", "photos", "--out", &shown], 2, exists);
    assert!(fs::read(&image).unwrap() == before);
    refused(dir, &["augment", "photos", "--out", "photos/sheet.png"], 2, "this is among the images");
    assert_eq!(json(dir, &["augment", "photos"])["path"], "photos-augment-1.png");
    assert_eq!(json(dir, &["augment", "photos"])["path"], "photos-augment-2.png");
    stdout(dir, &["augment", "photos", "--out", "photos-augment-1.png", "--force"]);
}

#[test]
fn training_images_are_never_measured_as_test_wherever_they_lie() {
    let folder = temp();
    let dir = folder.path();
    train_on_photos(dir);
    let of = |split: &'static str| json(dir, &["eval", "--run", "r", "--split", split]);
    let here = ["train", "valid", "test"].map(of);
    fs::rename(dir.join("photos"), dir.join("moved")).unwrap();
    for (split, here) in ["train", "valid", "test"].into_iter().zip(&here) {
        let there = json(dir, &["eval", "moved", "--run", "r", "--split", split]);
        assert_eq!(&there, here, "{split}");
    }
    let output = run(dir, &["eval", "moved", "--run", "r"]);
    assert!(
        text(&output.stderr).contains("are left out: the model's training had them"),
        "{}",
        text(&output.stderr)
    );
    refused(
        dir,
        &["eval", "--run", "r"],
        1,
        "there are no images at photos, where the model's training found them",
    );
    // A model apart from its run says that it cannot tell.
    fs::copy(dir.join("r/model.safetensors"), dir.join("alone.safetensors")).unwrap();
    let output = run(dir, &["eval", "moved", "--model", "alone.safetensors"]);
    assert!(text(&output.stderr).contains("it is unknown"), "{}", text(&output.stderr));
    // Only images that it was trained on.
    let split: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("r/split.json")).unwrap()).unwrap();
    for part in ["valid", "test"] {
        for name in split[part].as_array().unwrap() {
            fs::remove_file(dir.join("moved").join(name.as_str().unwrap())).unwrap();
        }
    }
    refused(dir, &["eval", "moved", "--run", "r"], 1, "is from the test split");
}

#[test]
fn a_model_finds_its_data_from_another_folder() {
    let folder = temp();
    let dir = folder.path();
    train_on_photos(dir);
    let here = json(dir, &["eval", "--run", "r"]);
    assert_eq!(json(&dir.join("r"), &["eval", "--model", "model.safetensors"]), here);
}

#[test]
fn wrong_spellings_are_answered_with_the_right_ones() {
    let folder = temp();
    let cases: [(&[&str], &str); 8] = [
        (&["train", "--arch", "x"], "tip: the architecture is given with --arc"),
        (&["search", "--batch-size", "8"], "tip: use --set run.batch_size=N"),
        (&["search", "--imgsz=64"], "tip: use --set data.image_size=N"),
        (&["auto", "photos", "--epochs", "3"], "tip: use --time T, or --set run.epochs=N"),
        (&["predict", "--weights", "m", "a.png"], "tip: a model is given with --model FILE or --run DIR"),
        (&["search", "--gpu"], "tip: use --device cuda"),
        (&["evaluate"], "tip: use enas eval"),
        (&["fit"], "tip: use enas train"),
    ];
    for (args, tip) in cases {
        refused(folder.path(), args, 2, tip);
        let stderr = text(&run(folder.path(), args).stderr);
        assert_eq!(stderr.matches("tip: ").count(), 1, "{args:?}: {stderr}");
    }
}

#[test]
fn a_model_is_timed_image_by_image_and_in_batches() {
    let Trained { printed, .. } = trained();
    let model = trained().model();
    let timed = json(temp().path(), &["bench", "--model", &model, "--threads", "1"]);
    for key in ["p50_ms", "p95_ms", "images_per_second", "median_ms", "min_ms"] {
        assert!(timed[key].as_f64().unwrap() > 0.0, "{key}: {timed}");
    }
    assert!(timed["p50_ms"].as_f64() <= timed["p95_ms"].as_f64());
    assert_eq!(
        (&timed["batch"], &timed["threads"], &timed["params"]),
        (&64.into(), &1.into(), &printed["params"])
    );
    assert!(keys(&timed).contains(&"macs"));
    refused(temp().path(), &["bench"], 2, "nothing to time: --model <FILE>");
    let short = stdout(temp().path(), &["bench", "-h"]);
    assert!(short.contains("--model") && !short.contains("--drop-path-keep"), "{short}");
}
