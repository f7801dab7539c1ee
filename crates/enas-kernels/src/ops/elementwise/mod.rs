//! Sums of two maps, concatenation of channels, and means over pixels, with their gradients.
//!
//! All of them are limited by memory bandwidth. Each is one pass in memory order, one task per group of sixteen images,
//! with the pending normalisations applied on the way.

pub(crate) mod gpu;

use rayon::prelude::*;

use crate::feature_map::CHUNK;
use crate::feature_map::{Activation, FeatureMap};
use crate::profile;
use enas_simd::{self as simd, AHEAD, LANES, Lane, Simd, SimdKernel};

/// One side of a sum: a value and, for drop-path, one factor per image.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// The summand, `[n, c, h, w]`.
    pub value: &'a Activation,
    /// One factor per image, `[n]`; `None` for 1.
    pub factors: Option<&'a [f32]>,
}

/// Returns `a + b`, each with its pending normalisation and factors applied. Shapes: all `[n, c, h, w]`.
///
/// # Panics
/// If the shapes differ.
pub fn add(a: Term<'_>, b: Term<'_>) -> FeatureMap {
    let start = profile::start();
    let (n, c, h, w) = a.value.map.shape();
    assert_eq!(b.value.map.shape(), (n, c, h, w), "both sides of a sum have one shape");
    let plane = h * w;
    let mut out = FeatureMap::uninit(n, c, h, w);
    out.par_blocks_mut().for_each(|(block, out)| {
        let fa = factor_lane(a.factors, block);
        let fb = factor_lane(b.factors, block);
        let planes =
            a.value.map.block(block).chunks_exact(plane).zip(b.value.map.block(block).chunks_exact(plane));
        for (c, ((a_plane, b_plane), out)) in planes.zip(out.chunks_exact_mut(plane)).enumerate() {
            let kernel = Sum {
                a: (a_plane.as_ptr(), a.value.affine_of(c), &raw const fa),
                b: (b_plane.as_ptr(), b.value.affine_of(c), &raw const fb),
                out: out.as_mut_ptr(),
                len: plane,
            };
            // SAFETY: three planes of `plane` lanes; the factors live on this stack frame.
            unsafe { simd::run(kernel) };
        }
    });
    let floats = (n * c * plane) as f64;
    profile::stop(start, ("add", "forward"), 4.0 * floats, 12.0 * floats);
    out
}

/// Adds `factors · grad` to `gradient`; both maps are `[n, c, h, w]`, the factors `[n]`. Without factors and without a
/// gradient yet, shares `grad`'s memory instead of copying.
pub fn add_backward(grad: &FeatureMap, factors: Option<&[f32]>, gradient: &mut Option<FeatureMap>) {
    if gradient.is_none() && factors.is_none() {
        *gradient = Some(grad.clone());
        return;
    }
    let start = profile::start();
    let (n, c, h, w) = grad.shape();
    let accumulate = gradient.is_some();
    let gradient = gradient.get_or_insert_with(|| FeatureMap::uninit(n, c, h, w));
    let block_len = grad.block_len();
    gradient.par_blocks_mut().for_each(|(block, to)| {
        let factor = factor_lane(factors, block);
        let kernel = Scale {
            from: grad.block(block).as_ptr(),
            to: to.as_mut_ptr(),
            len: to.len(),
            factor: &raw const factor,
            accumulate,
        };
        // SAFETY: both blocks hold `to.len()` lanes; the factors live on this stack frame.
        unsafe { simd::run(kernel) };
    });
    let floats = (n * block_len) as f64;
    profile::stop(start, ("add", "backward"), 2.0 * floats, 12.0 * floats);
}

/// Returns one map `[n, Σ c_i, h, w]` with the channels of all values, `[n, c_i, h, w]`, one after another,
/// normalisations applied.
///
/// # Panics
/// If there are no values.
pub fn concat(values: &[Activation]) -> FeatureMap {
    let start = profile::start();
    let (n, _, h, w) = values[0].map.shape();
    let plane = h * w;
    let channels = values.iter().map(|v| v.map.c()).sum::<usize>();
    let mut out = FeatureMap::uninit(n, channels, h, w);
    out.par_blocks_mut().for_each(|(block, out)| {
        let sources = values.iter().flat_map(|v| {
            let planes = v.map.block(block).chunks_exact(plane);
            planes.enumerate().map(|(c, lanes)| (lanes, v.affine_of(c)))
        });
        for ((from, (scale, shift)), to) in sources.zip(out.chunks_exact_mut(plane)) {
            // SAFETY: both planes hold `plane` lanes.
            unsafe {
                simd::run(Apply { from: from.as_ptr(), to: to.as_mut_ptr(), len: plane, scale, shift })
            };
        }
    });
    profile::stop(start, ("concat", "forward"), 0.0, (8 * n * channels * plane) as f64);
    out
}

