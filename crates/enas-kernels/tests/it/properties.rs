//! Facts that hold for all shapes and numbers.

use enas_kernels::{Activation, BatchStats, ConvBlock, ConvBranch, FeatureMap, Im2row, Pool, PoolKind};
use enas_rng::Seed;
use proptest::prelude::*;

use crate::reference::doubles;
use crate::support::{Shape, map, uniform};

fn shapes() -> impl Strategy<Value = Shape> {
    (1usize..36, 1usize..7, 1usize..10, 1usize..10)
}

/// Every kind of rows, by number; the filter is long enough for all.
fn rows(kind: usize, filter: &[f32], channels: usize) -> (Im2row<'_>, usize) {
    let depthwise = |k: usize, stride| Im2row::Depthwise { filter: &filter[..k * k * channels], k, stride };
    match kind {
        0 => (Im2row::Pixels, 1),
        1 => (Im2row::EverySecond { offset: 0 }, 1),
        2 => (Im2row::EverySecond { offset: 1 }, 1),
        3 => (depthwise(3, 1), 1),
        4 => (depthwise(3, 2), 1),
        5 => (depthwise(5, 1), 1),
        6 => (depthwise(5, 2), 1),
        k => (Im2row::Patches { k: k - 5 }, (k - 5) * (k - 5)),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    doubles(a).iter().zip(doubles(b)).map(|(a, b)| a * b).sum()
}

/// The same images in the opposite order.
fn reversed(map: &FeatureMap) -> FeatureMap {
    let (n, c, h, w) = map.shape();
    let images = map.to_nchw();
    let turned: Vec<f32> = images.chunks_exact(c * h * w).rev().flatten().copied().collect();
    FeatureMap::from_nchw(&turned, n, c, h, w)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_lane_layout_loses_nothing((n, c, h, w) in shapes(), seed: u64) {
        let images = uniform(&mut Seed::new(seed).stream("images", &[]), n * c * h * w);
        prop_assert_eq!(FeatureMap::from_nchw(&images, n, c, h, w).to_nchw(), images);
    }

    /// A linear map and its gradient are adjoint: ⟨f(x), g⟩ = ⟨x, fᵀ(g)⟩, and the same for the matrix.
    #[test]
    fn without_normalisation_a_conv_block_and_its_gradient_are_adjoint(shape in shapes(), kind in 0usize..11, seed: u64) {
        let rng = &mut Seed::new(seed).stream("adjoint", &[]);
        let filter = uniform(rng, 25 * shape.1);
        let (rows, taps) = rows(kind, &filter, shape.1);
        let weight = uniform(rng, taps * shape.1 * 3);
        let branches = [ConvBranch { rows, weight: &weight, outputs: 3 }];
        let (x, _) = map(rng, shape);
        let inputs = [Activation::plain(x.clone())];
        let conv_block = ConvBlock { inputs: &inputs, relu: false, branches: &branches };
        let (z, _) = conv_block.forward(false);
        let (g, _) = map(rng, z.shape());
        let mut gradients = [None];
        let got = conv_block.backward_raw(&g, Some(&mut gradients));
        let [Some(gradient)] = gradients else { panic!("the pass creates the gradient") };
        let there = dot(&z.to_nchw(), &g.to_nchw());
        let back = dot(&x.to_nchw(), &gradient.to_nchw());
        let size: f64 = z.to_nchw().iter().map(|v| f64::from(v.abs())).sum::<f64>() + 1.0;
        prop_assert!((there - back).abs() <= 1e-5 * size, "{} against {}", there, back);
        let through_weight = dot(&weight, &got.weights[0]);
        prop_assert!((there - through_weight).abs() <= 1e-5 * size, "{} against {}", there, through_weight);
        if !got.filters[0].is_empty() {
            let through_filter = dot(&filter[..got.filters[0].len()], &got.filters[0]);
            prop_assert!((there - through_filter).abs() <= 1e-5 * size, "{} against {}", there, through_filter);
        }
    }

    /// What becomes of an image does not depend on its place in the batch.
    #[test]
    fn images_do_not_see_each_other(shape in shapes(), kind in 0usize..11, seed: u64) {
        let rng = &mut Seed::new(seed).stream("order", &[]);
        let filter = uniform(rng, 25 * shape.1);
        let (rows, taps) = rows(kind, &filter, shape.1);
        let weight = uniform(rng, taps * shape.1 * 2);
        let branches = [ConvBranch { rows, weight: &weight, outputs: 2 }];
        let (x, _) = map(rng, shape);
        let run = |x: FeatureMap| ConvBlock { inputs: &[Activation::plain(x)], relu: true, branches: &branches }.forward(false).0;
        prop_assert_eq!(reversed(&run(reversed(&x))).to_nchw(), run(x).to_nchw());
    }

    /// A pool passes on as much gradient as it gets.
    #[test]
    fn pools_keep_the_sum_of_gradients(shape in shapes(), kind in 0usize..4, seed: u64) {
        let rng = &mut Seed::new(seed).stream("pool", &[]);
        let (x, _) = map(rng, shape);
        let stride = 1 + kind / 2;
        let kind = [PoolKind::Average, PoolKind::Max][kind % 2];
        let pool = Pool::same(kind, 3, stride, shape.2, shape.3);
        let (g, _) = map(rng, (shape.0, shape.1, pool.y.out, pool.x.out));
        let mut gradient = None;
        pool.backward(&Activation::plain(x), &g, &mut gradient);
        let total = |m: &FeatureMap| doubles(&m.to_nchw()).iter().sum::<f64>();
        let gradient = gradient.expect("the pass creates the gradient");
        let size: f64 = g.to_nchw().iter().map(|v| f64::from(v.abs())).sum();
        prop_assert!((total(&g) - total(&gradient)).abs() <= 1e-5 * size);
    }

    /// The gradient of a batch norm is orthogonal to shifts of its input.
    #[test]
    fn a_normalised_output_ignores_the_mean(shape in shapes(), seed: u64) {
        let rng = &mut Seed::new(seed).stream("norm", &[]);
        let (z, _) = map(rng, shape);
        let shifted: Vec<f32> = z.to_nchw().iter().map(|v| v + 3.0).collect();
        let shifted = FeatureMap::from_nchw(&shifted, shape.0, shape.1, shape.2, shape.3);
        let a = BatchStats::of(&z);
        let b = BatchStats::of(&shifted);
        for c in 0..shape.1 {
            prop_assert!((a.mean[c] + 3.0 - b.mean[c]).abs() < 1e-5);
            prop_assert!((a.variance[c] - b.variance[c]).abs() < 1e-5);
        }
    }
}
