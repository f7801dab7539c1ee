//! The gradient of a filter.

use super::bordered::BorderedRows;
use enas_simd::{Lane, Simd, SimdKernel};

/// The gradient of a filter, image by image: `taps[i][j] += Σ_yx row(y, i)[x·stride + j]·g[y][x]`.
///
/// The rows cover every column read, `g` holds `n_rows·width` lanes, `taps` holds `k·k` lanes.
///
/// # Method outline
/// 1. The sums of one or more tap rows stay in registers over all pixels of the row tile: `ROWS·k` sums, kept twice
///    (even and odd pixels) so that additions overlap.
/// 2. 3×3 with stride 1 and 32 registers takes all three tap rows in one pass (18 sums). Other shapes make one pass per
///    tap row, because more sums would not fit.
/// 3. Inside, the loops go over output rows, then four pixels at a time. With stride 1 their `4 + k − 1` inputs are
///    loaded once.
/// 4. The sums stay apart by image until the end of the pass over the block; [`LaneSums`] adds them up then.
pub(crate) struct FilterGradient {
    pub(crate) rows: BorderedRows,
    pub(crate) g: *const Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) k: usize,
    pub(crate) taps: *mut Lane,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl SimdKernel for FilterGradient {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        match (self.k, self.rows.stride) {
            // All three tap rows in one pass: 18 sums, 4 gradients and 6 inputs fit into 32 registers.
            (3, 1) if S::MANY => self.taps::<S, 3, 1, 3>(0),
            (3, 1) => self.all::<S, 3, 1>(),
            (3, 2) => self.all::<S, 3, 2>(),
            (5, 1) => self.all::<S, 5, 1>(),
            (5, 2) => self.all::<S, 5, 2>(),
            _ => unreachable!("depthwise filters are 3×3 or 5×5 with stride 1 or 2; checked by the caller"),
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl FilterGradient {
    /// One pass over the row tile for each tap row.
    #[inline(always)]
    unsafe fn all<S: Simd, const K: usize, const STRIDE: usize>(&self) {
        for i in 0..K {
            self.taps::<S, K, STRIDE, 1>(i);
        }
    }

    /// Adds the gradients of `ROWS` tap rows from `first` on. Their sums stay in registers, twice, so that additions
    /// need not wait for each other.
    #[inline(always)]
    unsafe fn taps<S: Simd, const K: usize, const STRIDE: usize, const ROWS: usize>(&self, first: usize) {
        let mut sums = [[[S::splat(0.0); K]; 2]; ROWS];
        for y in 0..self.n_rows {
            let mut rows = [std::ptr::null(); ROWS];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = self.rows.row(y, first + i).unwrap_or(std::ptr::null());
            }
            let g = self.g.add(y * self.width);
            let mut x = 0;
            while x + 4 <= self.width {
                self.pixels::<S, K, STRIDE, ROWS, 4>(&rows, g, x, &mut sums);
                x += 4;
            }
            match self.width - x {
                3 => self.pixels::<S, K, STRIDE, ROWS, 3>(&rows, g, x, &mut sums),
                2 => self.pixels::<S, K, STRIDE, ROWS, 2>(&rows, g, x, &mut sums),
                1 => self.pixels::<S, K, STRIDE, ROWS, 1>(&rows, g, x, &mut sums),
                _ => {}
            }
        }
        for (i, [even, odd]) in sums.iter().enumerate() {
            for j in 0..K {
                let tap = self.taps.add((first + i) * K + j);
                S::store(tap, S::add(S::load(tap), S::add(even[j], odd[j])));
            }
        }
    }

    /// Adds the products of `P` pixels from `x` on. Null rows are outside the plane.
    #[inline(always)]
    unsafe fn pixels<S: Simd, const K: usize, const STRIDE: usize, const ROWS: usize, const P: usize>(
        &self,
        rows: &[*const Lane; ROWS],
        g: *const Lane,
        x: usize,
        sums: &mut [[[S::V; K]; 2]; ROWS],
    ) {
        let mut grad = [S::splat(0.0); P];
        for (p, grad) in grad.iter_mut().enumerate() {
            *grad = S::load(g.add(x + p));
        }
        for (row, sums) in rows.iter().zip(sums) {
            if row.is_null() {
                continue;
            }
            let row = row.add(x * STRIDE);
            // Neighbouring pixels share inputs: each input is loaded once if registers suffice.
            let mut window = [S::splat(0.0); 8];
            if S::MANY && STRIDE == 1 {
                for (i, v) in window.iter_mut().take(P + K - 1).enumerate() {
                    *v = S::load(row.add(i));
                }
            }
            for (p, grad) in grad.iter().enumerate() {
                // Even and odd pixels use different sums, whose additions overlap.
                for (j, sum) in sums[p % 2].iter_mut().enumerate() {
                    let input =
                        if S::MANY && STRIDE == 1 { window[p + j] } else { S::load(row.add(p * STRIDE + j)) };
                    *sum = S::fma(input, *grad, *sum);
                }
            }
        }
    }
}

/// Sums each lane over its sixteen images: `out[i] = Σ lanes[i]`, for `len` lanes.
pub(crate) struct LaneSums {
    pub(crate) lanes: *const Lane,
    pub(crate) out: *mut f32,
    pub(crate) len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl SimdKernel for LaneSums {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for first in (0..self.len).step_by(16) {
            let n = (self.len - first).min(16);
            let mut lanes = [S::splat(0.0); 16];
            for (i, lane) in lanes.iter_mut().take(n).enumerate() {
                *lane = S::load(self.lanes.add(first + i));
            }
            let mut sums = Lane::ZERO;
            S::store(&raw mut sums, S::sums(lanes));
            std::ptr::copy_nonoverlapping(sums.0.as_ptr(), self.out.add(first), n);
        }
    }
}