/// Adds the gradient of [`concat()`] to one gradient per value. `grad` is `[n, Σ c_i, h, w]`, each gradient
/// `[n, c_i, h, w]`.
pub fn concat_backward(grad: &FeatureMap, values: &[Activation], gradients: &mut [Option<FeatureMap>]) {
    let start = profile::start();
    let plane = grad.h() * grad.w();
    let mut first = 0;
    for (value, gradient) in values.iter().zip(gradients) {
        let (n, c, h, w) = value.map.shape();
        let accumulate = gradient.is_some();
        let gradient = gradient.get_or_insert_with(|| FeatureMap::uninit(n, c, h, w));
        gradient.par_blocks_mut().for_each(|(block, to)| {
            let one = Lane([1.0; LANES]);
            let len = to.len();
            let from = grad.block(block)[first * plane..][..len].as_ptr();
            let to = to.as_mut_ptr();
            // SAFETY: both runs hold `len` lanes; the factor lives on this stack frame.
            unsafe { simd::run(Scale { from, to, len, factor: &raw const one, accumulate }) };
        });
        first += c;
    }
    profile::stop(start, ("concat", "backward"), 0.0, (8 * grad.n() * grad.c() * plane) as f64);
}

/// Means over pixels of `max(x, 0)` (ReLU and global average pooling): `[n, c_i, h, w]` of all values together to
/// `[n, Σ c_i]`, row by row.
pub fn relu_mean(values: &[Activation]) -> Vec<f32> {
    let start = profile::start();
    let channels: usize = values.iter().map(|v| v.map.c()).sum();
    let n = values.first().map_or(0, |v| v.map.n());
    let mut means = vec![0.0; n * channels];
    means.par_chunks_mut((LANES * channels).max(1)).enumerate().for_each(|(block, means)| {
        let planes = values.iter().flat_map(|v| {
            let planes = v.map.block(block).chunks_exact(v.map.h() * v.map.w());
            planes.enumerate().map(|(c, plane)| (plane, v.affine_of(c)))
        });
        for (c, (plane, (scale, shift))) in planes.enumerate() {
            let mut total = [0.0f64; LANES];
            // Single precision within a chunk, double precision across chunks.
            for chunk in plane.chunks(CHUNK) {
                // SAFETY: `chunk` is a slice of `len` lanes.
                let sum =
                    unsafe { simd::run(ReluSum { from: chunk.as_ptr(), len: chunk.len(), scale, shift }) };
                total.iter_mut().zip(sum.0).for_each(|(t, s)| *t += f64::from(s));
            }
            for (image, total) in means.chunks_exact_mut(channels).zip(total) {
                image[c] = (total / plane.len() as f64) as f32;
            }
        }
    });
    profile::stop(start, ("mean", "forward"), 0.0, 4.0 * numbers(values));
    means
}

/// Adds the gradient of [`relu_mean`], given `grad` as `[n, Σ c_i]`, to one gradient `[n, c_i, h, w]` per value.
pub fn relu_mean_backward(values: &[Activation], grad: &[f32], gradients: &mut [Option<FeatureMap>]) {
    let start = profile::start();
    let channels: usize = values.iter().map(|v| v.map.c()).sum();
    let mut first = 0;
    for (value, gradient) in values.iter().zip(gradients) {
        let (n, c, h, w) = value.map.shape();
        let plane = h * w;
        let accumulate = gradient.is_some();
        let gradient = gradient.get_or_insert_with(|| FeatureMap::uninit(n, c, h, w));
        gradient.par_blocks_mut().for_each(|(block, to)| {
            let planes = value.map.block(block).chunks_exact(plane).zip(to.chunks_exact_mut(plane));
            for (channel, (plane, to)) in planes.enumerate() {
                let mut share = Lane::ZERO;
                for (i, share) in share.0.iter_mut().enumerate() {
                    let image = block * LANES + i;
                    if image < n {
                        *share = grad[image * channels + first + channel] / plane.len() as f32;
                    }
                }
                let (scale, shift) = value.affine_of(channel);
                let from = plane.as_ptr();
                let to = to.as_mut_ptr();
                let len = plane.len();
                // SAFETY: both planes hold `len` lanes; the share lives on this stack frame.
                unsafe {
                    simd::run(ReluSpread { from, to, len, scale, shift, share: &raw const share, accumulate })
                };
            }
        });
        first += c;
    }
    profile::stop(start, ("mean", "backward"), 0.0, 8.0 * numbers(values));
}

