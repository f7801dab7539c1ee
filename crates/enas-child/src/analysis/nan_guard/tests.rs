//! Tests of the search for values that are not finite.

use candle_core::Device;
use enas_rng::Seed;

use super::*;
use crate::config::{AuxHead, Config};
use crate::params::NamedTensor;

const INPUT: InputShape = InputShape { channels: 1, height: 8, width: 8 };

fn step() -> Step {
    Step { lr: 0.05, global_step: 3, total_steps: 9, seed: Seed::new(1) }
}

fn arc() -> Arc {
    "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap()
}

fn child() -> Child {
    let config = Config {
        aux_head: AuxHead::Trained,
        keep_prob: 0.9,
        drop_path_keep: 0.8,
        l2: 1e-4,
        ..Config::plain(4, 1, 2)
    };
    Child::fixed(&config, &arc(), INPUT, 3, Seed::new(0)).unwrap()
}

fn batch() -> (Tensor, Tensor) {
    let images: Vec<f32> = (0..5 * 64).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let images = Tensor::from_vec(images, (5, 1, 8, 8), &Device::Cpu).unwrap();
    (images, Tensor::new(&[0u32, 1, 2, 0, 1], &Device::Cpu).unwrap())
}

/// Multiplies a tensor whose name ends with `end` by `by`, and returns its full name.
fn enlarge(child: &mut Child, end: &str, by: f32) -> String {
    let state = child.state().unwrap();
    let is_it = |(name, _): &&NamedTensor| {
        name.ends_with(end) && !name.starts_with("momentum") && !name.starts_with("aux")
    };
    let (name, tensor) = state.iter().find(is_it).unwrap();
    enas_kernels::candle::write(tensor, |data| data.iter_mut().for_each(|x| *x *= by)).unwrap();
    child.load(&state).unwrap();
    name.clone()
}

#[test]
fn a_healthy_step_has_no_fault() {
    let ((images, labels), child) = (batch(), child());
    let found = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap();
    assert_eq!(found.fault, None);
    let mut all = found.ranked_images;
    all.sort();
    assert_eq!(all, [0, 1, 2, 3, 4]);
}

#[test]
fn the_first_layer_that_overflows_is_named_and_the_step_changes_nothing() {
    let cases = [
        ("stem_conv/w", 3e38, "stem_conv"),
        ("layer_1/layer_base/w", 3e38, "layer_1/layer_base"),
        ("fc/w", f32::INFINITY, "fc"),
    ];
    for (end, by, layer) in cases {
        let ((images, labels), mut child) = (batch(), child());
        enlarge(&mut child, end, by);
        let found =
            child.find_non_finite(&arc(), &images, &labels, &step()).unwrap().fault.expect("it overflows");
        assert_eq!(found.layer, layer, "{found}");
        let before = child.state().unwrap();
        let stats = child.train_step(&arc(), &images, &labels, &step()).unwrap();
        assert!(!stats.loss.is_finite() || !stats.grad_norm.is_finite(), "{end}: {stats:?}");
        let bits = |state: Vec<NamedTensor>| -> Vec<u32> {
            let flat = |(_, t): &NamedTensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            state.iter().flat_map(flat).map(f32::to_bits).collect()
        };
        assert_eq!(bits(child.state().unwrap()), bits(before), "{end}: the step changed something");
    }
}

#[test]
fn weights_that_are_not_finite_are_called_that() {
    let ((images, labels), mut child) = (batch(), child());
    let name = enlarge(&mut child, "layer_base/w", f32::INFINITY);
    let fault = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap().fault.unwrap();
    assert_eq!((format!("{}/w", fault.layer), fault.numbers), (name, ValueKind::Weights));
    assert!(fault.to_string().starts_with("weights of layer_"), "{fault}");
}

#[test]
fn an_image_that_is_not_finite_ranks_first_and_a_large_one_next() {
    let ((images, labels), child) = (batch(), child());
    enas_kernels::candle::write(&images, |images| images[3 * 64 + 5] = f32::NAN).unwrap();
    let found = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap();
    assert_eq!(found.ranked_images[0], 3);
    assert_eq!(found.fault.unwrap().layer, "stem_conv");
    assert_eq!(rank_images(&[1.0, 2.0, 9.0, 0.0], 1, &[1.0, 7.0, f32::NAN, 7.0], 4), [2, 1, 3, 0]);
}
