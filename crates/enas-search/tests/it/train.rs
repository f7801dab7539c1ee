//! Whole trainings, tiny ones, on real images, and the model files that come of them.

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use enas_child::{Child, ForwardMode};
use enas_data::Part;
use enas_search::{Ended, Error, FollowUpWork, Model, Run, TrainConfig, read_arc};
use enas_testing::runs::{arc, digits, metrics, newest_weights, train, train_config};
use enas_testing::tensors::flat;

const NEVER: u64 = u64::MAX;

#[test]
fn the_saved_model_evaluates_to_exactly_what_training_reported() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=4"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    // Four epochs of a tiny network; chance is 0.1.
    assert!(trained.test_accuracy > 0.3, "{}", trained.test_accuracy);

    let model = Model::load(&trained.model).unwrap();
    let accuracy = |part| {
        let (split, skipped) = model.load_split(&config.data.path, part).unwrap();
        assert!(skipped.is_empty());
        model.evaluate(&split).unwrap().accuracy()
    };
    assert_eq!(accuracy(Part::Test), trained.test_accuracy);
    assert_eq!(accuracy(Part::Valid), trained.valid_accuracy);
    assert_eq!(model.accuracy().valid, trained.valid_accuracy);
    assert_eq!(model.accuracy().test, Some(trained.test_accuracy));
    assert_eq!((model.arc().unwrap(), model.classes().len()), (&arc(), 10));

    let run = Run::resume(dir.path()).unwrap();
    assert_eq!(run.config::<TrainConfig>().unwrap(), config);
    assert_eq!(read_arc(&run.best_arc_path()).unwrap(), arc());
    let count = |kind: &str| metrics(dir.path()).iter().filter(|l| l["kind"] == kind).count();
    assert_eq!(["step", "epoch", "result"].map(count), [44, 4, 1]);
}

#[test]
fn candle_reads_the_saved_model_into_a_network_that_predicts_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=1"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    let model = Model::load(&trained.model).unwrap();
    let test = digits(&config.data, config.run.seed()).test;
    let picture = model.images(&[test.image(0).unwrap()]).unwrap();

    let file = std::fs::read(&trained.model).unwrap();
    let vb = VarBuilder::from_buffered_safetensors(file, DType::F32, &Device::Cpu).unwrap();
    let own = model.child().unwrap();
    let child = Child::fixed(own.config(), &arc(), own.input(), own.n_classes(), vb).unwrap();
    let logits = child.forward(&arc(), &picture, ForwardMode::Eval).unwrap().logits;
    assert_eq!(flat(&logits), flat(&model.logits(&picture).unwrap()));
}

#[test]
fn probabilities_are_a_distribution_in_the_order_of_the_logits() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=1"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    let model = Model::load(&trained.model).unwrap();
    let test = digits(&config.data, config.run.seed()).test;
    let picture = model.images(&[test.image(0).unwrap()]).unwrap();
    let (logits, probabilities) =
        (flat(&model.logits(&picture).unwrap()), flat(&model.probabilities(&picture).unwrap()));
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    let order = |row: &[f32]| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
        order
    };
    assert_eq!(order(&logits), order(&probabilities));
}

#[test]
fn probabilities_are_calibrated_by_the_temperature_that_the_validation_split_gave() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=2"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    let model = Model::load(&trained.model).unwrap();
    let data = digits(&config.data, config.run.seed());
    let rows = model.split_probabilities(&data.valid).unwrap();
    let labels = candle_core::Tensor::new(data.valid.labels(), &candle_core::Device::Cpu).unwrap();
    let fitted = enas_search::fit_temperature(&rows, &labels).unwrap();
    assert!((model.temperature() - fitted).abs() < 1e-9 && fitted != 1.0, "{fitted}");
    let picture = model.images(&[data.test.image(0).unwrap()]).unwrap();
    let (raw, calibrated) =
        (flat(&model.raw_probabilities(&picture).unwrap()), flat(&model.probabilities(&picture).unwrap()));
    let odds = |row: &[f32]| f64::from(row[0] / row[1]).ln();
    assert!((odds(&raw) / fitted - odds(&calibrated)).abs() < 1e-3, "{raw:?} {calibrated:?} {fitted}");
}

