//! The gradient of 3×3 maximum pooling: the first maximum of a window, in row order, receives all of it.
//!
//! # Method outline
//! The first maximum of a window is the first maximum of its three pixels in the first row whose maximum is the
//! window's. So the search is separable, and there are three passes over rows:
//!
//! 1. [`maxima`](Max3x3::maxima): for each input row and window column, the maximum of three pixels and its column.
//! 2. [`winners`](Max3x3::winners): for each window, the row that holds its first maximum.
//! 3. [`gather_gradients`](Max3x3::gather_gradients): for each input row, gathers the gradients of the windows whose
//!    maximum it holds.
//!
//! The passes alternate row by row and exchange rings of three rows in scratch memory, which stay in the first-level
//! cache. Positions are stored as `f32`, so that they can be compared and selected by vector instructions, image by
//! image.

use super::backward::Backward;
use super::scatter::{RowScatter, WindowGradients};
use super::shape::{windows_holding, windows_inside};
use crate::geometry::Axis;
use enas_simd::{self as simd, Lane, Simd, SimdKernel};

/// [`Backward`] for 3×3 maximum pools with stride 1 or 2.
///
/// `scratch` holds [`Max3x3::scratch_len`] lanes.
pub(super) struct Max3x3 {
    pub(super) plane: Backward,
    pub(super) scratch: *mut Lane,
}

/// Prefetch distance in lanes: the hardware prefetcher does not follow passes that alternate between several arrays.
const AHEAD: usize = 128;

/// The rings in scratch memory: for the last three rows, one lane per window column.
#[derive(Clone, Copy)]
enum ScratchRing {
    /// The largest of the three pixels of a window in a row.
    Maximum,
    /// Which of the three pixels that is (0, 1 or 2); the first if several are equal.
    Column,
    /// Which of a window's three rows holds its first maximum; 3 if the ReLU lets no gradient pass.
    Row,
}

