//! The correlation of bordered rows with a filter.

use super::bordered::BorderedRows;
use enas_simd::{Lane, Simd, SimdKernel};

/// Correlates bordered rows with a filter: `out[y][x] = Σ_ij w[i][j]·row(y, i)[x·stride + j]`.
///
/// The rows cover every column read; `w` holds `k·k` numbers; `out` holds `n_rows·width` lanes. With `mask`, results
/// become zero where `scale·mask + shift ≤ 0` (the gradient of a ReLU), `mask` being `n_rows·width` lanes; with
/// `accumulate` they are added to `out`.
///
/// # Method outline
/// Direct convolution, vectorised over images:
///
/// 1. The outer loop goes over output rows. It looks up at most `k` tap rows; rows outside the plane are dropped here.
/// 2. The next loop goes over register tiles of up to 8 output pixels (4 with 16 registers). Their sums stay in
///    registers, so `out` is written once.
/// 3. The inner loops go over tap rows, then taps. With stride 1 and 32 registers, `8 + k − 1` inputs of a tap row are
///    loaded once and shared by all taps: at most 8 sums, 12 inputs and a weight.
/// 4. The bordered rows and the filter lie in the cache, since [`Pad`](super::Pad) has just written the rows.
pub(crate) struct Correlate {
    pub(crate) rows: BorderedRows,
    pub(crate) w: *const f32,
    pub(crate) k: usize,
    pub(crate) out: *mut Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) mask: Option<(*const Lane, f32, f32)>,
    pub(crate) accumulate: bool,
}

/// The tap rows of one output row: bordered rows with their filter rows. Rows outside the plane are left out.
struct Taps<const K: usize> {
    rows: [(*const Lane, *const f32); K],
    len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl SimdKernel for Correlate {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        match (self.k, self.rows.stride) {
            (3, 1) => self.plane::<S, 3, 1>(),
            (3, 2) => self.plane::<S, 3, 2>(),
            (5, 1) => self.plane::<S, 5, 1>(),
            (5, 2) => self.plane::<S, 5, 2>(),
            _ => unreachable!("depthwise filters are 3×3 or 5×5 with stride 1 or 2; checked by the caller"),
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Correlate {
    #[inline(always)]
    unsafe fn plane<S: Simd, const K: usize, const STRIDE: usize>(&self) {
        for y in 0..self.n_rows {
            let taps = self.taps::<K>(y);
            let mut x = 0;
            // Register tiles of nearly equal width: a narrow last tile would have too few independent sums to hide the
            // latency of additions.
            for left in (1..=self.width.div_ceil(if S::MANY { 8 } else { 4 })).rev() {
                // `left` counts the register tiles that remain, this one included.
                let pixels = (self.width - x).div_ceil(left);
                // The number of pixels is a constant of `pixels`, so that its sums are registers.
                match pixels {
                    8 => self.pixels::<S, K, STRIDE, 8>(&taps, y, x),
                    7 => self.pixels::<S, K, STRIDE, 7>(&taps, y, x),
                    6 => self.pixels::<S, K, STRIDE, 6>(&taps, y, x),
                    5 => self.pixels::<S, K, STRIDE, 5>(&taps, y, x),
                    4 => self.pixels::<S, K, STRIDE, 4>(&taps, y, x),
                    3 => self.pixels::<S, K, STRIDE, 3>(&taps, y, x),
                    2 => self.pixels::<S, K, STRIDE, 2>(&taps, y, x),
                    _ => self.pixels::<S, K, STRIDE, 1>(&taps, y, x),
                }
                x += pixels;
            }
        }
    }

    #[inline(always)]
    unsafe fn taps<const K: usize>(&self, y: usize) -> Taps<K> {
        let mut taps = Taps { rows: [(std::ptr::null(), std::ptr::null()); K], len: 0 };
        for i in 0..K {
            // Missing rows would only add zeros.
            if let Some(row) = self.rows.row(y, i) {
                taps.rows[taps.len] = (row, self.w.add(i * K));
                taps.len += 1;
            }
        }
        taps
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd, const K: usize, const STRIDE: usize, const P: usize>(
        &self,
        taps: &Taps<K>,
        y: usize,
        x: usize,
    ) {
        let mut sum = [S::splat(0.0); P];
        for (row, w) in taps.rows.iter().take(taps.len) {
            let row = row.add(x * STRIDE);
            if S::MANY && STRIDE == 1 && P > 1 {
                // Neighbouring outputs share inputs: each input is loaded once. 12 = 8 pixels + 5 taps − 1.
                let mut window = [S::splat(0.0); 12];
                for (i, v) in window.iter_mut().take(P + K - 1).enumerate() {
                    *v = S::load(row.add(i));
                }
                for j in 0..K {
                    let w = S::splat(*w.add(j));
                    for p in 0..P {
                        sum[p] = S::fma(window[p + j], w, sum[p]);
                    }
                }
            } else {
                for j in 0..K {
                    let w = S::splat(*w.add(j));
                    for (p, s) in sum.iter_mut().enumerate() {
                        *s = S::fma(S::load(row.add(p * STRIDE + j)), w, *s);
                    }
                }
            }
        }
        let at = y * self.width + x;
        for (p, s) in sum.iter().enumerate() {
            // The ReLU's derivative: its input is recomputed from the raw map `mask`.
            let mut value = *s;
            if let Some((mask, scale, shift)) = self.mask {
                let input = S::fma(S::load(mask.add(at + p)), S::splat(scale), S::splat(shift));
                value = S::select_gt(input, S::splat(0.0), value, S::splat(0.0));
            }
            let out = self.out.add(at + p);
            S::store(out, if self.accumulate { S::add(S::load(out), value) } else { value });
        }
    }
}
