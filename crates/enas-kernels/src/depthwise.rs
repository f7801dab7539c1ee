//! Depthwise convolution on one plane: one k×k filter for one channel of sixteen images.
//!
//! Both directions read a copy of the rows they need with zeros left and right of them, so that no inner loop
//! tests for borders; rows above and below the plane are left out of the sums instead. The copy applies the
//! pending normalisation and the ReLU on the way.

use crate::geometry::Axis;
use crate::simd::{self, AHEAD, Kernel, Lane, Simd};

/// Copies rows and gives them a border: `strip[r][x] = relu(scale·rows[r][x − before] + shift)`, zero beside the
/// row.
///
/// `rows` holds `n_rows · width` lanes, `strip` holds `n_rows · strip_width` lanes.
pub(crate) struct Pad {
    pub(crate) rows: *const Lane,
    pub(crate) strip: *mut Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) strip_width: usize,
    pub(crate) before: usize,
    /// Pixels between neighbours in the strip; above 1 the gaps are zero (gradient of a strided convolution).
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
            let out = self.strip.add(r * self.strip_width);
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
            zero::<S>(out, self.width, self.strip_width - self.before);
        }
    }

    #[inline(always)]
    unsafe fn dilate<S: Simd>(&self) {
        let (scale, shift, floor) = self.constants::<S>();
        for r in 0..self.n_rows {
            let out = self.strip.add(r * self.strip_width);
            let row = self.rows.add(r * self.width);
            zero::<S>(out, 0, self.strip_width);
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

/// Fills `lanes[from..to]` with zeros.
#[allow(unsafe_op_in_unsafe_fn)] // The caller's pointer holds `to` lanes.
#[inline(always)]
unsafe fn zero<S: Simd>(lanes: *mut Lane, from: usize, to: usize) {
    let zero = S::splat(0.0);
    for x in from..to {
        S::store(lanes.add(x), zero);
    }
}

/// Bordered rows in memory and how window rows find them.
///
/// Tap row `i` of output row `y` reads row `top + y·stride + i` of the dilated plane; of those rows the strip
/// holds every `dilation`-th, numbers `first .. first + n_rows` of the plane before dilation. Rows the strip does
/// not hold count as zero.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) strip: *const Lane,
    pub(crate) width: usize,
    pub(crate) first: usize,
    pub(crate) n_rows: usize,
    pub(crate) top: isize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
}

impl Rows {
    /// The row that tap row `i` of output row `y` reads, if the strip holds it.
    #[inline(always)]
    fn row(&self, y: usize, i: usize) -> Option<*const Lane> {
        let at = usize::try_from(self.top + (y * self.stride + i) as isize).ok()?;
        let row = (at / self.dilation).checked_sub(self.first)?;
        // SAFETY: rows below `n_rows` lie inside the strip.
        (at % self.dilation == 0 && row < self.n_rows).then(|| unsafe { self.strip.add(row * self.width) })
    }
}

/// Correlates bordered rows with a filter: `out[y][x] = Σ_ij w[i][j]·row(y, i)[x·stride + j]`.
///
/// The rows cover every column read; `w` holds `k·k` numbers; `out` holds `n_rows·width` lanes. With `mask`,
/// results become zero where `scale·mask + shift ≤ 0` (the gradient of a ReLU), `mask` being `n_rows·width`
/// lanes; with `accumulate` they are added to `out`.
pub(crate) struct Correlate {
    pub(crate) rows: Rows,
    pub(crate) w: *const f32,
    pub(crate) k: usize,
    pub(crate) out: *mut Lane,
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
    pub(crate) mask: Option<(*const Lane, f32, f32)>,
    pub(crate) accumulate: bool,
}

/// The taps of one output row: rows of the strip and rows of the filter, those outside the plane left out.
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
            // Tiles of nearly equal width: the sums of a narrow one would wait for each other.
            for left in (1..=self.width.div_ceil(if S::MANY { 8 } else { 4 })).rev() {
                let pixels = (self.width - x).div_ceil(left);
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
                // Neighbouring outputs share their inputs: each is loaded once.
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
pub(crate) struct FilterGradient {
    pub(crate) rows: Rows,
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
    /// One row of taps after the other.
    #[inline(always)]
    unsafe fn all<S: Simd, const K: usize, const STRIDE: usize>(&self) {
        for i in 0..K {
            self.taps::<S, K, STRIDE, 1>(i);
        }
    }

    /// `ROWS` rows of taps from `first` on: their sums stay in registers, twice, so that additions need not wait for
    /// each other.
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

    /// `P` pixels from `x` on; rows that are null are outside the plane.
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
            // Neighbouring pixels share their inputs: each is loaded once where there is room.
            let mut window = [S::splat(0.0); 8];
            if S::MANY && STRIDE == 1 {
                for (i, v) in window.iter_mut().take(P + K - 1).enumerate() {
                    *v = S::load(row.add(i));
                }
            }
            for (p, grad) in grad.iter().enumerate() {
                for (j, sum) in sums[p % 2].iter_mut().enumerate() {
                    let input =
                        if S::MANY && STRIDE == 1 { window[p + j] } else { S::load(row.add(p * STRIDE + j)) };
                    *sum = S::fma(input, *grad, *sum);
                }
            }
        }
    }
}

/// The sum of each lane's sixteen numbers: `out[i] = Σ lanes[i]`, `len` of them.
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
/// SAME padding never leaves the last pixels of an input unread by more than the stride, but the copy needs room
/// for all of them.
pub(crate) fn bordered_width(axis: Axis) -> usize {
    ((axis.out - 1) * axis.stride + axis.k).max(axis.before + axis.size)
}
