//! The gradient of 3×3 maximum pooling: the first maximum of a window, in row order, receives all of it.
//!
//! # Method outline
//! The first maximum of a window is the first maximum of its three pixels in the first row whose maximum is the
//! window's. So the search is separable, and there are three passes over rows:
//!
//! 1. [`maxima`](MaxOfThree::maxima): for each input row and window column, the maximum of three pixels and its column.
//! 2. [`winners`](MaxOfThree::winners): for each window, the row that holds its first maximum.
//! 3. [`give`](MaxOfThree::give): for each input row, gathers the gradients of the windows that its pixels won.
//!
//! The passes alternate row by row and exchange rings of three rows in scratch memory, which stay in the first-level
//! cache. Positions are stored as `f32`, so that they can be compared and selected by vector instructions, image by
//! image.

use super::backward::Backward;
use super::spread::{Spread, Windows};
use super::{full, over};
use crate::geometry::Axis;
use crate::simd::{self, Kernel, Lane, Simd};

/// [`Backward`] for 3×3 maximum pools with stride 1 or 2.
///
/// `scratch` holds [`MaxOfThree::scratch_len`] lanes.
pub(super) struct MaxOfThree {
    pub(super) plane: Backward,
    pub(super) scratch: *mut Lane,
}

/// Prefetch distance in lanes: the hardware prefetcher does not follow passes that alternate between several arrays.
const AHEAD: usize = 128;

/// The rings in scratch memory: for the last three rows, one lane per window column.
#[derive(Clone, Copy)]
enum Kept {
    /// The largest of the three pixels of a window in a row.
    Maximum,
    /// Which of the three pixels that is (0, 1 or 2); the first if several are equal.
    Column,
    /// Which of a window's three rows holds its first maximum; 3 if the ReLU lets no gradient pass.
    Row,
}

