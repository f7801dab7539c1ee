//! A search and a training on the emulated GPU. Tiny: every access to memory is checked there.

use std::path::Path;

use enas_emulator::EmulatedGpu;
use enas_kernels::gpu::Gpu;
use enas_search::{SearchConfig, TrainConfig};

use crate::common::{
    metrics, newest_weights, search, search_config, search_on, train, train_config, train_on,
};

const NEVER: u64 = u64::MAX;

/// One epoch of pictures of 4x4.
const SMALL: [&str; 4] = ["run.epochs=1", "run.batch_size=128", "data.image_size=4", "child.filters=2"];

fn few_steps(assignments: &[&str]) -> SearchConfig {
    let less = ["controller.steps=1", "controller.aggregate=2", "select.samples=2", "select.random=1"];
    search_config(&[&SMALL, &less[..], assignments].concat())
}

fn emulated() -> Gpu {
    EmulatedGpu::start(0).unwrap()
}

#[test]
fn a_search_on_a_gpu_ends_and_interruptions_change_no_byte() {
    let config = few_steps(&["reward.dropout=true"]);
    let (calm, hasty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
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
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
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

/// Varied pictures come from the host, one batch ahead; the others are the GPU's own.
#[test]
fn trainings_on_a_gpu_lose_no_byte_to_interruptions_wherever_their_pictures_come_from() {
    for augment in ["data.augment.mode=none", "data.augment.mode=crop-flip"] {
        let config: TrainConfig = train_config(&[&SMALL[..], &[augment]].concat());
        let (calm, hasty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
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
        let (want, got) = (losses(here.path()), losses(calm.path()));
        assert!(want.iter().zip(&got).all(close), "{augment}: {got:?}, not {want:?}");
    }
}
