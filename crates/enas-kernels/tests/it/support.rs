//! Shapes, numbers and comparisons that all tests share.

use enas_kernels::{Activation, Affine, FeatureMap};
use enas_rng::{Seed, Stream};
pub(crate) use enas_testing::numbers::{bits, uniform};
use std::sync::Arc as SyncArc;

use crate::reference::Tensor;

/// `(n, c, h, w)`.
pub(crate) type Shape = (usize, usize, usize, usize);

/// What single precision may lose, as a share of the sum of the absolute values of all terms.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// Awkward shapes: partly filled groups of images, single pixels, maps narrower than any kernel, odd sizes.
pub(crate) fn awkward_shapes() -> Vec<Shape> {
    let sizes = [(1, 1), (1, 5), (6, 1), (2, 2), (2, 7), (3, 3), (5, 4), (4, 9), (7, 2), (8, 8), (9, 9)];
    let mut shapes = Vec::new();
    for (i, (h, w)) in sizes.into_iter().enumerate() {
        for (j, n) in [1, 3, 16, 17, 33].into_iter().enumerate() {
            shapes.push((n, [1, 2, 3, 5, 20][(i + j) % 5], h, w));
        }
    }
    shapes
}

/// Shapes whose work is cut into several tiles of rows and several chunks of pixels.
pub(crate) fn large_shapes() -> Vec<Shape> {
    vec![(3, 20, 33, 31), (17, 40, 16, 16), (1, 3, 40, 70)]
}

pub(crate) fn stream(purpose: &str, shape: Shape) -> Stream {
    let (n, c, h, w) = shape;
    Seed::new(2018).stream(purpose, &[n as u64, c as u64, h as u64, w as u64])
}

/// Multiples of 1/16 in `[-2, 2]`: products with [`affine`] are exact, so that signs and ties do not depend on
/// rounding. Many of them are equal, and some are zero.
pub(crate) fn coarse(rng: &mut Stream, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.below(65) as f32 / 16.0 - 2.0).collect()
}

/// A pending normalisation with exact products, one of its factors negative.
pub(crate) fn affine(rng: &mut Stream, channels: usize) -> Affine {
    Affine {
        scale: (0..channels).map(|_| [-1.0, 0.5, 1.0, 1.5, 2.0][rng.below(5)]).collect(),
        shift: (0..channels).map(|_| rng.below(33) as f32 / 16.0 - 1.0).collect(),
    }
}

/// A coarse value, with a pending normalisation if asked for, and what it stands for.
pub(crate) fn value(rng: &mut Stream, shape: Shape, pending: bool) -> (Activation, Tensor) {
    let (n, c, h, w) = shape;
    let images = coarse(rng, n * c * h * w);
    let map = FeatureMap::from_nchw(&images, n, c, h, w);
    let plain = Tensor::of(&images, shape);
    if !pending {
        return (Activation::plain(map), plain);
    }
    let affine = affine(rng, c);
    let meant = plain.map(|c, v| v * f64::from(affine.scale[c]) + f64::from(affine.shift[c]));
    (Activation { map, affine: Some(SyncArc::new(affine)) }, meant)
}

/// A map of uniform numbers, as such and as a tensor.
pub(crate) fn map(rng: &mut Stream, shape: Shape) -> (FeatureMap, Tensor) {
    let (n, c, h, w) = shape;
    let images = uniform(rng, n * c * h * w);
    (FeatureMap::from_nchw(&images, n, c, h, w), Tensor::of(&images, shape))
}

/// Compares each number with what it should be; `terms` holds the sums of the absolute values that went in.
#[track_caller]
pub(crate) fn assert_close(what: &str, actual: &[f32], expected: &[f64], terms: &[f64]) {
    assert_within(what, actual, expected, terms, TOLERANCE);
}

#[track_caller]
pub(crate) fn assert_within(what: &str, actual: &[f32], expected: &[f64], terms: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    assert_eq!(actual.len(), terms.len(), "{what}: terms");
    for (i, ((a, e), t)) in actual.iter().zip(expected).zip(terms).enumerate() {
        let difference = (f64::from(*a) - e).abs();
        assert!(
            difference <= tolerance * t,
            "{what}[{i}] is {a}, should be {e} (terms {t}, off by {difference:e})"
        );
    }
}

/// `a + b` element by element.
pub(crate) fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

pub(crate) fn abs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}
