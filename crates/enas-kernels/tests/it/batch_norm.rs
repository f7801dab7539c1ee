//! Batch statistics, their application and their moving averages.

use enas_kernels::{Activation, BatchStats, ConvBlock, ConvBranch, FeatureMap, Im2row, RunningStats};
use std::sync::Arc as SyncArc;

use crate::reference::{self, Tensor, doubles};
use crate::support::*;

#[test]
fn statistics_equal_the_reference() {
    for shape in awkward_shapes().into_iter().chain(large_shapes()) {
        let (z, meant) = map(&mut stream("moments", shape), shape);
        let got = BatchStats::of(&z);
        let (mean, variance) = reference::stats(&meant);
        assert_close(&format!("{shape:?} mean"), &got.mean, &mean, &vec![1.0; mean.len()]);
        assert_close(&format!("{shape:?} variance"), &got.variance, &variance, &vec![0.1; mean.len()]);
        assert_eq!(got.count, shape.0 * shape.2 * shape.3);
    }
}

/// A sum of squares minus a squared sum would lose all digits here.
#[test]
fn a_large_mean_does_not_hurt_the_variance() {
    let shape = (17, 3, 9, 9);
    let images: Vec<f32> =
        uniform(&mut stream("offset", shape), 17 * 3 * 81).iter().map(|v| 1000.0 + v).collect();
    let got = BatchStats::of(&FeatureMap::from_nchw(&images, 17, 3, 9, 9));
    let (mean, variance) = reference::stats(&Tensor::of(&images, shape));
    assert_within("mean", &got.mean, &mean, &mean, 1e-7);
    assert_within("variance", &got.variance, &variance, &variance, 1e-5);
}

/// Lanes past the last image must not count, whatever is in them.
#[test]
fn images_that_do_not_exist_do_not_count() {
    let three = FeatureMap::from_nchw(&[5.0, 6.0, 7.0], 3, 1, 1, 1);
    let got = BatchStats::of(&three);
    assert_eq!((got.mean[0], got.count), (6.0, 3));
    assert!((got.variance[0] - 2.0 / 3.0).abs() < 1e-6);
}

#[test]
fn normalising_equals_the_reference() {
    for shape in awkward_shapes() {
        let rng = &mut stream("normalise", shape);
        let (z, meant) = map(rng, shape);
        let gamma = uniform(rng, shape.1);
        let beta = uniform(rng, shape.1);
        let stats = BatchStats::of(&z);
        let value = Activation { map: z, affine: Some(SyncArc::new(stats.affine(&gamma, &beta))) };
        let expected = reference::batch_norm(&meant, &doubles(&gamma), &doubles(&beta));
        let (mean, variance) = reference::stats(&meant);
        let terms = meant.map(|c, v| {
            let scale = f64::from(gamma[c]).abs() / (variance[c] + reference::EPSILON).sqrt();
            scale * (v.abs() + mean[c].abs()) + f64::from(beta[c]).abs()
        });
        assert_close(&format!("{shape:?}"), &value.to_nchw(), &expected.data, &terms.data);
    }
}

/// A 1×1 convolution that changes nothing, with the batch norm behind it, has the same gradients.
#[test]
fn a_batch_norm_alone_propagates_as_one_behind_a_convolution() {
    for shape in awkward_shapes() {
        let rng = &mut stream("alone", shape);
        let ((z, _), (gy, _), (before, _)) = (map(rng, shape), map(rng, shape), map(rng, shape));
        let c = shape.1;
        let gamma = uniform(rng, shape.1);
        let identity: Vec<f32> = (0..c * c).map(|i| if i / c == i % c { 1.0 } else { 0.0 }).collect();
        let branch = ConvBranch { rows: Im2row::Pixels, weight: &identity, outputs: c };
        let conv_block =
            ConvBlock { inputs: &[Activation::plain(z.clone())], relu: false, branches: &[branch] };
        let (same, stats) = conv_block.forward(true);
        let stats = stats.unwrap();
        for start in [None, Some(before)] {
            let mut expected = [start.clone()];
            let of_conv_block = conv_block.backward(&same, &stats, &gamma, &gy, Some(&mut expected));
            let mut got = start;
            let (of_gamma, of_beta) = stats.backward(&z, &gamma, &gy, &mut got);
            assert_eq!((of_gamma, of_beta), (of_conv_block.gamma, of_conv_block.beta), "{shape:?}");
            let [expected, got] = [expected[0].as_ref(), got.as_ref()].map(|map| map.unwrap().to_nchw());
            assert_close(&format!("{shape:?}"), &got, &reference::doubles(&expected), &vec![1.0; got.len()]);
        }
    }
}

#[test]
fn after_one_update_moving_statistics_are_the_batchs_unbiased_ones() {
    let shape = (3, 5, 4, 3);
    let (z, meant) = map(&mut stream("running", shape), shape);
    let mut running = RunningStats::new(5);
    assert_eq!((&running.mean[..], &running.variance[..]), (&[0.0; 5][..], &[1.0; 5][..]));
    running.update(&BatchStats::of(&z));
    let (mean, variance) = reference::stats(&meant);
    let unbiased: Vec<f64> = variance.iter().map(|v| v * 36.0 / 35.0).collect();
    assert_close("mean", &running.mean, &mean, &[1.0; 5]);
    assert_close("variance", &running.variance, &unbiased, &unbiased);
    assert_eq!(running.updates, 1);
}

#[test]
fn moving_statistics_are_zero_debiased() {
    let shape = (2, 3, 5, 5);
    let rng = &mut stream("debias", shape);
    let mut running = RunningStats::new(3);
    let mut shadow = [[0.0f64; 3]; 2];
    for t in 1..=12 {
        let (z, meant) = map(rng, shape);
        running.update(&BatchStats::of(&z));
        let (mean, variance) = reference::stats(&meant);
        let weight = 1.0 - 0.9f64.powi(t);
        for c in 0..3 {
            shadow[0][c] = 0.9 * shadow[0][c] + 0.1 * mean[c];
            shadow[1][c] = 0.9 * shadow[1][c] + 0.1 * variance[c] * 50.0 / 49.0;
        }
        let moving = |i: usize| shadow[i].iter().map(|s| s / weight).collect::<Vec<f64>>();
        assert_close(&format!("mean {t}"), &running.mean, &moving(0), &[1.0; 3]);
        assert_close(&format!("variance {t}"), &running.variance, &moving(1), &[1.0; 3]);
        assert_close(&format!("shadow {t}"), &running.biased_variance, &shadow[1], &[1.0; 3]);
    }
}

#[test]
fn inference_normalises_with_moving_statistics() {
    let running = RunningStats { mean: vec![2.0], variance: vec![4.0], ..RunningStats::new(1) };
    let affine = running.affine(&[3.0], &[1.0]);
    let root = (4.0 + reference::EPSILON).sqrt();
    assert_within("scale", &affine.scale, &[3.0 / root], &[1.5], 1e-6);
    assert_within("shift", &affine.shift, &[1.0 - 6.0 / root], &[4.0], 1e-6);
}

#[test]
fn a_single_number_has_no_variance_and_a_finite_inverse() {
    let stats = BatchStats::of(&FeatureMap::from_nchw(&[3.0], 1, 1, 1, 1));
    assert_eq!((&stats.variance[..], stats.count), (&[0.0][..], 1));
    assert_eq!(stats.unbiased_variance(), [0.0]);
    assert!(stats.inverse_deviation()[0].is_finite());
}
