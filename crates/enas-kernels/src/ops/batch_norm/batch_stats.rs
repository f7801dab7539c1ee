//! Mean and variance of every channel, computed in pieces that are joined in a fixed order.
//!
//! # Method outline
//! 1. A plane is cut into chunks of 512 pixels ([`CHUNK`]) of sixteen images. Within a chunk, sums are in single
//!    precision.
//! 2. Values are shifted by a pivot, the chunk's first number. This avoids the cancellation of `Σz² − (Σz)²/n` if the
//!    mean is far from zero.
//! 3. A mask sets lanes without an image to zero.
//! 4. Chunks, planes and groups are merged in double precision by the pairwise formula of Chan, Golub and LeVeque
//!    (1983), always in the same order. So results depend neither on threads nor on micro-batches.

use rayon::prelude::*;

use crate::feature_map::{Affine, CHUNK, FeatureMap};
use enas_simd::{self as simd, Lane, Simd, SimdKernel};

/// The `ε` of TensorFlow's fused batch norm. The authors' code passes `1e-5` (`src/cifar10/image_ops.py` line 92), and
/// TensorFlow raises it to cuDNN's minimum.
pub const EPSILON: f32 = 1.001e-5;

/// Mean and biased variance of every channel of a map `[n, c, h, w]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStats {
    /// Mean per channel, `[c]`.
    pub mean: Vec<f32>,
    /// Biased variance per channel, `[c]`.
    pub variance: Vec<f32>,
    /// Count of numbers behind each: images × pixels, `n·h·w`.
    pub count: usize,
}

impl BatchStats {
    /// Computes the statistics of a map.
    pub fn of(map: &FeatureMap) -> Self {
        let plane = map.h() * map.w();
        let blocks: Vec<Vec<PartialStats>> = map
            .par_blocks()
            .map(|block| {
                let mask = map.mask(block);
                map.block(block)
                    .chunks_exact(plane.max(1))
                    .map(|plane| {
                        plane
                            .chunks(CHUNK)
                            .fold(PartialStats::default(), |r, z| r.merge(PartialStats::of(z, &mask)))
                    })
                    .collect()
            })
            .collect();
        Self::merge(map.c(), blocks.iter().map(Vec::as_slice))
    }

    /// Merges per-channel partial results in the given order.
    pub(crate) fn merge<'a>(channels: usize, parts: impl Iterator<Item = &'a [PartialStats]>) -> Self {
        let mut sums = BatchStatsSums::new(channels);
        sums.add(parts);
        sums.finish()
    }

    /// The normalisation with these statistics, scale `gamma` and offset `beta`, `[c]` each.
    pub fn affine(&self, gamma: &[f32], beta: &[f32]) -> Affine {
        let scale: Vec<f32> = gamma.iter().zip(self.inverse_deviation()).map(|(g, r)| g * r).collect();
        let shift = beta.iter().zip(&scale).zip(&self.mean).map(|((b, s), m)| b - m * s).collect();
        Affine { scale, shift }
    }

    /// `1/√(v + ε)` per channel, `[c]`, with [`EPSILON`].
    pub fn inverse_deviation(&self) -> Vec<f32> {
        self.variance.iter().map(|v| (1.0 / f64::from(v + EPSILON).sqrt()) as f32).collect()
    }

    /// The unbiased variance per channel, `v·n/(n − 1)`, `[c]`: the input of TensorFlow's moving average.
    pub fn unbiased_variance(&self) -> Vec<f32> {
        let n = self.count as f64;
        let factor = if self.count > 1 { n / (n - 1.0) } else { 1.0 };
        self.variance.iter().map(|v| (f64::from(*v) * factor) as f32).collect()
    }
}

/// Accumulates the statistics of a map that comes in micro-batches, some groups of images at a time and in order. The
/// result equals that of the whole map to the bit.
#[derive(Clone, Debug)]
pub struct BatchStatsSums(Vec<PartialStats>);

impl BatchStatsSums {
    /// Statistics of no numbers yet, for `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self(vec![PartialStats::default(); channels])
    }

    /// Adds the next groups of images.
    pub(crate) fn add<'a>(&mut self, parts: impl Iterator<Item = &'a [PartialStats]>) {
        for part in parts {
            self.0.iter_mut().zip(part).for_each(|(t, p)| *t = t.merge(*p));
        }
    }

    /// The statistics of all groups so far.
    pub fn finish(&self) -> BatchStats {
        BatchStats {
            mean: self.0.iter().map(|r| r.mean as f32).collect(),
            variance: self.0.iter().map(|r| (r.squares / r.count.max(1.0)).max(0.0) as f32).collect(),
            count: self.0.first().map_or(0, |r| r.count as usize),
        }
    }
}

/// Count, mean and sum of squared deviations of some numbers: mergeable moments (Chan, Golub and LeVeque, 1983).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartialStats {
    count: f64,
    mean: f64,
    squares: f64,
}

impl PartialStats {
    /// Statistics of the numbers in `z` under the 0/1 `mask` of images; `z` has at most [`CHUNK`] lanes.
    pub(crate) fn of(z: &[Lane], mask: &Lane) -> Self {
        let Some(first) = z.first() else { return Self::default() };
        // The first image of a group always exists, so the pivot is a real number of the map.
        let pivot = first.0[0];
        // SAFETY: `z` and `mask` are valid references.
        let (sum, squares) = unsafe {
            simd::run(ShiftedSums { z: z.as_ptr(), pixels: z.len(), pivot, mask: std::ptr::from_ref(mask) })
        };
        let count = z.len() as f64 * mask.0.iter().map(|m| f64::from(*m)).sum::<f64>();
        // Undoes the shift: the mean of `z − pivot` is `sum/count`.
        let sum = f64::from(sum);
        let squares = f64::from(squares);
        Self { count, mean: f64::from(pivot) + sum / count, squares: squares - sum * sum / count }
    }

    /// Statistics of both sets of numbers.
    pub(crate) fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }
}

/// `(Σ m·(z − pivot), Σ m·(z − pivot)²)` over `pixels` lanes at `z`, `m` being the lane at `mask`.
///
/// Four accumulators per sum, so that additions overlap; one horizontal sum at the end.
struct ShiftedSums {
    z: *const Lane,
    pixels: usize,
    pivot: f32,
    mask: *const Lane,
}

#[allow(unsafe_op_in_unsafe_fn)] // Reads inside the extents of the struct's contract.
impl SimdKernel for ShiftedSums {
    type Output = (f32, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f32, f32) {
        let pivot = S::splat(self.pivot);
        let mask = S::load(self.mask);
        let mut sum = [S::splat(0.0); 4];
        let mut squares = [S::splat(0.0); 4];
        let mut p = 0;
        while p + 4 <= self.pixels {
            for i in 0..4 {
                let d = S::mul(S::sub(S::load(self.z.add(p + i)), pivot), mask);
                sum[i] = S::add(sum[i], d);
                squares[i] = S::fma(d, d, squares[i]);
            }
            p += 4;
        }
        while p < self.pixels {
            let d = S::mul(S::sub(S::load(self.z.add(p)), pivot), mask);
            sum[0] = S::add(sum[0], d);
            squares[0] = S::fma(d, d, squares[0]);
            p += 1;
        }
        let total = |v: [S::V; 4]| S::sum(S::add(S::add(v[0], v[1]), S::add(v[2], v[3])));
        (total(sum), total(squares))
    }
}
