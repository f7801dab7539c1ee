//! Rows that are copies of input pixels: dense convolutions (im2row) and factorised reductions.
//!
//! # Method outline
//! 1. The outer loop goes over input channels; then over taps (dense convolutions), then over output rows.
//! 2. Each output row of a tap is cut into segments: a run of input pixels at a fixed stride, or zeros (padding). So
//!    the inner loop has no tests for borders.
//! 3. A segment is copied lane by lane, with normalisation and ReLU applied, to its row of the tile in the
//!    second-level cache.
//! 4. The way back visits the same segments and adds the gradients to the input pixels. Taps overlap, so it
//!    accumulates.

use super::{Gather, GradientRows, Im2row, Source};
use crate::ops::im2row::target::GradientTarget;
use enas_simd::{self as simd, AHEAD, Lane, Simd, SimdKernel};

impl Gather<'_> {
    /// The part of [`fill`](Self::fill) for copied rows.
    pub(super) fn copy(&self, source: Source<'_>, y: (usize, usize), out: &mut [Lane], stride: usize) {
        for (c, plane) in source.planes().enumerate() {
            self.for_each_segment(c, y, |row, segment| {
                let out = &mut out[row * stride + segment.out..][..segment.len];
                let Some(at) = segment.input else { return out.fill(Lane::ZERO) };
                let last = at + (segment.len - 1) * segment.stride;
                let copy = Copy {
                    from: plane.lanes[at..=last].as_ptr(),
                    stride: segment.stride,
                    to: out.as_mut_ptr(),
                    len: segment.len,
                    scale: plane.scale,
                    shift: plane.shift,
                    relu: plane.relu,
                };
                // SAFETY: the input run ends at `last`, inside the plane; `out` holds `len` lanes.
                unsafe { simd::run(copy) };
            });
        }
    }

    /// The part of [`propagate`](Self::propagate) for copied rows.
    pub(super) fn copy_backward(
        &self,
        source: Source<'_>,
        grad: &GradientRows<'_>,
        targets: &[GradientTarget],
    ) {
        for (c, (plane, (target, accumulate))) in
            source.planes().zip(source.target_planes(targets)).enumerate()
        {
            self.for_each_segment(c, grad.y, |row, segment| {
                let Some(at) = segment.input else { return };
                let last = at + (segment.len - 1) * segment.stride;
                let back = Back {
                    grad: grad.lanes[row * grad.stride + segment.out..][..segment.len].as_ptr(),
                    input: plane.lanes[at..=last].as_ptr(),
                    to: target[at..=last].as_mut_ptr(),
                    stride: segment.stride,
                    len: segment.len,
                    scale: plane.scale,
                    shift: plane.shift,
                    relu: plane.relu,
                    accumulate,
                };
                // SAFETY: the three slices above have the extents that the kernel touches.
                unsafe { simd::run(back) };
            });
        }
    }

    /// Calls `body(row, segment)` for the runs of pixels that input channel `c` contributes to output rows
    /// `y.0..y.1`; together they cover the channel's rows.
    fn for_each_segment(&self, c: usize, y: (usize, usize), mut body: impl FnMut(usize, Segment)) {
        let width = self.x.size;
        let out_width = self.x.out;
        match self.rows {
            Im2row::EverySecond { offset } => {
                for (r, row) in (y.0..y.1).enumerate() {
                    let out = r * out_width;
                    // Pixels past the edge read as zero: the last row or column of an odd size.
                    let inside =
                        if 2 * row + offset < self.y.size { (width - offset).div_ceil(2) } else { 0 };
                    if inside > 0 {
                        let input = Some((2 * row + offset) * width + offset);
                        body(c, Segment { out, len: inside, input, stride: 2 });
                    }
                    if inside < out_width {
                        body(
                            c,
                            Segment { out: out + inside, len: out_width - inside, input: None, stride: 1 },
                        );
                    }
                }
            }
            Im2row::Patches { k } => {
                for i in 0..k {
                    for j in 0..k {
                        let row = (i * k + j) * self.channels + c;
                        // Tap outside, output row inside: each row of the product is written from left to right.
                        for (r, out_y) in (y.0..y.1).enumerate() {
                            self.patch_row(i, j, out_y, r * out_width, |segment| body(row, segment));
                        }
                    }
                }
            }
            Im2row::Pixels => unreachable!("products read pixels for themselves"),
            Im2row::Depthwise { .. } => unreachable!("depthwise rows are filtered, not copied"),
        }
    }

    /// The runs of one output row that tap `(i, j)` of a dense convolution reads.
    fn patch_row(&self, i: usize, j: usize, out_y: usize, out: usize, mut body: impl FnMut(Segment)) {
        let width = self.x.size;
        let zeros = |out, len| Segment { out, len, input: None, stride: 1 };
        let y = (out_y + i).checked_sub(self.y.before).filter(|y| *y < self.y.size);
        // Output pixels `start..end` read real pixels with tap column `j`; the others read padding.
        let start = self.x.before.saturating_sub(j);
        let end = (width + self.x.before).saturating_sub(j).min(width);
        let Some(y) = y.filter(|_| start < end) else {
            return body(zeros(out, width));
        };
        if start > 0 {
            body(zeros(out, start));
        }
        body(Segment {
            out: out + start,
            len: end - start,
            input: Some(y * width + start + j - self.x.before),
            stride: 1,
        });
        if end < width {
            body(zeros(out + end, width - end));
        }
    }
}

/// A run of `len` output pixels from `out` on, read from input pixel `input` on, `stride` apart; zeros if `None`.
struct Segment {
    out: usize,
    len: usize,
    input: Option<usize>,
    stride: usize,
}

/// `to[i] = f(scale·from[i·stride] + shift)` for `len` lanes, `f` the ReLU or nothing.
struct Copy {
    from: *const Lane,
    stride: usize,
    to: *mut Lane,
    len: usize,
    scale: f32,
    shift: f32,
    relu: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Copy {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let floor = S::splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for i in 0..self.len {
            // The stride is part of the prefetch distance: it counts lanes that are read.
            simd::prefetch(self.from.wrapping_add((i + AHEAD) * self.stride));
            let value = S::fma(S::load(self.from.add(i * self.stride)), scale, shift);
            S::store(self.to.add(i), S::max(floor, value));
        }
    }
}

/// `to[i·stride] (+)= grad[i]` where `scale·input[i·stride] + shift > 0` or there is no ReLU, for `len` lanes.
struct Back {
    grad: *const Lane,
    input: *const Lane,
    to: *mut Lane,
    stride: usize,
    len: usize,
    scale: f32,
    shift: f32,
    relu: bool,
    accumulate: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Back {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let zero = S::splat(0.0);
        for i in 0..self.len {
            let mut value = S::load(self.grad.add(i));
            if self.relu {
                let input = S::fma(S::load(self.input.add(i * self.stride)), scale, shift);
                value = S::select_gt(input, zero, value, zero);
            }
            let to = self.to.add(i * self.stride);
            S::store(to, if self.accumulate { S::add(S::load(to), value) } else { value });
        }
    }
}
