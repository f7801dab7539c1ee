//! A search and a training on the emulated GPU. Tiny: every access to memory is checked there.

use std::path::Path;

use enas_kernels::gpu::Gpu;
use enas_search::{Model, Run, SearchConfig, TrainConfig};
use enas_testing::gpus;
use enas_testing::runs::{
    arc, digits, metrics, newest_weights, search, search_config, search_on, train, train_config, train_on,
};

const NEVER: u64 = u64::MAX;

/// One epoch of images of 4x4.
const SMALL: [&str; 4] = ["run.epochs=1", "run.batch_size=128", "data.image_size=4", "child.filters=2"];

fn few_steps(assignments: &[&str]) -> SearchConfig {
    let less = ["controller.steps=1", "controller.aggregate=2", "select.samples=2", "select.random=1"];
    search_config(&[&SMALL, &less[..], assignments].concat())
}

fn emulated() -> Gpu {
    gpus::emulated(0)
}

#[test]
fn a_search_on_a_gpu_ends_and_interruptions_change_no_byte() {
    let config = few_steps(&["reward.dropout=true"]);
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, none) = search_on(Some(emulated), &config, calm.path(), NEVER);
    let (got, interruptions) = search_on(Some(emulated), &config, hasty.path(), 5);
    assert!(none == 0 && interruptions > 1, "{interruptions} interruptions");
    assert_eq!(got.selection, expected.selection);
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "weights differ");
    let manifest = std::fs::read_to_string(calm.path().join("manifest.json")).unwrap();
    assert!(manifest.contains("emulated GPU"), "{manifest}");
}

/// Rounding differs, and with it now and then which class comes out on top.
#[test]
fn a_search_on_a_gpu_scores_arcs_like_one_on_the_cpu() {
    let config = few_steps(&[]);
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let (want, _) = search(&config, here.path(), NEVER);
    let (got, _) = search_on(Some(emulated), &config, there.path(), NEVER);
    let first_loss =
        |dir: &Path| metrics(dir).iter().find(|l| l["kind"] == "step").unwrap()["loss"].as_f64().unwrap();
    assert!((first_loss(here.path()) - first_loss(there.path())).abs() < 1e-5);
    // Uniformly drawn arcs are the same whatever the policy became.
    for (want, got) in want.selection.random.iter().zip(&got.selection.random) {
        assert_eq!(got.arc, want.arc);
        let difference = (got.valid_accuracy - want.valid_accuracy).abs();
        assert!(difference <= 0.1, "{} and {}", got.valid_accuracy, want.valid_accuracy);
    }
}

/// Varied images come from the host, one batch ahead; the others are the GPU's own.
#[test]
fn trainings_on_a_gpu_lose_no_byte_to_interruptions_wherever_their_images_come_from() {
    for augment in ["data.augment.mode=none", "data.augment.mode=crop-flip"] {
        let config: TrainConfig = train_config(&[&SMALL[..], &[augment]].concat());
        let calm = tempfile::tempdir().unwrap();
        let hasty = tempfile::tempdir().unwrap();
        let (expected, _) = train_on(Some(emulated), &config, calm.path(), NEVER);
        let (got, interruptions) = train_on(Some(emulated), &config, hasty.path(), 5);
        assert!(interruptions > 1, "{interruptions} interruptions");
        assert_eq!((got.train_loss, got.test_accuracy), (expected.train_loss, expected.test_accuracy));
        assert_eq!(metrics(hasty.path()), metrics(calm.path()));
        let here = tempfile::tempdir().unwrap();
        train(&config, here.path(), NEVER);
        let losses = |dir: &Path| -> Vec<f64> {
            let lines = metrics(dir);
            lines.iter().filter(|l| l["kind"] == "step").map(|l| l["loss"].as_f64().unwrap()).collect()
        };
        let close = |(want, got): (&f64, &f64)| (want - got).abs() < 1e-4;
        let want = losses(here.path());
        let got = losses(calm.path());
        assert!(want.iter().zip(&got).all(close), "{augment}: {got:?}, not {want:?}");
    }
}

#[test]
fn activations_in_bfloat16_are_part_of_the_run_and_of_its_training_alone() {
    let config = train_config(&[&SMALL[..], &["run.activations=bf16"]].concat());
    let (half, again, single) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (trained, _) = train_on(Some(emulated), &config, half.path(), NEVER);
    let text = std::fs::read_to_string(half.path().join("config.toml")).unwrap();
    assert!(text.contains("activations = \"bf16\""), "{text}");
    // A resumed run uses the same format and gives the same bytes.
    let (_, interruptions) = train_on(Some(emulated), &config, again.path(), 5);
    assert!(interruptions > 1 && metrics(again.path()) == metrics(half.path()));

    let first_loss =
        |dir: &Path| metrics(dir).iter().find(|l| l["kind"] == "step").unwrap()["loss"].as_f64().unwrap();
    train(&train_config(&SMALL), single.path(), NEVER);
    let difference = (first_loss(half.path()) - first_loss(single.path())).abs();
    assert!(difference > 0.0 && difference < 0.05, "the first losses differ by {difference}");

    // What was reported is what the model does in single precision.
    let data = digits(&config.data, config.run.seed());
    let mut model = Model::load(&trained.model).unwrap();
    model.use_gpu(&emulated()).unwrap();
    assert_eq!(model.evaluate(&data.valid).unwrap().accuracy(), trained.test_accuracy);
}

#[test]
fn activations_in_bfloat16_need_a_gpu() {
    let config = train_config(&[&SMALL[..], &["run.activations=bf16"]].concat());
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let error = enas_search::train(&config, &arc(), &data, &mut run, &mut ()).unwrap_err();
    assert!(error.is_usage() && error.to_string().starts_with("run.activations"), "{error}");
}

#[test]
fn runs_from_before_there_was_a_choice_have_single_precision() {
    let config = train_config(&SMALL);
    let text = toml::to_string(&config).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("activations")).collect();
    assert_eq!(without.len() + 1, text.lines().count());
    assert_eq!(toml::from_str::<TrainConfig>(&without.join("\n")).unwrap(), config);
}
