//! Pools one plane forwards.

use super::shape::{Pool, PoolKind, windows_inside};
use enas_simd::{Lane, Simd, SimdKernel};

/// Pools `relu(scale·plane + shift)` into `out`.
///
/// `plane` holds `y.size · x.size` lanes and `out` `y.out · x.out`; every window holds a pixel.
///
/// # Method outline
/// 1. The outer loop goes over output rows; the inner loop goes over windows from left to right.
/// 2. A 3×3 window is the reduction of three columns; a column is the reduction of up to three pixels.
/// 3. Neighbouring windows share columns: two (stride 1) or one (stride 2) stay in registers from window to window. So
///    a pixel is read three times with stride 1 and not nine times.
/// 4. Windows at the left and right border are computed apart, so the inner loop has no tests.
/// 5. Input rows are read by at most three output rows in succession and come from the cache.
pub(super) struct Forward {
    pub(super) pool: Pool,
    pub(super) plane: *const Lane,
    pub(super) out: *mut Lane,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for Forward {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        match (self.pool.kind, self.pool.x.stride) {
            _ if !self.pool.is_3x3() => self.tap_by_tap::<S>(),
            (PoolKind::Average, 1) => self.run_3x3::<S, false, 1>(),
            (PoolKind::Average, _) => self.run_3x3::<S, false, 2>(),
            (PoolKind::Max, 1) => self.run_3x3::<S, true, 1>(),
            (PoolKind::Max, _) => self.run_3x3::<S, true, 2>(),
        }
    }
}

/// Windows of 3×3, separable: columns first, then rows of columns.
#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Forward {
    #[inline(always)]
    unsafe fn run_3x3<S: Simd, const MAX: bool, const STRIDE: usize>(self) {
        let this = Self { pool: self.pool.as_3x3(STRIDE), ..self };
        for oy in 0..self.pool.y.out {
            let (first, end, y) = this.pool.y.taps(oy);
            let row = this.plane.add(y * this.pool.x.size);
            let out = this.out.add(oy * this.pool.x.out);
            // The number of real rows is a constant of `row`, so that columns unroll.
            match end - first {
                1 => this.row::<S, MAX, STRIDE, 1>(row, out),
                2 => this.row::<S, MAX, STRIDE, 2>(row, out),
                _ => this.row::<S, MAX, STRIDE, 3>(row, out),
            }
        }
    }

    /// Computes one row of `out` from the `ROWS` real rows of the plane that start at `row`.
    #[inline(always)]
    unsafe fn row<S: Simd, const MAX: bool, const STRIDE: usize, const ROWS: usize>(
        &self,
        row: *const Lane,
        out: *mut Lane,
    ) {
        let axis = self.pool.x;
        let windows_inside = windows_inside(axis);
        // Windows with padding at both ends of the row.
        for ox in 0..windows_inside.start {
            S::store(out.add(ox), self.border::<S, MAX, ROWS>(row, ox));
        }
        for ox in windows_inside.end..axis.out {
            S::store(out.add(ox), self.border::<S, MAX, ROWS>(row, ox));
        }
        if windows_inside.is_empty() {
            return;
        }
        let row = row.add(windows_inside.start * STRIDE - axis.before);
        let mut left = self.column::<S, MAX, ROWS>(row);
        let mut middle = self.column::<S, MAX, ROWS>(row.add(1));
        for i in 0..windows_inside.len() {
            // With stride 2 only the right column is shared; it becomes the next left one.
            if STRIDE == 2 {
                middle = self.column::<S, MAX, ROWS>(row.add(i * STRIDE + 1));
            }
            let right = self.column::<S, MAX, ROWS>(row.add(i * STRIDE + 2));
            let value = pair::<S, MAX>(pair::<S, MAX>(left, middle), right);
            S::store(out.add(windows_inside.start + i), self.finish::<S, MAX>(value, ROWS * 3));
            (left, middle) = if STRIDE == 1 { (middle, right) } else { (right, middle) };
        }
    }

    /// Computes the window at `ox` of the rows that start at `row`, without padding.
    #[inline(always)]
    unsafe fn border<S: Simd, const MAX: bool, const ROWS: usize>(
        &self,
        row: *const Lane,
        ox: usize,
    ) -> S::V {
        let (first, end, x) = self.pool.x.taps(ox);
        let mut value = self.column::<S, MAX, ROWS>(row.add(x));
        for tap in 1..end - first {
            value = pair::<S, MAX>(value, self.column::<S, MAX, ROWS>(row.add(x + tap)));
        }
        self.finish::<S, MAX>(value, ROWS * (end - first))
    }

    /// The sum or maximum of `ROWS` pixels in a column.
    #[inline(always)]
    unsafe fn column<S: Simd, const MAX: bool, const ROWS: usize>(&self, top: *const Lane) -> S::V {
        let mut value = self.pixel::<S, MAX>(top);
        for r in 1..ROWS {
            value = pair::<S, MAX>(value, self.pixel::<S, MAX>(top.add(r * self.pool.x.size)));
        }
        value
    }

    /// Loads a pixel. Averages sum raw numbers: the mean of normalised pixels is the normalised mean.
    #[inline(always)]
    unsafe fn pixel<S: Simd, const MAX: bool>(&self, at: *const Lane) -> S::V {
        let raw = S::load(at);
        if MAX { S::fma(raw, S::splat(self.scale), S::splat(self.shift)) } else { raw }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd, const MAX: bool>(&self, value: S::V, count: usize) -> S::V {
        if MAX {
            // The maximum of rectified pixels is the rectified maximum, so one ReLU per window suffices.
            S::max(S::splat(self.floor()), value)
        } else {
            S::fma(value, S::splat(self.scale / count as f32), S::splat(self.shift))
        }
    }

    #[inline(always)]
    fn floor(&self) -> f32 {
        if self.pool.relu { 0.0 } else { f32::NEG_INFINITY }
    }
}

/// The sum or the maximum of two numbers.
#[allow(unsafe_op_in_unsafe_fn)] // Arithmetic under the contract of `Simd`.
#[inline(always)]
unsafe fn pair<S: Simd, const MAX: bool>(a: S::V, b: S::V) -> S::V {
    if MAX { S::max(a, b) } else { S::add(a, b) }
}

/// Windows of any size: a loop over the taps of each window.
#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Forward {
    #[inline(always)]
    unsafe fn tap_by_tap<S: Simd>(&self) {
        let scale = S::splat(self.scale);
        let shift = S::splat(self.shift);
        let floor = S::splat(self.floor());
        let width = self.pool.x.size;
        for oy in 0..self.pool.y.out {
            let (y0, y1, y) = self.pool.y.taps(oy);
            for ox in 0..self.pool.x.out {
                let (x0, x1, x) = self.pool.x.taps(ox);
                let first = self.plane.add(y * width + x);
                let rows = y1 - y0;
                let columns = x1 - x0;
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
