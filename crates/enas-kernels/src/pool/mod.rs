//! Average and maximum pooling.
//!
//! Averages divide by the number of real pixels in the window; padding never wins a maximum (TensorFlow's SAME).
//! The first maximum of a window, in row order, takes its whole gradient: ties are common on flat backgrounds.

use rayon::prelude::*;

use crate::geometry::Axis;
use crate::map::{Map, Value};
use crate::profile;
use crate::simd::{self, Kernel, Lane, Simd};

/// What a window is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean of its real pixels.
    Average,
    /// The largest of its real pixels.
    Max,
}

/// A pooling operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Windows from top to bottom.
    pub y: Axis,
    /// Windows from left to right.
    pub x: Axis,
    /// Whether negative values count as zero.
    pub relu: bool,
}

impl Pool {
    /// k×k windows with SAME padding on a map of `h × w` pixels.
    pub fn same(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::same(h, k, stride), x: Axis::same(w, k, stride), relu: false }
    }

    /// k×k windows without padding on a map of `h × w` pixels.
    pub fn valid(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::valid(h, k, stride), x: Axis::valid(w, k, stride), relu: false }
    }

    /// The same, of `max(x, 0)`.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Pools `[n, c, h, w]` to `[n, c, y.out, x.out]`.
    pub fn forward(&self, input: &Value) -> Map {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        let mut out = Map::uninit(n, c, self.y.out, self.x.out);
        let out_plane = self.y.out * self.x.out;
        out.lanes_mut().par_chunks_mut((c * out_plane).max(1)).enumerate().for_each(|(block, out)| {
            let planes = input.map.block(block).chunks_exact(h * w).zip(out.chunks_exact_mut(out_plane));
            for (c, (plane, out)) in planes.enumerate() {
                let (scale, shift) = input.affine_of(c);
                let kernel =
                    Forward { pool: *self, plane: plane.as_ptr(), out: out.as_mut_ptr(), scale, shift };
                // SAFETY: `plane` is y.size × x.size lanes and `out` y.out × x.out.
                unsafe { simd::run(kernel) };
            }
        });
        self.record(start, "forward", n * c * (h * w + out_plane));
        out
    }

    /// Adds the gradient of the input to `gradient`, which is created if it is `None`.
    pub fn backward(&self, input: &Value, grad: &Map, gradient: &mut Option<Map>) {
        let start = profile::start();
        let (n, c, h, w) = input.map.shape();
        self.check(h, w);
        assert_eq!(grad.shape(), (n, c, self.y.out, self.x.out), "the gradient has the output's shape");
        let gradient = gradient.get_or_insert_with(|| Map::zeros(n, c, h, w));
        assert_eq!(gradient.shape(), (n, c, h, w), "a gradient has the shape of its value");
        let out_plane = self.y.out * self.x.out;
        gradient.lanes_mut().par_chunks_mut((c * h * w).max(1)).enumerate().for_each(|(block, to)| {
            let grads = grad.block(block).chunks_exact(out_plane);
            let planes = input.map.block(block).chunks_exact(h * w).zip(to.chunks_exact_mut(h * w));
            for (c, ((plane, to), grad)) in planes.zip(grads).enumerate() {
                let (scale, shift) = input.affine_of(c);
                let (plane, grad, to) = (plane.as_ptr(), grad.as_ptr(), to.as_mut_ptr());
                // SAFETY: `plane` and `to` are y.size × x.size lanes, `grad` y.out × x.out.
                unsafe { simd::run(Backward { pool: *self, plane, grad, to, scale, shift }) };
            }
        });
        self.record(start, "backward", n * c * (2 * h * w + out_plane));
    }

    /// The kernels read through pointers, so windows must not leave the map whatever the fields say.
    fn check(&self, h: usize, w: usize) {
        assert_eq!((h, w), (self.y.size, self.x.size), "the pool was made for this size");
        assert!(self.y.is_inside() && self.x.is_inside(), "every window holds a pixel: {self:?}");
    }

    fn record(&self, start: Option<std::time::Instant>, direction: &'static str, floats: usize) {
        let name = if self.kind == PoolKind::Average { "average pool" } else { "max pool" };
        let taps = (self.y.k * self.x.k) as f64;
        profile::stop(start, (name, direction), taps * floats as f64 / 2.0, 4.0 * floats as f64);
    }
}