impl Max3x3 {
    /// Scratch lanes for windows along `x`: three rings of three rows.
    pub(super) fn scratch_len(x: Axis) -> usize {
        3 * 3 * x.out
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the contracts of `Backward` and `Max3x3`.
impl SimdKernel for Max3x3 {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.plane.pool.x.stride == 1 { self.rows::<S, 1>() } else { self.rows::<S, 2>() }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Max3x3 {
    /// Address of `what` for row `row`. A row's slot is reused by the third row after it.
    #[inline(always)]
    unsafe fn ring_row(&self, what: ScratchRing, row: usize) -> *mut Lane {
        self.scratch.add((what as usize * 3 + row % 3) * self.plane.pool.x.out)
    }

    #[inline(always)]
    unsafe fn rows<S: Simd, const STRIDE: usize>(mut self) {
        self.plane.pool = self.plane.pool.as_3x3(STRIDE);
        let axis = self.plane.pool.y;
        let mut row = 0;
        let mut window = 0;
        for y in 0..axis.size {
            // Advances the first two passes just far enough for all windows that hold row `y`.
            let windows = windows_holding(axis, y);
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
            // The number of rows of windows is a constant of `gather_gradients`, so that its loop unrolls.
            match windows.len() {
                0 => self.gather_gradients::<S, STRIDE, 0>(y, windows.start),
                1 => self.gather_gradients::<S, STRIDE, 1>(y, windows.start),
                2 => self.gather_gradients::<S, STRIDE, 2>(y, windows.start),
                _ => self.gather_gradients::<S, STRIDE, 3>(y, windows.start),
            }
        }
    }

    /// Pass 1 for input row `y`: the maximum of each window's three pixels, and which of them it is.
    #[inline(always)]
    unsafe fn maxima<S: Simd, const STRIDE: usize>(&self, y: usize) {
        let axis = self.plane.pool.x;
        let windows_inside = windows_inside(axis);
        let row = self.plane.plane.add(y * axis.size);
        let (maxima, columns) =
            (self.ring_row(ScratchRing::Maximum, y), self.ring_row(ScratchRing::Column, y));
        for ox in 0..windows_inside.start {
            self.maximum_at_border::<S>(row, ox).store(maxima.add(ox), columns.add(ox));
        }
        for ox in windows_inside.end..axis.out {
            self.maximum_at_border::<S>(row, ox).store(maxima.add(ox), columns.add(ox));
        }
        if windows_inside.is_empty() {
            return;
        }
        let row = row.add(windows_inside.start * STRIDE - axis.before);
        let mut left = self.pixel::<S>(row);
        let mut middle = self.pixel::<S>(row.add(1));
        for i in 0..windows_inside.len() {
            for pixel in 0..STRIDE {
                simd::prefetch(row.wrapping_add(i * STRIDE + pixel + AHEAD));
            }
            if STRIDE == 2 {
                // With stride 2 only the right pixel is shared; it becomes the next left one.
                middle = self.pixel::<S>(row.add(i * STRIDE + 1));
            }
            let right = self.pixel::<S>(row.add(i * STRIDE + 2));
            let best = FirstMaximum::<S>::new(left, 0).or(middle, 1).or(right, 2);
            best.store(maxima.add(windows_inside.start + i), columns.add(windows_inside.start + i));
            (left, middle) = if STRIDE == 1 { (middle, right) } else { (right, middle) };
        }
    }

    /// The maximum of the pixels of the window at `ox` in `row`, without padding.
    #[inline(always)]
    unsafe fn maximum_at_border<S: Simd>(&self, row: *const Lane, ox: usize) -> FirstMaximum<S> {
        let (first, end, x) = self.plane.pool.x.taps(ox);
        let mut best = FirstMaximum::new(self.pixel::<S>(row.add(x)), first);
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
            *row = self.ring_row(ScratchRing::Maximum, y + r).cast_const();
        }
        let winners = self.ring_row(ScratchRing::Row, oy);
        let upcoming = grad.wrapping_add(oy * pool.x.out + AHEAD);
        for ox in 0..pool.x.out {
            simd::prefetch(upcoming.wrapping_add(ox));
            let mut best = FirstMaximum::<S>::new(S::load(maxima[0].add(ox)), first);
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
    unsafe fn gather_gradients<S: Simd, const STRIDE: usize, const ROWS: usize>(&self, y: usize, oy: usize) {
        let Backward { pool, grad, to, add, .. } = self.plane;
        let to = to.add(y * pool.x.size);
        let mut rows = [WindowRow { grad, winner: grad, this: 0.0 }; ROWS];
        for (row, oy) in rows.iter_mut().zip(oy..) {
            row.grad = grad.add(oy * pool.x.out);
            row.winner = self.ring_row(ScratchRing::Row, oy);
            // The position of pixel row `y` inside the windows of row `oy`.
            row.this = (y + pool.y.before - oy * pool.y.stride) as f32;
        }
        let columns = self.ring_row(ScratchRing::Column, y).cast_const();
        let gradients = MaximumGradients::<ROWS, STRIDE> { rows, columns, upcoming: to.wrapping_add(AHEAD) };
        RowScatter { axis: pool.x, to, add }.run::<S, STRIDE>(&gradients);
    }
}

/// The first maximum so far, and its position.
#[derive(Clone, Copy)]
struct FirstMaximum<S: Simd> {
    value: S::V,
    which: S::V,
}

#[allow(unsafe_op_in_unsafe_fn)] // Arithmetic under the contract of `Simd`.
impl<S: Simd> FirstMaximum<S> {
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
struct MaximumGradients<const ROWS: usize, const STRIDE: usize> {
    rows: [WindowRow; ROWS],
    /// Which of its three pixels in this row holds each window's maximum of the row.
    columns: *const Lane,
    /// Where gradients will be written soon, for prefetching.
    upcoming: *const Lane,
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
impl<const ROWS: usize, const STRIDE: usize> WindowGradients for MaximumGradients<ROWS, STRIDE> {
    #[inline(always)]
    unsafe fn contributions<S: Simd>(&self, o: usize) -> [S::V; 3] {
        for i in 0..STRIDE {
            simd::prefetch(self.upcoming.wrapping_add(o * STRIDE + i));
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
