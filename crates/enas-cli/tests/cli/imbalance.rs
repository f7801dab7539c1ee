//! Classes of very different sizes: what is warned of, what helps, and what is refused.

use std::path::Path;

use enas_testing::images::write_image;
use enas_testing::program::{TINY_ARC, TINY_SEARCH, json, refused, run, temp, text};
use serde_json::Value;

/// Digits 3 and 8: all training pictures of the one, every 20th of the other; test and validation as they are.
fn unequal(folder: &Path) {
    let data = enas_data::digits().unwrap();
    for (part, split) in [("train", &data.train), ("valid", &data.valid), ("test", &data.test)] {
        for i in 0..split.len() {
            let class = &data.classes[split.labels()[i] as usize];
            let is_left_out = part == "train" && class == "8" && i % 20 != 0;
            if !["3", "8"].contains(&class.as_str()) || is_left_out {
                continue;
            }
            write_image(split, i, &folder.join("photos").join(part).join(class).join(format!("{i}.png")));
        }
    }
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let all = ["train", "--arc", TINY_ARC, "--data", "photos", "--preset", "quick", "--set", "run.epochs=6"];
    let tiny = [
        "--set",
        "data.image_size=8",
        "--set",
        "child.filters=4",
        "--set",
        "child.layers=1",
        "--set",
        "child.reductions=two",
        "--set",
        "run.batch_size=16",
        "--set",
        "keep=last",
    ];
    [&all[..], &tiny, more].concat()
}

fn f1(trained: &Value) -> f64 {
    trained["test_macro_f1"].as_f64().unwrap()
}

#[test]
fn balancing_helps_the_rare_class() {
    let folder = temp();
    let folder = folder.path();
    unequal(folder);
    let plain = json(folder, &train(&[]));
    let sampled = json(folder, &train(&["--set", "data.sampling=balanced"]));
    let weighed = json(folder, &train(&["--set", "run.class_weights=balanced"]));
    let all = [f1(&plain), f1(&sampled), f1(&weighed)];
    assert!(all[1] > all[0] + 0.1 && all[2] > all[0] + 0.1, "macro-F1 plain, sampled, weighed: {all:?}");

    let model = plain["model"].as_str().unwrap();
    let measured = json(folder, &["eval", "--model", model]);
    assert_eq!(measured["macro_f1"], plain["test_macro_f1"]);
    assert!(measured["balanced_accuracy"].as_f64().unwrap() <= 1.0);
}

#[test]
fn runs_warn_of_imbalance_and_leakage_in_a_line_each() {
    let folder = temp();
    let folder = folder.path();
    unequal(folder);
    let photos = folder.join("photos");
    let one = std::fs::read_dir(photos.join("train/3")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(one, photos.join("test/3/again.png")).unwrap();
    let warnings = |more: &[&str]| {
        let output = run(folder, &train(&[&["--epochs", "1"], more].concat()));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines: Vec<String> =
            text(&output.stderr).lines().filter(|l| l.contains("WARN")).map(str::to_owned).collect();
        lines
    };
    let plain = warnings(&[]);
    assert_eq!(plain.len(), 2, "{plain:?}");
    assert!(
        plain[0].contains("1 group of the same image in more than one split (such as test/3/again.png and "),
        "{plain:?}"
    );
    assert!(plain[1].contains("run.class_weights"), "{plain:?}");
    assert_eq!(warnings(&["--set", "data.sampling=balanced"]).len(), 1);
    assert!(warnings(&["--quiet"]).is_empty());
}

#[test]
fn a_training_on_unequal_classes_balances_them_unless_the_user_does() {
    let folder = temp();
    let folder = folder.path();
    unequal(folder);
    let said = |more: &[&str]| {
        let args = ["train", "photos", "--arc", TINY_ARC, "--epochs", "1", "--set", "data.image_size=8"];
        let small = ["--set", "child.filters=4", "--set", "child.layers=1"];
        let output = run(folder, &[&args[..], &small, more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let open = said(&[]);
    assert!(
        open.contains("--set data.sampling=balanced ") && open.contains("--set metric=macro-f1 "),
        "{open}"
    );
    assert!(open.contains(" times the training images of the smallest"), "{open}");
    let weighed = said(&["--set", "run.class_weights=balanced"]);
    assert!(!weighed.contains("data.sampling=balanced ") && weighed.contains("metric=macro-f1"), "{weighed}");
    let report = json(folder, &["data", "check", "photos"]);
    let found = report["findings"].as_array().unwrap().iter().find(|f| f["kind"] == "imbalance").unwrap();
    assert_eq!(found["severity"], "note", "{found}");
}

#[test]
fn a_search_on_unequal_classes_balances_them_as_the_training_does() {
    let folder = temp();
    let folder = folder.path();
    unequal(folder);
    let small = ["--epochs", "1", "--set", "data.image_size=8", "--set", "child.filters=4"];
    let tiny = ["--set", "child.layers=1", "--set", "child.reductions=two", "--set", "run.batch_size=16"];
    let args = [&["search", "photos"][..], &small, &tiny, &TINY_SEARCH].concat();
    let output = run(folder, &args);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("--set data.sampling=balanced "), "{said}");
    assert!(said.contains("--set select.metric=macro-f1 ") && !said.contains("--set metric="), "{said}");
    assert!(said.contains(" times the training images of the smallest"), "{said}");
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = temp();
    let folder = folder.path();
    unequal(folder);
    for (set, expected) in [
        (
            "run.class_weights=[1,2,3]",
            "3 weights, but the data have 2 classes: give one for each of 3, 8, in that order",
        ),
        ("run.class_weights=[1,0]", "0 is out of range; allowed: numbers above 0"),
        ("run.class_weights=equal", "\"none\", \"balanced\" or a list"),
        ("metric=f1", "expected `accuracy` or `macro-f1`"),
    ] {
        refused(folder, &train(&["--set", set]), 2, expected);
    }
    assert!(!folder.join("runs").exists(), "nothing is written for a run that cannot be");
    let both = ["--set", "data.sampling=balanced", "--set", "run.class_weights=balanced"];
    refused(folder, &train(&both), 2, "choose one of them");
}
