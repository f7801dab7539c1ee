//! Depthwise convolution on one plane: one k×k filter for one channel of sixteen images.
//!
//! Both directions read a bordered copy of the rows they need, with zeros left and right of them. So no inner loop
//! tests for the left or right border. Rows above and below the plane are left out of the sums instead. The copy also
//! applies the pending normalisation and the ReLU.

use crate::geometry::Axis;
use crate::simd::{self, AHEAD, Kernel, Lane, Simd};

/// Copies rows into a bordered tile: `tile[r][x] = relu(scale·rows[r][x − before] + shift)`, zero left and right of
/// the row.
///
/// `rows` holds `n_rows · width` lanes, `tile` holds `n_rows · tile_width` lanes.
///
/// # Method outline
/// 1. One pass over the rows, one lane per pixel, in order; the input is prefetched [`AHEAD`] lanes ahead.
/// 2. The tile is scratch memory that the following [`Correlate`] reads from the cache: each pixel is normalised once,
///    not once per tap.
/// 3. With `dilation` 2 (gradient of a convolution with stride 2) a tile row is zeroed first. Its pixels then go to
///    every second place, so that the transposed convolution becomes a plain correlation.
pub(crate) struct Pad {
    pub(crate) rows: *const Lane,
    pub(crate) tile: *mut Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) tile_width: usize,
    pub(crate) before: usize,
    /// Distance in pixels between neighbours in the tile. Above 1 the gaps are zero (gradient of a strided
    /// convolution).
    pub(crate) dilation: usize,
    pub(crate) scale: f32,
    pub(crate) shift: f32,
    pub(crate) relu: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for Pad {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.dilation == 1 { self.copy::<S>() } else { self.dilate::<S>() }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Pad {
    #[inline(always)]
    unsafe fn copy<S: Simd>(&self) {
        let (scale, shift, floor) = self.constants::<S>();
        for r in 0..self.n_rows {
            let out = self.tile.add(r * self.tile_width);
            let row = self.rows.add(r * self.width);
            zero::<S>(out, 0, self.before);
            let out = out.add(self.before);
            let mut x = 0;
            while x + 4 <= self.width {
                for i in 0..4 {
                    simd::prefetch(row.wrapping_add(x + i + AHEAD));
                    S::store(out.add(x + i), S::max(floor, S::fma(S::load(row.add(x + i)), scale, shift)));
                }
                x += 4;
            }
            while x < self.width {
                S::store(out.add(x), S::max(floor, S::fma(S::load(row.add(x)), scale, shift)));
                x += 1;
            }
            zero::<S>(out, self.width, self.tile_width - self.before);
        }
    }

    #[inline(always)]
    unsafe fn dilate<S: Simd>(&self) {
        let (scale, shift, floor) = self.constants::<S>();
        for r in 0..self.n_rows {
            let out = self.tile.add(r * self.tile_width);
            let row = self.rows.add(r * self.width);
            // Zeros first: they are the border and the gaps.
            zero::<S>(out, 0, self.tile_width);
            for x in 0..self.width {
                let value = S::max(floor, S::fma(S::load(row.add(x)), scale, shift));
                S::store(out.add(self.before + x * self.dilation), value);
            }
        }
    }

    #[inline(always)]
    unsafe fn constants<S: Simd>(&self) -> (S::V, S::V, S::V) {
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        (S::splat(self.scale), S::splat(self.shift), S::splat(floor))
    }
}

/// Sets `lanes[from..to]` to zero.
#[allow(unsafe_op_in_unsafe_fn)] // The caller's pointer holds `to` lanes.
#[inline(always)]
unsafe fn zero<S: Simd>(lanes: *mut Lane, from: usize, to: usize) {
    let zero = S::splat(0.0);
    for x in from..to {
        S::store(lanes.add(x), zero);
    }
}

/// Bordered rows in memory, and the rule by which window rows find them.
///
/// Tap row `i` of output row `y` reads row `top + y·stride + i` of the dilated plane. Of those rows the tile holds
/// every `dilation`-th: rows `first .. first + n_rows` of the plane before dilation. A row outside the tile counts as
/// zero.
#[derive(Clone, Copy)]
pub(crate) struct BorderedRows {
    pub(crate) tile: *const Lane,
    pub(crate) width: usize,
    pub(crate) first: usize,
    pub(crate) n_rows: usize,
    pub(crate) top: isize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
}

impl BorderedRows {
    /// The tile row that tap row `i` of output row `y` reads, or `None` if the tile does not hold it.
    #[inline(always)]
    fn row(&self, y: usize, i: usize) -> Option<*const Lane> {
        let at = usize::try_from(self.top + (y * self.stride + i) as isize).ok()?;
        let row = (at / self.dilation).checked_sub(self.first)?;
        // SAFETY: rows below `n_rows` lie inside the tile.
        (at % self.dilation == 0 && row < self.n_rows).then(|| unsafe { self.tile.add(row * self.width) })
    }
}

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
/// 2. The next loop goes over register tiles of up to 8 output pixels (4 with 16 registers). Their sums stay in registers, so
///    `out` is written once.
/// 3. The inner loops go over tap rows, then taps. With stride 1 and 32 registers, `8 + k − 1` inputs of a tap row are
///    loaded once and shared by all taps: at most 8 sums, 12 inputs and a weight.
/// 4. The tile and the filter lie in the cache, since [`Pad`] has just written the tile.
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

/// The tap rows of one output row: tile rows with their filter rows. Rows outside the plane are left out.
struct Taps<const K: usize> {
    rows: [(*const Lane, *const f32); K],
    len: usize,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for Correlate {
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
            // Tiles of nearly equal width: a narrow last tile would have too few independent sums to hide the latency
            // of additions.
            for left in (1..=self.width.div_ceil(if S::MANY { 8 } else { 4 })).rev() {
                // `left` counts the tiles that remain, this one included.
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

/// The gradient of a filter, image by image: `taps[i][j] += Σ_yx row(y, i)[x·stride + j]·g[y][x]`.
///
/// The rows cover every column read, `g` holds `n_rows·width` lanes, `taps` holds `k·k` lanes.
///
/// # Method outline
/// 1. The sums of one or more tap rows stay in registers over all pixels of the tile: `ROWS·k` sums, kept twice (even
///    and odd pixels) so that additions overlap.
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
impl Kernel for FilterGradient {
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
    /// One pass over the tile for each tap row.
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
        for (i, [even, padded_stride]) in sums.iter().enumerate() {
            for j in 0..K {
                let tap = self.taps.add((first + i) * K + j);
                S::store(tap, S::add(S::load(tap), S::add(even[j], padded_stride[j])));
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
impl Kernel for LaneSums {
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

/// Lanes from the start of one bordered row to the next, for windows of `axis`.
///
/// With SAME padding and stride 2 the windows may not reach the last pixels, but the copy still needs room for them.
pub(crate) fn bordered_width(axis: Axis) -> usize {
    ((axis.out - 1) * axis.stride + axis.k).max(axis.before + axis.size)
}
