//! Trainings that go on with the held-out images once their network was measured.

use enas_data::Part;
use enas_search::{Error, Model, RefitImages, Run, TrainConfig};
use enas_testing::runs::{StopsAfter, arc, digits, lines_of, metrics, newest_weights, train, train_config};

const NEVER: u64 = u64::MAX;

/// Two epochs before the measurement and two after it.
fn config(images: &str) -> TrainConfig {
    train_config(&["run.epochs=4", "keep=last", &format!("refit.images={images}")])
}

#[test]
fn a_network_that_learned_from_validation_images_is_measured_on_the_test_images_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = config("validation");
    let (trained, _) = train(&config, dir.path(), NEVER);
    let data = digits(&config.data, config.run.seed());
    let refit = trained.refit.unwrap();
    assert_eq!(refit.fitted, data.train.len() + data.valid.len());
    assert_eq!((refit.images, refit.epochs, trained.epochs), (RefitImages::Validation, 2, 4));

    let model = Model::load(&trained.model).unwrap();
    let measured = Model::load(&dir.path().join("measured.safetensors")).unwrap();
    assert_eq!(model.refit().unwrap().fitted, refit.fitted);
    assert!(measured.refit().is_none());
    assert_eq!(model.evaluate(&data.test).unwrap().accuracy(), trained.test_accuracy);
    assert_eq!(measured.evaluate(&data.test).unwrap().accuracy(), refit.measured_test_accuracy);
    assert_eq!(measured.evaluate(&data.valid).unwrap().accuracy(), trained.valid_accuracy);
    assert_eq!(model.accuracy().valid, trained.valid_accuracy, "of the network before");
    assert_eq!(model.temperature(), measured.temperature().max(1.0), "validation images no longer tell it");
    assert!(trained.test_accuracy > 0.3, "{}", trained.test_accuracy);
}

#[test]
fn accuracies_on_images_that_a_network_learned_from_are_those_of_the_network_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = config("all");
    let (trained, _) = train(&config, dir.path(), NEVER);
    let data = digits(&config.data, config.run.seed());
    assert_eq!(trained.refit.unwrap().fitted, data.train.len() + data.valid.len() + data.test.len());
    let path = &config.data.path;
    for (part, reported) in [(Part::Valid, trained.valid_accuracy), (Part::Test, trained.test_accuracy)] {
        let model = Model::load(&trained.model).unwrap().as_measured(path, part).unwrap();
        assert!(model.refit().is_none(), "{part:?}");
        let (split, _) = model.load_split(path, part).unwrap();
        assert_eq!(model.evaluate(&split).unwrap().accuracy(), reported);
    }
    let on_train = Model::load(&trained.model).unwrap().as_measured(path, Part::Train).unwrap();
    assert!(on_train.refit().is_some());
    let elsewhere = Model::load(&trained.model).unwrap().as_measured(dir.path(), Part::Test).unwrap();
    assert!(elsewhere.refit().is_some(), "other images are for the network that is used");
    let before = |part| Model::load(&trained.model).unwrap().before_refit(part).unwrap();
    assert!(before(Part::Test).is_some_and(|model| model.refit().is_none()) && before(Part::Train).is_none());
}

#[test]
fn the_epochs_after_the_measurement_have_no_validation_accuracy_and_a_rate_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    train(&config("validation"), dir.path(), NEVER);
    let epochs = lines_of(dir.path(), "epoch");
    let has_accuracy: Vec<bool> = epochs.iter().map(|epoch| epoch["valid_accuracy"].is_f64()).collect();
    assert_eq!(has_accuracy, [true, true, false, false]);
    let highest = |epoch: u64| {
        let steps =
            metrics(dir.path()).into_iter().filter(|line| line["kind"] == "step" && line["epoch"] == epoch);
        steps.map(|step| step["lr"].as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!((highest(3) / highest(1) - 0.5).abs() < 1e-6, "{} {}", highest(1), highest(3));
    assert!(highest(2) < highest(1) && highest(4) < highest(3), "both parts anneal");
}

#[test]
fn the_measured_network_is_the_model_until_the_other_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let config = config("validation");
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    // Eleven steps an epoch, two epochs in the first part: this is in the fourth.
    let stopped = enas_search::train(&config, &arc(), &data, &mut run, &mut StopsAfter::new(39));
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    assert_eq!(lines_of(dir.path(), "epoch").len(), 3);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("model.safetensors") == read("measured.safetensors"));
}

#[test]
fn interruptions_in_either_part_change_nothing() {
    let config = config("all");
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = train(&config, calm.path(), NEVER);
    let (got, interruptions) = train(&config, hasty.path(), 5);
    assert!(interruptions > 6, "{interruptions}");
    for name in ["model.safetensors", "measured.safetensors", "best.arc.json"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(name)).unwrap();
        assert!(read(&hasty) == read(&calm), "{name} differs");
    }
    assert_eq!((got.valid_accuracy, got.test_accuracy), (expected.valid_accuracy, expected.test_accuracy));
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "optimiser states differ");
}

#[test]
fn a_warm_start_takes_the_network_that_has_not_learned_from_the_images_of_the_measurement() {
    let first = tempfile::tempdir().unwrap();
    let (trained, _) = train(&config("all"), first.path(), NEVER);
    // Whether the start is the network after the refit.
    let is_refitted = |model: &std::path::Path| {
        let config = train_config(&["run.epochs=1"]);
        let data = digits(&config.data, config.run.seed());
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
        run.set_start(model).unwrap();
        Model::load(&dir.path().join("start.safetensors")).unwrap().refit().is_some()
    };
    assert!(!is_refitted(&trained.model), "the network before the refit knows no held-out image");
    // The model was moved out of its run, so the images of its training are unknown.
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("model.safetensors");
    std::fs::copy(&trained.model, &moved).unwrap();
    assert!(is_refitted(&moved));
    // Without the network before the refit there is only a warning.
    std::fs::remove_file(first.path().join("measured.safetensors")).unwrap();
    assert!(is_refitted(&trained.model));
}