impl MaxOfThree {
    /// Scratch lanes for windows along `x`: three rings of three rows.
    pub(super) fn scratch_len(x: Axis) -> usize {
        3 * 3 * x.out
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the contracts of `Backward` and `MaxOfThree`.
impl Kernel for MaxOfThree {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.plane.pool.x.stride == 1 { self.rows::<S, 1>() } else { self.rows::<S, 2>() }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl MaxOfThree {
    /// Address of `what` for row `row`. A row's slot is reused by the third row after it.
    #[inline(always)]
    unsafe fn kept(&self, what: Kept, row: usize) -> *mut Lane {
        self.scratch.add((what as usize * 3 + row % 3) * self.plane.pool.x.out)
    }

    #[inline(always)]
    unsafe fn rows<S: Simd, const STRIDE: usize>(mut self) {
        self.plane.pool = self.plane.pool.threes(STRIDE);
        let axis = self.plane.pool.y;
        let (mut row, mut window) = (0, 0);
        for y in 0..axis.size {
            // Advances the first two passes just far enough for all windows that hold row `y`.
            let windows = over(axis, y);
            while window < windows.end {
                let (first, end, top) = axis.taps(window);
                // Pass 1 for those rows of the window that are still missing.
                while row < top + end - first {
                    self.maxima::<S, STRIDE>(row);
                    row += 1;
                }
                self.winners::<S>(window);
                window += 1;
            }
            // The number of rows of windows is a constant of `give`, so that its loop unrolls.
            match windows.len() {
                0 => self.give::<S, STRIDE, 0>(y, windows.start),
                1 => self.give::<S, STRIDE, 1>(y, windows.start),
                2 => self.give::<S, STRIDE, 2>(y, windows.start),
                _ => self.give::<S, STRIDE, 3>(y, windows.start),
            }
        }
    }

    /// Pass 1 for input row `y`: the maximum of each window's three pixels, and which of them it is.
    #[inline(always)]
    unsafe fn maxima<S: Simd, const STRIDE: usize>(&self, y: usize) {
        let axis = self.plane.pool.x;
        let full = full(axis);
        let row = self.plane.plane.add(y * axis.size);
        let (maxima, columns) = (self.kept(Kept::Maximum, y), self.kept(Kept::Column, y));
        for ox in 0..full.start {
            self.maximum_at_border::<S>(row, ox).store(maxima.add(ox), columns.add(ox));
        }
        for ox in full.end..axis.out {
            self.maximum_at_border::<S>(row, ox).store(maxima.add(ox), columns.add(ox));
        }
        if full.is_empty() {
            return;
        }
        let row = row.add(full.start * STRIDE - axis.before);
        let (mut left, mut middle) = (self.pixel::<S>(row), self.pixel::<S>(row.add(1)));
        for i in 0..full.len() {
            for pixel in 0..STRIDE {
                simd::prefetch(row.wrapping_add(i * STRIDE + pixel + AHEAD));
            }
            if STRIDE == 2 {
                // With stride 2 only the right pixel is shared; it becomes the next left one.
                middle = self.pixel::<S>(row.add(i * STRIDE + 1));
            }
            let right = self.pixel::<S>(row.add(i * STRIDE + 2));
            let best = Best::<S>::new(left, 0).or(middle, 1).or(right, 2);
            best.store(maxima.add(full.start + i), columns.add(full.start + i));
            (left, middle) = if STRIDE == 1 { (middle, right) } else { (right, middle) };
        }
    }

    /// The maximum of the pixels of the window at `ox` in `row`, without padding.
    #[inline(always)]
    unsafe fn maximum_at_border<S: Simd>(&self, row: *const Lane, ox: usize) -> Best<S> {
        let (first, end, x) = self.plane.pool.x.taps(ox);
        let mut best = Best::new(self.pixel::<S>(row.add(x)), first);
        for tap in first + 1..end {
            best = best.or(self.pixel::<S>(row.add(x + tap - first)), tap);
        }
        best
    }

    #[inline(always)]
    unsafe fn pixel<S: Simd>(&self, at: *const Lane) -> S::V {
        S::fma(S::load(at), S::splat(self.plane.scale), S::splat(self.plane.shift))
    }

    /// Pass 2 for row `oy` of windows: the row that holds the first maximum of each window.
    #[inline(always)]
    unsafe fn winners<S: Simd>(&self, oy: usize) {
        let (first, end, y) = self.plane.pool.y.taps(oy);
        match end - first {
            1 => self.winners_of::<S, 1>(oy, first, y),
            2 => self.winners_of::<S, 2>(oy, first, y),
            _ => self.winners_of::<S, 3>(oy, first, y),
        }
    }

    /// Pass 2 for windows with `ROWS` real rows from `y` on; the first of them is row `first` of the window.
    #[inline(always)]
    unsafe fn winners_of<S: Simd, const ROWS: usize>(&self, oy: usize, first: usize, y: usize) {
        let Backward { pool, grad, .. } = self.plane;
        let mut maxima = [std::ptr::null(); ROWS];
        for (r, row) in maxima.iter_mut().enumerate() {
            *row = self.kept(Kept::Maximum, y + r).cast_const();
        }
        let winners = self.kept(Kept::Row, oy);
        let soon = grad.wrapping_add(oy * pool.x.out + AHEAD);
        for ox in 0..pool.x.out {
            simd::prefetch(soon.wrapping_add(ox));
            let mut best = Best::<S>::new(S::load(maxima[0].add(ox)), first);
            for (r, row) in maxima.iter().enumerate().skip(1) {
                best = best.or(S::load(row.add(ox)), first + r);
            }
            if pool.relu {
                // A maximum of at most 0 does not pass the ReLU: no row wins.
                best.which = S::select_gt(best.value, S::splat(0.0), best.which, S::splat(3.0));
            }
            S::store(winners.add(ox), best.which);
        }
    }

    /// Pass 3 for input row `y`, which `ROWS` rows of windows from `oy` on hold.
    #[inline(always)]
    unsafe fn give<S: Simd, const STRIDE: usize, const ROWS: usize>(&self, y: usize, oy: usize) {
        let Backward { pool, grad, to, add, .. } = self.plane;
        let to = to.add(y * pool.x.size);
        let mut rows = [WindowRow { grad, winner: grad, this: 0.0 }; ROWS];
        for (row, oy) in rows.iter_mut().zip(oy..) {
            row.grad = grad.add(oy * pool.x.out);
            row.winner = self.kept(Kept::Row, oy);
            // The position of pixel row `y` inside the windows of row `oy`.
            row.this = (y + pool.y.before - oy * pool.y.stride) as f32;
        }
        let columns = self.kept(Kept::Column, y).cast_const();
        let won = Won::<ROWS, STRIDE> { rows, columns, soon: to.wrapping_add(AHEAD) };
        Spread { axis: pool.x, to, add }.run::<S, STRIDE>(&won);
    }
}

/// The first maximum so far, and its position.
#[derive(Clone, Copy)]
struct Best<S: Simd> {
    value: S::V,
    which: S::V,
}

#[allow(unsafe_op_in_unsafe_fn)] // Arithmetic under the contract of `Simd`.
impl<S: Simd> Best<S> {
    #[inline(always)]
    unsafe fn new(value: S::V, place: usize) -> Self {
        Self { value, which: S::splat(place as f32) }
    }

    /// Only a larger number replaces an earlier one; NaN never does.
    #[inline(always)]
    unsafe fn or(self, value: S::V, place: usize) -> Self {
        let which = S::select_gt(value, self.value, S::splat(place as f32), self.which);
        Self { value: S::max(value, self.value), which }
    }

    #[inline(always)]
    unsafe fn store(self, value: *mut Lane, which: *mut Lane) {
        S::store(value, self.value);
        S::store(which, self.which);
    }
}

/// The gradients that windows contribute to one row of pixels.
struct Won<const ROWS: usize, const STRIDE: usize> {
    rows: [WindowRow; ROWS],
    /// Which of its three pixels in this row holds each window's maximum of the row.
    columns: *const Lane,
    /// Where gradients will be written soon, for prefetching.
    soon: *const Lane,
}

/// A row of windows that holds the row of pixels.
#[derive(Clone, Copy)]
struct WindowRow {
    grad: *const Lane,
    /// For each window, which of its rows holds the first maximum.
    winner: *const Lane,
    /// Which of the windows' rows (0, 1 or 2) the row of pixels is.
    this: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // There is a gradient and a winner for every window.
impl<const ROWS: usize, const STRIDE: usize> Windows for Won<ROWS, STRIDE> {
    #[inline(always)]
    unsafe fn parts<S: Simd>(&self, o: usize) -> [S::V; 3] {
        for i in 0..STRIDE {
            simd::prefetch(self.soon.wrapping_add(o * STRIDE + i));
        }
        let zero = S::splat(0.0);
        // The gradients of the windows for which this row holds the first maximum.
        let mut sum = zero;
        for row in self.rows {
            let winner = S::load(row.winner.add(o));
            sum = S::add(sum, S::select_eq(winner, S::splat(row.this), S::load(row.grad.add(o)), zero));
        }
        // If no window holds the row, `columns` may be stale; then `sum` is zero, so nothing is added.
        let column = S::load(self.columns.add(o));
        [
            S::select_eq(column, zero, sum, zero),
            S::select_eq(column, S::splat(1.0), sum, zero),
            S::select_eq(column, S::splat(2.0), sum, zero),
        ]
    }
}
