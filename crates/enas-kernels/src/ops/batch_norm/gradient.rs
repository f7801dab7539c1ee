//! The backward pass of a batch norm, evaluated where it is needed.
//!
//! The gradient of the raw map is an affine function of `gy` and `z` with four coefficients per channel. So it is never
//! stored for a whole map: the backward pass of a conv block evaluates it tile by tile.

use rayon::prelude::*;

use super::batch_stats::BatchStats;
use super::sums::GradientSums;
use crate::feature_map::{FeatureMap, mask};
use crate::ops::elementwise::add_backward;
use enas_simd::{self as simd, AHEAD, Lane, Simd, SimdKernel};

/// The gradient of a batch norm with respect to its raw input, as coefficients per channel:
/// `gz = factor·gy − mean_term − slope·(z − mean)`.
///
/// With `r = 1/√(v + ε)` and `N` numbers per channel: `factor = γ·r`, `mean_term = factor·Σgy/N`,
/// `slope = factor·r²·Σ gy·(z − mean)/N` (Ioffe and Szegedy, 2015).
pub(crate) struct Gradient {
    /// `∂L/∂γ` per channel, `[c]`.
    pub(crate) gamma: Vec<f32>,
    /// `∂L/∂β` per channel, `[c]`.
    pub(crate) beta: Vec<f32>,
    factor: Vec<f32>,
    mean_term: Vec<f32>,
    slope: Vec<f32>,
    mean: Vec<f32>,
    n: usize,
}

impl Gradient {
    /// Computes the coefficients. Reads `z` and the gradient `gy` of the normalised values once, unless the producer of
    /// `gy` attached their sums.
    pub(crate) fn new(z: &FeatureMap, stats: &BatchStats, gamma: &[f32], gy: &FeatureMap) -> Self {
        let mut sums = GradientSums::new(z.c());
        match gy.sums_for(z) {
            Some(blocks) => sums.add_blocks(blocks),
            None => sums.add(z, stats, gy),
        }
        Self::of_sums(&sums, stats, gamma, z.n())
    }

    /// Computes the coefficients from sums over the whole batch; they apply to a part of it with `n` images.
    pub(crate) fn of_sums(sums: &GradientSums, stats: &BatchStats, gamma: &[f32], n: usize) -> Self {
        let count = stats.count as f64;
        let channels = gamma.len();
        let mut out = Self {
            gamma: Vec::with_capacity(channels),
            beta: Vec::with_capacity(channels),
            factor: Vec::with_capacity(channels),
            mean_term: Vec::with_capacity(channels),
            slope: Vec::with_capacity(channels),
            mean: stats.mean.clone(),
            n,
        };
        for ((gamma, r), (sum, product)) in gamma.iter().zip(stats.inverse_deviation()).zip(&sums.0) {
            let (r, factor) = (f64::from(r), f64::from(*gamma) * f64::from(r));
            out.gamma.push((product * r) as f32);
            out.beta.push(*sum as f32);
            out.factor.push(factor as f32);
            out.mean_term.push((factor * sum / count) as f32);
            out.slope.push((factor * r * r * product / count) as f32);
        }
        out
    }

    /// Passes the gradient of a raw map like `gz` through unchanged, for conv blocks without batch norm.
    pub(crate) fn identity(gz: &FeatureMap) -> Self {
        let zeros = vec![0.0; gz.c()];
        Self {
            gamma: Vec::new(),
            beta: Vec::new(),
            factor: vec![1.0; gz.c()],
            mean_term: zeros.clone(),
            slope: zeros.clone(),
            mean: zeros,
            n: gz.n(),
        }
    }

    /// Evaluates the gradient of channel `c` of group `block` for `z.len()` pixels; zero in lanes without an image.
    pub(crate) fn evaluate(&self, c: usize, block: usize, z: &[Lane], gy: &[Lane], out: &mut [Lane]) {
        assert!(z.len() == gy.len() && z.len() == out.len(), "rows of equal length");
        let mask = mask(self.n, block);
        let kernel = Evaluate {
            z: z.as_ptr(),
            gy: gy.as_ptr(),
            out: out.as_mut_ptr(),
            pixels: z.len(),
            mask: &raw const mask,
            factor: self.factor[c],
            mean_term: self.mean_term[c],
            slope: self.slope[c],
            mean: self.mean[c],
        };
        // SAFETY: the three rows are slices of `pixels` lanes and `out` is borrowed mutably.
        unsafe { simd::run(kernel) }
    }
}

impl BatchStats {
    /// Propagates the gradient `gy` through a batch norm that is not part of a conv block. `z` is the raw map with
    /// these statistics; `gamma`, `[c]`, is the scale. `z` and `gy` are `[n, c, h, w]`.
    ///
    /// Adds the gradient of `z` to `gradient`, which is created if it is `None`. Returns the gradients of scale and
    /// offset, `[c]` each.
    pub fn backward(
        &self,
        z: &FeatureMap,
        gamma: &[f32],
        gy: &FeatureMap,
        gradient: &mut Option<FeatureMap>,
    ) -> (Vec<f32>, Vec<f32>) {
        let norm = Gradient::new(z, self, gamma, gy);
        let (n, c, h, w) = z.shape();
        let plane = (h * w).max(1);
        let mut gz = FeatureMap::uninit(n, c, h, w);
        gz.par_blocks_mut().for_each(|(block, out)| {
            let planes = z.block(block).chunks_exact(plane).zip(gy.block(block).chunks_exact(plane));
            for (c, ((z, gy), out)) in planes.zip(out.chunks_exact_mut(plane)).enumerate() {
                norm.evaluate(c, block, z, gy, out);
            }
        });
        add_backward(&gz, None, gradient);
        (norm.gamma, norm.beta)
    }
}

/// The formula of [`Gradient`] over `pixels` lanes at `z`, `gy` and `out`; `out` must not overlap the others.
///
/// One pass in memory order, both inputs prefetched; the coefficients stay in registers.
struct Evaluate {
    z: *const Lane,
    gy: *const Lane,
    out: *mut Lane,
    pixels: usize,
    mask: *const Lane,
    factor: f32,
    mean_term: f32,
    slope: f32,
    mean: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Evaluate {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mask = S::load(self.mask);
        let factor = S::splat(self.factor);
        let slope = S::splat(-self.slope);
        let mean_term = S::splat(self.mean_term);
        let mean = S::splat(self.mean);
        for p in 0..self.pixels {
            simd::prefetch(self.gy.wrapping_add(p + AHEAD));
            simd::prefetch(self.z.wrapping_add(p + AHEAD));
            let base = S::sub(S::mul(S::load(self.gy.add(p)), factor), mean_term);
            let value = S::fma(S::sub(S::load(self.z.add(p)), mean), slope, base);
            // Lanes without an image must be zero: the gradient of the matrix sums over all lanes.
            S::store(self.out.add(p), S::mul(value, mask));
        }
    }
}
