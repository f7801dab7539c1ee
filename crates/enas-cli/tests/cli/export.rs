//! `enas export` with a model that `enas train` wrote.
#![cfg(feature = "export")]

use std::fs;

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, TINY_ARC, enas, json, keys, refused, run, stdout, temp, text, trained};

#[test]
fn an_export_is_checked_on_the_models_own_images() {
    let folder = temp();
    let exported = json(folder.path(), &["export", "--model", &trained().model(), "--out", "m.onnx"]);
    let wanted =
        ["bytes", "max_abs_difference", "opset", "path", "pictures", "synthetic_pictures", "tolerance"];
    assert_eq!(keys(&exported), wanted);
    assert_eq!(exported["path"], "m.onnx");
    assert_eq!((&exported["pictures"], &exported["synthetic_pictures"]), (&144.into(), &0.into()));
    let difference = exported["max_abs_difference"].as_f64().unwrap();
    assert!(
        difference > 0.0 && difference < 1e-4,
        "{difference}: equal bits are another program's at best by luck"
    );
    assert_eq!(exported["bytes"], fs::metadata(folder.path().join("m.onnx")).unwrap().len());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
}

#[test]
fn the_python_script_is_printed_as_it_is_whatever_the_width() {
    let folder = temp();
    let script = include_str!("../../../enas-export/src/predict.py");
    let mut narrow = enas(folder.path());
    let output = narrow.env("COLUMNS", "60").args(["export", "--python"]).output().unwrap();
    assert!(output.status.success() && text(&output.stdout) == script, "{}", text(&output.stdout));
    let help = stdout(folder.path(), &["export", "--help"]);
    assert!(help.contains("enas export --python > predict.py"), "{help}");
    assert!(!help.contains("import json"), "the script is not in the help: {help}");
}

#[test]
fn a_hyphen_is_not_the_name_of_a_file() {
    let folder = temp();
    for args in [
        &["export", "--model", &trained().model(), "--out", "-"][..],
        &["arc", "draw", "--out", "-"],
        &["train", "digits", "--out", "-"],
    ] {
        refused(folder.path(), args, 2, "give the name of a file or folder");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn the_file_lies_beside_the_model_and_is_the_same_each_time() {
    let folder = temp();
    let model = folder.path().join("my.safetensors");
    fs::copy(trained().model(), &model).unwrap();
    let human = stdout(folder.path(), &["export", "--model", "my.safetensors", "--format", "onnx"]);
    assert!(human.starts_with("my.onnx: ") && human.contains("144 images"), "{human}");
    let first = fs::read(folder.path().join("my.onnx")).unwrap();
    stdout(folder.path(), &["export", "--model", "my.safetensors", "--force"]);
    assert!(first == fs::read(folder.path().join("my.onnx")).unwrap());
    for key in ["classes", "[\"0\",\"1\"", "normalization", "channel_order", "grey", "enas_version"] {
        assert!(first.windows(key.len()).any(|window| window == key.as_bytes()), "{key} is missing");
    }
}

#[test]
fn files_that_exist_are_kept() {
    let folder = temp();
    let model = trained().model();
    fs::write(folder.path().join("m.onnx"), "precious").unwrap();
    refused(folder.path(), &["export", "--model", &model, "--out", "m.onnx"], 2, "m.onnx exists already");
    assert_eq!(fs::read(folder.path().join("m.onnx")).unwrap(), b"precious");
    refused(folder.path(), &["export", "--model", &model, "--out", "."], 2, "is a folder");
    refused(
        folder.path(),
        &["export", "--model", &model, "--out", &model, "--force"],
        2,
        "is the model itself",
    );
}

#[test]
fn what_cannot_be_written_or_read_has_one_clear_message() {
    let folder = temp();
    let model = trained().model();
    let nowhere = ["export", "--model", &model, "--out", "no/such/m.onnx"];
    refused(folder.path(), &nowhere, 1, "cannot write no/such/m.onnx: ");
    let whole = fs::read(&model).unwrap();
    fs::write(folder.path().join("cut.safetensors"), &whole[..whole.len() - 9]).unwrap();
    refused(folder.path(), &["export", "--model", "cut.safetensors"], 1, "cut.safetensors: ");
    refused(folder.path(), &["export", "--model", "missing.safetensors"], 1, "missing.safetensors: ");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no export is left");
}

#[test]
fn an_export_that_differs_is_not_delivered() {
    let folder = temp();
    let strict = ["export", "--model", &trained().model(), "--out", "m.onnx", "--tolerance", "1e-12"];
    refused(folder.path(), &strict, 1, "m.onnx: the exported graph differs from the network");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
}

#[test]
fn samples_are_images_and_logits_for_other_runtimes() {
    let folder = temp();
    let args = ["export", "--model", &trained().model(), "--out", "m.onnx", "--samples", "a/b"];
    json(folder.path(), &args);
    let read = |name: &str| fs::read(folder.path().join("a/b").join(name)).unwrap();
    let side = 16 * 16;
    for (name, shape, numbers) in
        [("pictures.npy", "(144, 1, 16, 16, )", 144 * side), ("logits.npy", "(144, 10, )", 144 * 10)]
    {
        let bytes = read(name);
        assert!(text(&bytes[10..100]).contains(shape), "{name}");
        assert_eq!(bytes.len(), 128 + 4 * numbers, "{name}");
    }
    refused(
        folder.path(),
        &["export", "--model", &trained().model(), "--samples", "a/b"],
        2,
        "exists already",
    );
}

#[test]
fn a_model_whose_images_are_gone_is_checked_with_synthetic_ones() {
    let folder = temp();
    write_digits(&folder.path().join("pictures"), 120);
    let args = ["train", "--data", "pictures", "--arc", TINY_ARC, "--epochs", "1", "--out", "run"];
    stdout(folder.path(), &[&args[..], &TINY[..]].concat());
    let export = ["export", "--model", "run/model.safetensors", "--json", "--force"];
    let few = run(folder.path(), &export);
    let printed: serde_json::Value = serde_json::from_str(&text(&few.stdout)).unwrap();
    let synthetic = printed["synthetic_pictures"].as_u64().unwrap();
    assert!(synthetic > 0 && synthetic < 144, "a few images are filled up: {printed}");
    fs::remove_dir_all(folder.path().join("pictures")).unwrap();
    let none = run(folder.path(), &export);
    let printed: serde_json::Value = serde_json::from_str(&text(&none.stdout)).unwrap();
    assert_eq!(printed["synthetic_pictures"], 144);
    assert!(
        text(&none.stderr).contains("because the model's own are not available"),
        "{}",
        text(&none.stderr)
    );
    assert!(folder.path().join("run/model.onnx").is_file());
}
