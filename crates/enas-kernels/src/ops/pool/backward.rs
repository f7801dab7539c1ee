//! The gradient of pooling one plane, for windows of any size.

use super::shape::{Pool, PoolKind};
use enas_simd::{Lane, Simd, SimdKernel};

/// Adds `grad`, the gradient of the pooled plane, to the pixels of `relu(scale·plane + shift)` that caused it.
///
/// `plane` and `to` hold `y.size · x.size` lanes and `grad` `y.out · x.out`; every window holds a pixel. With `add`,
/// gradients are added to `to`; otherwise all of `to` is overwritten.
///
/// # Method outline
/// A plain scatter: the loops go over windows and then over taps, and each window adds to its pixels in place. A
/// maximum needs two passes over the taps: one finds the first maximum per image, one adds the gradient there.
#[derive(Clone, Copy)]
pub(super) struct Backward {
    pub(super) pool: Pool,
    pub(super) plane: *const Lane,
    pub(super) grad: *const Lane,
    pub(super) to: *mut Lane,
    pub(super) scale: f32,
    pub(super) shift: f32,
    pub(super) add: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Backward {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let zero = S::splat(0.0);
        let floor = S::splat(if self.pool.relu { 0.0 } else { f32::NEG_INFINITY });
        let width = self.pool.x.size;
        if !self.add {
            for pixel in 0..self.pool.y.size * width {
                S::store(self.to.add(pixel), zero);
            }
        }
        for oy in 0..self.pool.y.out {
            let (y0, y1, y) = self.pool.y.taps(oy);
            for ox in 0..self.pool.x.out {
                let (x0, x1, x) = self.pool.x.taps(ox);
                let first = y * width + x;
                let rows = y1 - y0;
                let columns = x1 - x0;
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
                        // `winner` is the index of the tap, per image, as `f32` so that vector instructions can select
                        // it.
                        let mut best = S::max(raw(0, 0), floor);
                        let mut winner = S::splat(0.0);
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
                                let tap = S::splat((r * columns + c) as f32);
                                let mut part = S::select_eq(winner, tap, grad, zero);
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
