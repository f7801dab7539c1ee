//! Trainings without a search: ready cells, several seeds, a warm start, a learning rate, and patience.

use enas_testing::images::write_digits;
use enas_testing::program::{TINY, json, refused, run, stdout, temp, text};

/// A tiny training on the digits.
fn train<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let tiny = TINY.iter().copied().chain(["--set", "data.image_size=8"]);
    ["train", "--data", "digits"].into_iter().chain(flags.iter().copied()).chain(tiny).collect()
}

#[test]
fn a_ready_cell_is_trained_where_only_data_are_given() {
    let folder = temp();
    let trained = json(folder.path(), &train(&["--epochs", "1"]));
    assert_eq!(trained["run"], "runs/digits-train-1");
    assert_eq!(trained["ended"], "epochs");
    assert!(trained["arc"].as_str().unwrap().split_whitespace().count() == 40, "{trained}");
    let help = stdout(folder.path(), &["train", "--help"]);
    for cell in ["wide", "wide-light", "enas-cifar10", "Pham et al., 2018"] {
        assert!(help.contains(cell), "no {cell} in: {help}");
    }
}

#[test]
fn several_seeds_give_a_mean_and_the_median_model() {
    let folder = temp();
    let args = train(&["--cell", "wide-light", "--seeds", "3", "--seed", "7", "--epochs", "1"]);
    let trained = json(folder.path(), &args);
    let seeds = trained["seeds"].as_array().unwrap();
    let of = |key: &str| -> Vec<f64> { seeds.iter().map(|seed| seed[key].as_f64().unwrap()).collect() };
    assert_eq!(of("seed"), [7.0, 8.0, 9.0]);
    let mut valid = of("valid_accuracy");
    let test = of("test_accuracy");
    let mean = test.iter().sum::<f64>() / 3.0;
    assert!((trained["test_accuracy_mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!(trained["test_accuracy_sd"].as_f64().unwrap() > 0.0);
    valid.sort_by(f64::total_cmp);
    assert_eq!(trained["valid_accuracy"].as_f64().unwrap(), valid[1]);
    let dir = folder.path().join("runs/digits-train-1");
    for file in ["model.safetensors", "report.html", "seed-8/model.safetensors", "manifest.json"] {
        assert!(dir.join(file).exists(), "{file}");
    }
    let eval = json(folder.path(), &["eval", "--model", "runs/digits-train-1/model.safetensors"]);
    assert_eq!(eval["accuracy"], trained["test_accuracy"]);
    // Going on with a finished run gives the same again.
    let mut again = json(folder.path(), &["train", "--resume", "runs/digits-train-1"]);
    let mut first = trained.clone();
    for document in [&mut again, &mut first] {
        document["seconds"] = 0.into();
    }
    assert_eq!(again, first);
}

#[test]
fn seeds_side_by_side_give_the_same_and_say_whose_line_it_is() {
    let folder = temp();
    let folder = folder.path();
    let args = train(&["--cell", "wide-light", "--seeds", "3", "--epochs", "1", "--threads", "2"]);
    let one_by_one = stdout(folder, &args);
    let output = run(folder, &[&args[..], &["--jobs", "3"]].concat());
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for seed in 1..=3 {
        assert!(stderr.contains(&format!("seed {seed}: epoch 1/1  loss ")), "{stderr}");
    }
    let results = |printed: &str| {
        let lines = printed.lines().filter(|line| !line.starts_with("time ") && !line.contains("runs/"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(results(&text(&output.stdout)), results(&one_by_one));
    for file in
        ["model.safetensors", "seed-2/model.safetensors", "seed-3/best.arc.json", "seed-1/config.toml"]
    {
        let read = |run: &str| std::fs::read(folder.join("runs").join(run).join(file)).unwrap();
        assert!(read("digits-train-1") == read("digits-train-2"), "{file} differs");
    }
}

#[test]
fn folds_test_every_image_once() {
    let folder = temp();
    let folder = folder.path();
    write_digits(&folder.join("photos"), 100);
    let small =
        ["--cell", "wide-light", "--epochs", "2", "--set", "child.filters=4", "--set", "child.layers=1"];
    let args = [&["train", "photos", "--folds", "3"], &small[..]].concat();
    let trained = json(folder, &args);
    let folds = trained["folds"].as_array().unwrap();
    let sum = |key: &str| folds.iter().map(|fold| fold[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((folds.len(), sum("test_total")), (3, 100));
    assert_eq!(trained["pooled_correct"], sum("test_correct"));
    assert_eq!(trained["pooled_total"], 100);
    let accuracy = trained["pooled_accuracy"].as_f64().unwrap();
    let interval: Vec<f64> =
        trained["pooled_interval"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
    assert!(interval[0] < accuracy && accuracy < interval[1], "{interval:?}");
    assert!(trained.get("seeds").is_none());
    // The delivered model is that of one fold, and is measured on that fold's own images.
    let eval = json(folder, &["eval", "--run", "runs/photos-train-1"]);
    assert_eq!((&eval["accuracy"], &eval["total"]), (&trained["test_accuracy"], &trained["test_total"]));
    let human = stdout(folder, &["train", "--resume", "runs/photos-train-1"]);
    assert!(human.starts_with("all images  ") && human.contains(" of 100), 95 % interval "), "{human}");
    assert!(human.contains("fold 3 ") && human.contains("which gives the model"), "{human}");
    assert!(!human.contains("--folds 5"), "it is just being done: {human}");
    assert!(folder.join("runs/photos-train-1/fold-2/split.json").is_file());

    let advised = stdout(folder, &[&["train", "photos"], &small[..]].concat());
    assert!(advised.contains("few images to test with") && advised.contains("--folds 5"), "{advised}");
    refused(folder, &["train", "digits", "--folds", "3"], 2, "digits has splits of its own");
    refused(folder, &["train", "photos", "--folds", "90"], 2, "take fewer folds, or add images");
    refused(folder, &["train", "photos", "--folds", "3", "--seeds", "2"], 2, "cannot be used with");
}

#[test]
fn a_warm_start_says_how_much_it_took() {
    let folder = temp();
    let folder = folder.path();
    stdout(folder, &train(&["--cell", "wide-light", "--epochs", "1"]));
    let model = "runs/digits-train-1/model.safetensors";
    let output = run(folder, &train(&["--cell", "wide-light", "--epochs", "1", "--warm-start", model]));
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said =
        stderr.lines().find(|line| line.contains("weight tensors")).unwrap_or_else(|| panic!("{stderr}"));
    let numbers: Vec<&str> = said.split_whitespace().filter(|word| word.parse::<u32>().is_ok()).collect();
    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "all of them fit: {said}");
    assert!(folder.join("runs/digits-train-2/start.safetensors").exists());
    std::fs::write(folder.join("no.model"), "none").unwrap();
    refused(folder, &train(&["--epochs", "1", "--warm-start", "no.model"]), 1, "--warm-start: no.model");
}

#[test]
fn a_learning_rate_is_suggested_and_nothing_is_kept() {
    let folder = temp();
    let found = json(folder.path(), &train(&["--find-lr", "--set", "run.batch_size=32"]));
    let curve = found["curve"].as_array().unwrap();
    assert!(curve.len() > 10 && curve.len() <= 100, "{}", curve.len());
    assert!(curve[0]["lr"].as_f64().unwrap() < curve[1]["lr"].as_f64().unwrap());
    assert!(found["suggested_lr"].as_f64().unwrap() > 1e-5);
    assert!(!folder.path().join("runs").exists());
    let printed = stdout(folder.path(), &train(&["--find-lr", "--set", "run.batch_size=32"]));
    assert!(printed.contains("try --set schedule.lr_max="), "{printed}");
}

#[test]
fn patience_is_a_flag_and_the_result_says_why_it_ended() {
    let folder = temp();
    let still =
        ["--epochs", "9", "--patience", "1", "--set", "schedule.lr_min=0", "--set", "schedule.lr_max=0"];
    let still = [&still[..], &["--cell", "wide-light", "--set", "run.bn_reestimate=1"]].concat();
    let trained = json(folder.path(), &train(&still));
    assert_eq!((trained["epochs"].as_u64(), trained["ended"].as_str()), (Some(2), Some("patience")));
}
