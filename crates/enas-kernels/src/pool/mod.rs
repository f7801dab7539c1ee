//! Average and maximum pooling.
//!
//! An average divides by the number of real pixels in the window, and padding never wins a maximum (TensorFlow's SAME).
//! The first maximum of a window, in row order, receives its whole gradient: ties are common on flat backgrounds.
//!
//! Networks pool 3×3 pixels with stride 1 or 2. These windows are separable: they are reduced along one axis, then
//! along the other. Any other window, of which a network has one, is reduced tap by tap.
//!
//! One task of the thread pool handles a group of sixteen images, channel by channel: `forward`, `average`, `max` and
//! `backward` hold the kernels for one plane.

mod average;
mod backward;
mod forward;
mod max;
mod spread;

use std::ops::Range;

use rayon::prelude::*;

use crate::buffer::with_scratch;
use crate::feature_map::{Activation, FeatureMap};
use crate::geometry::Axis;
use crate::profile;
use crate::simd;

use average::AverageOfThree;
use backward::Backward;
use forward::Forward;
use max::MaxOfThree;

/// The reduction of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean of the window's real pixels.
    Average,
    /// The largest of the window's real pixels.
    Max,
}

/// A pooling operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Windows along the height.
    pub y: Axis,
    /// Windows along the width.
    pub x: Axis,
    /// Whether a ReLU is applied to the pixels first.
    pub relu: bool,
}

impl Pool {
    /// k×k windows with SAME padding, on a map of `h × w` pixels.
    pub fn same(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::same(h, k, stride), x: Axis::same(w, k, stride), relu: false }
    }

    /// k×k windows without padding (VALID), on a map of `h × w` pixels.
    pub fn valid(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::valid(h, k, stride), x: Axis::valid(w, k, stride), relu: false }
    }

    /// The same pool, applied to `max(x, 0)`.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Pools `[n, c, h, w]` to `[n, c, y.out, x.out]`.
    ///
    /// # Panics
    /// If the pool was made for another size.
    pub fn forward(&self, input: &Activation) -> FeatureMap {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        let mut out = FeatureMap::uninit(n, c, self.y.out, self.x.out);
        let out_plane = self.y.out * self.x.out;
        out.par_blocks_mut().for_each(|(block, out)| {
            let planes = input.map.block(block).chunks_exact(h * w).zip(out.chunks_exact_mut(out_plane));
            for (c, (plane, out)) in planes.enumerate() {
                let (scale, shift) = input.affine_of(c);
                let (plane, out) = (plane.as_ptr(), out.as_mut_ptr());
                // SAFETY: `plane` is y.size × x.size lanes and `out` y.out × x.out; `check` found the windows.
                unsafe { simd::run(Forward { pool: *self, plane, out, scale, shift }) };
            }
        });
        self.record(start, "forward", n * c * (h * w + out_plane));
        out
    }

    /// Adds the gradient of the input, `[n, c, h, w]`, to `gradient`, which is created if it is `None`. `grad` is the
    /// gradient of the output, `[n, c, y.out, x.out]`.
    ///
    /// # Panics
    /// If the pool was made for another size, or a gradient has another shape than its map.
    pub fn backward(&self, input: &Activation, grad: &FeatureMap, gradient: &mut Option<FeatureMap>) {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        assert_eq!(grad.shape(), (n, c, self.y.out, self.x.out), "the gradient has the output's shape");
        let add = gradient.is_some();
        let gradient = gradient.get_or_insert_with(|| FeatureMap::uninit(n, c, h, w));
        assert_eq!(gradient.shape(), (n, c, h, w), "a gradient has the shape of its value");
        let out_plane = self.y.out * self.x.out;
        let shares = (shares(self.y), shares(self.x));
        gradient.par_blocks_mut().for_each(|(block, to)| {
            let grads = grad.block(block).chunks_exact(out_plane);
            let planes = input.map.block(block).chunks_exact(h * w).zip(to.chunks_exact_mut(h * w));
            with_scratch(MaxOfThree::scratch_len(self.x), |scratch| {
                for (c, ((plane, to), grad)) in planes.zip(grads).enumerate() {
                    let (scale, shift) = input.affine_of(c);
                    let (plane, grad, to) = (plane.as_ptr(), grad.as_ptr(), to.as_mut_ptr());
                    let plane = Backward { pool: *self, plane, grad, to, scale, shift, add };
                    // SAFETY: `plane` and `to` are y.size × x.size lanes, `grad` y.out × x.out, the shares one
                    // per window of their axis, the scratch as long as asked for; `check` found the windows.
                    unsafe {
                        match self.kind {
                            _ if !self.is_three() => simd::run(plane),
                            PoolKind::Average => {
                                simd::run(AverageOfThree { plane, shares: (&shares.0, &shares.1) })
                            }
                            PoolKind::Max => simd::run(MaxOfThree { plane, scratch: scratch.as_mut_ptr() }),
                        }
                    };
                }
            });
        });
        self.record(start, "backward", n * c * (2 * h * w + out_plane));
    }

    /// Whether this is one of the 3×3 pools of networks, which have kernels of their own.
    fn is_three(&self) -> bool {
        let three = |stride| *self == self.threes(stride) && (self.kind == PoolKind::Max || !self.relu);
        three(1) || three(2)
    }

    /// The same pool with a window of 3×3 and the given stride as constants, which the compiler can then unroll.
    #[inline(always)]
    fn threes(self, stride: usize) -> Self {
        Self { y: Axis { k: 3, stride, ..self.y }, x: Axis { k: 3, stride, ..self.x }, ..self }
    }

    /// Checks the windows: the kernels read through pointers, so no window may leave the map, whatever the fields say.
    ///
    /// # Panics
    /// If a window would leave the map, or the pool was made for another size.
    pub(crate) fn check(&self, h: usize, w: usize) {
        assert_eq!((h, w), (self.y.size, self.x.size), "the pool was made for this size");
        assert!(self.y.is_inside() && self.x.is_inside(), "every window holds a pixel: {self:?}");
    }

    fn record(&self, start: Option<std::time::Instant>, direction: &'static str, floats: usize) {
        let name = if self.kind == PoolKind::Average { "average pool" } else { "max pool" };
        let taps = (self.y.k * self.x.k) as f64;
        profile::stop(start, (name, direction), taps * floats as f64 / 2.0, 4.0 * floats as f64);
    }
}

/// The range of windows that hold no padding.
#[inline(always)]
fn full(axis: Axis) -> Range<usize> {
    let fitting = (axis.size + axis.before).checked_sub(axis.k).map_or(0, |last| last / axis.stride + 1);
    let first = axis.before.div_ceil(axis.stride).min(axis.out);
    first..fitting.clamp(first, axis.out)
}

/// The range of windows that hold `pixel`.
#[inline(always)]
fn over(axis: Axis, pixel: usize) -> Range<usize> {
    let at = pixel + axis.before;
    let end = (at / axis.stride + 1).min(axis.out);
    (at + 1).saturating_sub(axis.k).div_ceil(axis.stride).min(end)..end
}

/// For each window, one over the number of its real pixels along this axis.
fn shares(axis: Axis) -> Vec<f32> {
    let share = |window| {
        let (first, end, _) = axis.taps(window);
        1.0 / (end - first) as f32
    };
    (0..axis.out).map(share).collect()
}