#[test]
fn probabilities_of_a_split_are_those_that_evaluation_counts() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=2", "run.eval_batch=50"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    let model = Model::load(&trained.model).unwrap();
    let test = digits(&config.data, config.run.seed()).test;
    let rows = flat(&model.split_probabilities(&test).unwrap());
    assert_eq!(rows.len(), test.len() * 10);
    let mut confusion = vec![vec![0; 10]; 10];
    for (row, &label) in rows.chunks(10).zip(test.labels()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let best = (0..10).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        confusion[label as usize][best] += 1;
    }
    assert_eq!(model.evaluate(&test).unwrap().confusion, confusion);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let run = |threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (trained, _) = pool.install(|| train(&train_config(&[]), dir.path(), NEVER));
        (std::fs::read(trained.model).unwrap(), std::fs::read(dir.path().join("best.arc.json")).unwrap())
    };
    let one = run(1);
    let two = run(2);
    assert!(one.0 == two.0, "model.safetensors differs");
    assert!(one.1 == two.1, "best.arc.json differs");
}

#[test]
fn interruptions_change_nothing() {
    let config = train_config(&[]);
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = train(&config, calm.path(), NEVER);
    let (got, interruptions) = train(&config, hasty.path(), 4);
    assert_eq!(interruptions, 5);
    let names = std::fs::read_dir(hasty.path()).unwrap().map(|e| e.unwrap().file_name());
    let events = names.filter(|name| name.to_string_lossy().starts_with("events.out.tfevents.")).count();
    assert_eq!(events, 6, "a file per session");
    assert!(std::fs::read(&got.model).unwrap() == std::fs::read(&expected.model).unwrap(), "models differ");
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "optimiser states differ");
}

#[test]
fn an_interruption_in_the_first_epoch_leaves_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&[]);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let stopped =
        enas_search::train(&config, &arc(), &data, &mut run, &mut enas_testing::runs::StopsAfter::new(3));
    assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
    let model = Model::load(&run.model_path()).unwrap();
    let accuracy = model.evaluate(&data.valid).unwrap().accuracy();
    assert_eq!((model.accuracy().valid, model.accuracy().test), (accuracy, None));
}

#[test]
fn best_keeps_the_best_epoch_and_last_the_last() {
    let accuracies = |keep: &str| {
        let dir = tempfile::tempdir().unwrap();
        let (trained, _) = train(&train_config(&["run.epochs=4", keep]), dir.path(), NEVER);
        let lines = metrics(dir.path());
        let epochs = lines.iter().filter(|l| l["kind"] == "epoch");
        (trained.valid_accuracy, epochs.map(|l| l["valid_accuracy"].as_f64().unwrap()).collect::<Vec<_>>())
    };
    let (best, all) = accuracies("keep=best");
    assert_eq!(Some(best), all.iter().copied().reduce(f64::max));
    let (last, all) = accuracies("keep=last");
    assert_eq!(Some(&last), all.last());
}

#[test]
fn a_time_limit_ends_a_training_with_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=1000000", "run.time=2s"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    assert!((1..1_000_000).contains(&trained.epochs), "{}", trained.epochs);
    assert!(trained.seconds < 20.0 && trained.model.exists());
    let lines = metrics(dir.path());
    let last = lines.iter().rfind(|l| l["kind"] == "epoch").unwrap()["lr"].as_f64().unwrap();
    assert!(trained.epochs < 4 || last < 0.03, "the learning rate ends at {last}, not annealed");
}

#[test]
fn a_time_limit_includes_the_work_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.epochs=1000000", "run.time=2m"]);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    run.set_follow_up(FollowUpWork { images: 0, seconds: 118.0 });
    let trained = enas_search::train(&config, &arc(), &data, &mut run, &mut ()).unwrap();
    // A loose bound: the machine may be busy.
    assert!(trained.seconds < 60.0 && trained.model.exists(), "{}", trained.seconds);
}