/// Total count of numbers in some values.
fn numbers(values: &[Activation]) -> f64 {
    let of = |v: &Activation| (v.map.n() * v.map.c() * v.map.h() * v.map.w()) as f64;
    values.iter().map(of).sum()
}

/// The factors of the sixteen images of a block; zero past the last image, one without factors.
fn factor_lane(factors: Option<&[f32]>, block: usize) -> Lane {
    let Some(factors) = factors else { return Lane([1.0; LANES]) };
    let mut lane = Lane::ZERO;
    lane.0.iter_mut().zip(&factors[block * LANES..]).for_each(|(l, f)| *l = *f);
    lane
}

/// `out = fa·(sa·a + ta) + fb·(sb·b + tb)` over `len` lanes.
///
/// Scale, shift and factor are folded into two vectors before the loop, so a lane costs two loads, two multiply-adds
/// and a store.
struct Sum {
    a: (*const Lane, (f32, f32), *const Lane),
    b: (*const Lane, (f32, f32), *const Lane),
    out: *mut Lane,
    len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Sum {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let prepare = |(_, (scale, shift), factor): (*const Lane, (f32, f32), *const Lane)| {
            let factor = S::load(factor);
            (S::mul(S::splat(scale), factor), S::mul(S::splat(shift), factor))
        };
        let ((sa, ta), (sb, tb)) = (prepare(self.a), prepare(self.b));
        let shift = S::add(ta, tb);
        for i in 0..self.len {
            simd::prefetch(self.a.0.wrapping_add(i + AHEAD));
            simd::prefetch(self.b.0.wrapping_add(i + AHEAD));
            simd::prefetch_for_writing(self.out.wrapping_add(i + AHEAD));
            let b = S::fma(S::load(self.b.0.add(i)), sb, shift);
            S::store(self.out.add(i), S::fma(S::load(self.a.0.add(i)), sa, b));
        }
    }
}

/// `to = scale·from + shift` over `len` lanes, in memory order.
struct Apply {
    from: *const Lane,
    to: *mut Lane,
    len: usize,
    scale: f32,
    shift: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Apply {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        for i in 0..self.len {
            S::store(self.to.add(i), S::fma(S::load(self.from.add(i)), scale, shift));
        }
    }
}

/// `to (+)= factor·from` over `len` lanes, in memory order.
struct Scale {
    from: *const Lane,
    to: *mut Lane,
    len: usize,
    factor: *const Lane,
    accumulate: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Scale {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let factor = S::load(self.factor);
        for i in 0..self.len {
            let value = S::mul(S::load(self.from.add(i)), factor);
            let to = self.to.add(i);
            S::store(to, if self.accumulate { S::add(S::load(to), value) } else { value });
        }
    }
}

/// The lane-wise sum of `max(scale·from + shift, 0)` over `len` lanes: one sum per image.
struct ReluSum {
    from: *const Lane,
    len: usize,
    scale: f32,
    shift: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for ReluSum {
    type Output = Lane;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Lane {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let zero = S::splat(0.0);
        let mut sum = zero;
        for i in 0..self.len {
            sum = S::add(sum, S::max(zero, S::fma(S::load(self.from.add(i)), scale, shift)));
        }
        let mut out = Lane::ZERO;
        S::store(&raw mut out, sum);
        out
    }
}

/// `to (+)= share` where `scale·from + shift > 0`, else 0, over `len` lanes. The ReLU's gate is recomputed from the raw
/// map.
struct ReluSpread {
    from: *const Lane,
    to: *mut Lane,
    len: usize,
    scale: f32,
    shift: f32,
    share: *const Lane,
    accumulate: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for ReluSpread {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let zero = S::splat(0.0);
        let share = S::load(self.share);
        for i in 0..self.len {
            let input = S::fma(S::load(self.from.add(i)), scale, shift);
            let part = S::select_gt(input, zero, share, zero);
            let to = self.to.add(i);
            S::store(to, if self.accumulate { S::add(S::load(to), part) } else { part });
        }
    }
}