/// One plane forward; `plane` and `out` as in [`Pool::forward`].
struct Forward {
    pool: Pool,
    plane: *const Lane,
    out: *mut Lane,
    scale: f32,
    shift: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl Kernel for Forward {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (scale, shift) = (S::splat(self.scale), S::splat(self.shift));
        let floor = S::splat(if self.pool.relu { 0.0 } else { f32::NEG_INFINITY });
        let width = self.pool.x.size;
        for oy in 0..self.pool.y.out {
            let (y0, y1, y) = self.pool.y.taps(oy);
            for ox in 0..self.pool.x.out {
                let (x0, x1, x) = self.pool.x.taps(ox);
                let first = self.plane.add(y * width + x);
                let (rows, columns) = (y1 - y0, x1 - x0);
                let value = |r: usize, c: usize| {
                    S::max(floor, S::fma(S::load(first.add(r * width + c)), scale, shift))
                };
                let result = match self.pool.kind {
                    PoolKind::Average => {
                        let mut sum = S::splat(0.0);
                        for r in 0..rows {
                            for c in 0..columns {
                                sum = S::add(sum, value(r, c));
                            }
                        }
                        S::mul(sum, S::splat(1.0 / (rows * columns) as f32))
                    }
                    PoolKind::Max => {
                        let mut best = value(0, 0);
                        for r in 0..rows {
                            for c in 0..columns {
                                best = S::max(best, value(r, c));
                            }
                        }
                        best
                    }
                };
                S::store(self.out.add(oy * self.pool.x.out + ox), result);
            }
        }
    }
}

/// One plane backward; `plane`, `grad` and `to` as in [`Pool::backward`].
struct Backward {
    pool: Pool,
    plane: *const Lane,
    grad: *const Lane,
    to: *mut Lane,
    scale: f32,
    shift: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl Kernel for Backward {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (scale, shift, zero) = (S::splat(self.scale), S::splat(self.shift), S::splat(0.0));
        let floor = S::splat(if self.pool.relu { 0.0 } else { f32::NEG_INFINITY });
        let width = self.pool.x.size;
        for oy in 0..self.pool.y.out {
            let (y0, y1, y) = self.pool.y.taps(oy);
            for ox in 0..self.pool.x.out {
                let (x0, x1, x) = self.pool.x.taps(ox);
                let (first, rows, columns) = (y * width + x, y1 - y0, x1 - x0);
                let raw =
                    |r: usize, c: usize| S::fma(S::load(self.plane.add(first + r * width + c)), scale, shift);
                let grad = S::load(self.grad.add(oy * self.pool.x.out + ox));
                match self.pool.kind {
                    PoolKind::Average => {
                        let share = S::mul(grad, S::splat(1.0 / (rows * columns) as f32));
                        for r in 0..rows {
                            for c in 0..columns {
                                let to = self.to.add(first + r * width + c);
                                let part = if self.pool.relu {
                                    S::select_gt(raw(r, c), zero, share, zero)
                                } else {
                                    share
                                };
                                S::store(to, S::add(S::load(to), part));
                            }
                        }
                    }
                    PoolKind::Max => {
                        let (mut best, mut winner) = (S::max(raw(0, 0), floor), S::splat(0.0));
                        for r in 0..rows {
                            for c in 0..columns {
                                let value = S::max(raw(r, c), floor);
                                winner =
                                    S::select_gt(value, best, S::splat((r * columns + c) as f32), winner);
                                best = S::max(value, best);
                            }
                        }
                        for r in 0..rows {
                            for c in 0..columns {
                                let to = self.to.add(first + r * width + c);
                                // `winner` holds small whole numbers: equal means neither greater nor less.
                                let tap = S::splat((r * columns + c) as f32);
                                let not_above = S::select_gt(winner, tap, zero, grad);
                                let mut part = S::select_gt(tap, winner, zero, not_above);
                                if self.pool.relu {
                                    part = S::select_gt(raw(r, c), zero, part, zero);
                                }
                                S::store(to, S::add(S::load(to), part));
                            }
                        }
                    }
                }
            }
        }
    }
}