#[test]
fn damaged_foreign_and_newer_model_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (trained, _) = train(&train_config(&["run.epochs=1"]), dir.path(), NEVER);
    let whole = std::fs::read(&trained.model).unwrap();
    let path = dir.path().join("x.safetensors");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = Model::load(&path).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("x.safetensors"), "{message}");
        message
    };
    assert!(refused(&whole[..whole.len() / 2]).contains("truncated"));
    assert!(refused(b"\x89PNG\r\n").contains("another kind"));
    let checkpoint =
        std::fs::read_dir(dir.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    assert!(refused(&std::fs::read(checkpoint).unwrap()).contains("not a model of this program"));
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    assert!(refused(&replaced(r#""enas_model":"1""#, r#""enas_model":"9""#)).contains("use a newer version"));
    assert!(refused(&replaced(r#""classes""#, r#""klasses""#)).contains("damaged"));
    let other_filters = replaced(r#"\"filters\":4"#, r#"\"filters\":6"#);
    assert!(refused(&other_filters).contains("its checksum is not that of its content"));
    // A file of a program that knows no checksums.
    let at = other_filters.windows(8).position(|w| w == b"\"sha256\"").unwrap();
    let unsealed = [&other_filters[..at], b"\"sha-26\"", &other_filters[at + 8..]].concat();
    assert!(refused(&unsealed).contains("the stored network is impossible"));
    let missing = Model::load(&dir.path().join("y.safetensors")).unwrap_err().to_string();
    assert!(missing.contains("y.safetensors") && missing.contains("cannot read"), "{missing}");
}

#[test]
fn a_training_run_cannot_be_resumed_as_a_search_or_with_another_arc() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&[]);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let error = run.config::<enas_search::SearchConfig>().unwrap_err();
    assert!(error.to_string().contains("the run of a training, not of a search"), "{error}");
    let other = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 4".parse().unwrap();
    let error = enas_search::train(&config, &other, &data, &mut run, &mut ()).unwrap_err();
    assert!(error.to_string().contains("another arc"), "{error}");
    let error = run.best_arc().unwrap_err().to_string();
    assert!(error.contains("finish it with --resume"), "{error}");
}

#[test]
fn macro_f1_keeps_the_best_epoch_where_it_is_asked_for() {
    let asked = ["run.epochs=4", "metric=macro-f1", "data.sampling=balanced"];
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (trained, _) = train(&train_config(&asked), calm.path(), NEVER);
    let lines = metrics(calm.path());
    let epochs = lines.iter().filter(|l| l["kind"] == "epoch");
    let of_epochs: Vec<f64> = epochs.map(|l| l["valid_macro_f1"].as_f64().unwrap()).collect();
    let model = Model::load(&trained.model).unwrap();
    let (valid, _) = model.load_split(std::path::Path::new(enas_data::DIGITS), Part::Valid).unwrap();
    assert_eq!(Some(model.evaluate(&valid).unwrap().macro_f1()), of_epochs.into_iter().reduce(f64::max));

    let (again, _) = train(&train_config(&asked), hasty.path(), 9);
    assert!(std::fs::read(&again.model).unwrap() == std::fs::read(&trained.model).unwrap(), "models differ");
}

#[test]
fn nothing_is_said_of_macro_f1_by_default() {
    let dir = tempfile::tempdir().unwrap();
    train(&train_config(&["run.epochs=1"]), dir.path(), NEVER);
    for file in ["metrics.jsonl", "best.arc.json"] {
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert!(!text.contains("macro_f1"), "{file}: {text}");
    }
}

/// Averaged weights with statistics made for them, smoothed labels, mixed and strongly varied images, patience, a
/// warm-up and a rate per step.
const RECIPE: [&str; 11] = [
    "run.ema_decay=0.9",
    "run.bn_reestimate=2",
    "run.label_smoothing=0.1",
    "run.patience=2",
    "data.augment.mode=rand-augment",
    "data.augment.erasing=0.3",
    "data.augment.mixup=0.2",
    "data.augment.cutmix=1.0",
    "schedule.per_step=true",
    "schedule.warmup_epochs=0.5",
    "run.epochs=3",
];

#[test]
fn a_whole_recipe_resumes_to_the_same_bytes_on_any_number_of_threads() {
    let config = train_config(&RECIPE);
    let run = |patience: u64, threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (trained, interruptions) = pool.install(|| train(&config, dir.path(), patience));
        let files =
            ["model.safetensors", "best.arc.json"].map(|f| std::fs::read(dir.path().join(f)).unwrap());
        let state = (files, metrics(dir.path()), newest_weights(dir.path()));
        (trained.test_accuracy, interruptions, state)
    };
    let (accuracy, none, calm) = run(NEVER, 1);
    let (_, some, hasty) = run(4, 2);
    assert!(none == 0 && some > 3 && accuracy > 0.2, "{none}, {some}, {accuracy}");
    assert!(calm.0 == hasty.0, "the models differ");
    assert_eq!(calm.1, hasty.1);
    assert!(calm.2 == hasty.2, "the states differ");
    assert!(
        calm.2.iter().any(|(name, _)| name.starts_with("average/")),
        "the average is a part of the state"
    );
}

#[test]
fn what_is_kept_is_the_average_with_statistics_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let config = train_config(&["run.ema_decay=0.9", "run.bn_reestimate=3", "keep=last"]);
    let (trained, _) = train(&config, dir.path(), NEVER);
    let read = |bytes: &[u8], name: &str| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    };
    let model = std::fs::read(&trained.model).unwrap();
    let state = newest_weights(dir.path());
    let of_state = |name: &str| state.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(read(&model, "fc/w"), of_state("average/fc/w"));
    assert_ne!(read(&model, "fc/w"), of_state("fc/w"));
    assert_ne!(read(&model, "stem_conv/bn/moving_mean"), of_state("stem_conv/bn/moving_mean"));
    let model = Model::load(&trained.model).unwrap();
    let (split, _) = model.load_split(&config.data.path, Part::Valid).unwrap();
    assert_eq!(model.evaluate(&split).unwrap().accuracy(), trained.valid_accuracy);
}

#[test]
fn patience_ends_a_training_at_the_same_epoch_with_and_without_interruptions() {
    // A rate of nothing: no epoch after the first is better.
    let still = ["run.epochs=20", "run.patience=2", "schedule.lr_max=0", "schedule.lr_min=0"];
    let config = train_config(&[&still[..], &["run.bn_reestimate=1"]].concat());
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = train(&config, calm.path(), NEVER);
    assert_eq!((expected.epochs, expected.ended), (3, Ended::Patience));
    let (got, interruptions) = train(&config, hasty.path(), 5);
    assert!(interruptions > 2);
    assert_eq!((got.epochs, got.ended), (3, Ended::Patience));
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    let text = std::fs::read_to_string(calm.path().join("best.arc.json")).unwrap();
    assert!(text.contains("patience"), "{text}");
    let (all, _) = train(&train_config(&["run.patience=5"]), tempfile::tempdir().unwrap().path(), NEVER);
    assert_eq!((all.epochs, all.ended), (2, Ended::Epochs));
}

#[test]
fn a_warm_start_begins_where_another_training_ended_and_resumes_to_the_same_bytes() {
    let first = tempfile::tempdir().unwrap();
    let (before, _) = train(&train_config(&["run.epochs=3"]), first.path(), NEVER);
    let config = train_config(&["run.epochs=1", "schedule.lr_max=0.001"]);
    let data = digits(&config.data, config.run.seed());
    let warm = |patience: u64| {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
        run.set_start(&before.model).unwrap();
        loop {
            let mut observer = enas_testing::runs::StopsAfter::new(patience);
            match enas_search::train(&config, &arc(), &data, &mut run, &mut observer) {
                Ok(trained) => return (trained.valid_accuracy, std::fs::read(trained.model).unwrap()),
                Err(Error::Interrupted { .. }) => {}
                Err(e) => panic!("{e}"),
            }
            drop(run);
            run = Run::resume(dir.path()).unwrap();
        }
    };
    let calm = warm(NEVER);
    let hasty = warm(4);
    assert!(calm.0 > before.valid_accuracy - 0.1, "{} after {}", calm.0, before.valid_accuracy);
    assert!(calm == hasty, "the models differ");
    let (cold, _) = train(&config, tempfile::tempdir().unwrap().path(), NEVER);
    assert!(cold.valid_accuracy < calm.0, "{} without a start, {} with one", cold.valid_accuracy, calm.0);
}

#[test]
fn answers_averaged_over_flips_are_those_that_training_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (trained, _) = train(&train_config(&["run.tta=flip"]), dir.path(), NEVER);
    let model = Model::load(&trained.model).unwrap();
    let (split, _) = model.load_split(std::path::Path::new("digits"), Part::Test).unwrap();
    assert_eq!(model.evaluate(&split).unwrap().accuracy(), trained.test_accuracy);
    let picture = split.image(0).unwrap().to_vec();
    let mut mirrored = picture.clone();
    mirrored.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    let of = |picture: Vec<u8>| flat(&model.probabilities(&model.images(&[picture]).unwrap()).unwrap());
    let a = of(picture);
    let b = of(mirrored);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} and {b:?}");
}
