//! Depthwise convolution on one plane: one k×k filter for one channel of sixteen images.
//!
//! Both directions work on a zero-padded copy of the rows they need, so that no inner loop tests for borders.
//! The copy applies the pending normalisation and the ReLU on the way.

use crate::geometry::Axis;
use crate::simd::{Kernel, Lane, Simd};

/// Copies input rows into a padded strip: `strip[r][x] = relu(scale·plane[y0 + r − before][x − before] + shift)`,
/// zero outside the plane.
///
/// `plane` holds `rows.size · cols.size` lanes, `strip` holds `n_rows · strip_width` lanes; `first` is the input
/// row of strip row 0 and may be negative.
pub(crate) struct Pad {
    pub(crate) plane: *const Lane,
    pub(crate) strip: *mut Lane,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) first: isize,
    pub(crate) n_rows: usize,
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
        let zero = S::splat(0.0);
        let (scale, shift) = (S::splat(self.scale), S::splat(self.shift));
        let floor = S::splat(if self.relu { 0.0 } else { f32::NEG_INFINITY });
        for r in 0..self.n_rows {
            let out = self.strip.add(r * self.strip_width);
            let y = self.first + r as isize;
            let d = self.dilation as isize;
            if y < 0 || y >= self.height as isize * d || y % d != 0 {
                for x in 0..self.strip_width {
                    S::store(out.add(x), zero);
                }
                continue;
            }
            let row = self.plane.add((y / d) as usize * self.width);
            for x in 0..self.before.min(self.strip_width) {
                S::store(out.add(x), zero);
            }
            for x in 0..self.width {
                let value = S::max(floor, S::fma(S::load(row.add(x)), scale, shift));
                let at = self.before + x * self.dilation;
                S::store(out.add(at), value);
                for gap in 1..self.dilation.min(self.strip_width - at) {
                    S::store(out.add(at + gap), zero);
                }
            }
            let end = self.before + (self.width - 1) * self.dilation + 1;
            for x in end..self.strip_width {
                S::store(out.add(x), zero);
            }
        }
    }
}

/// Correlates padded rows with a filter: `out[y][x] = Σ_ij w[i][j]·strip[y·stride + i][x·stride + j]`.
///
/// `strip` covers every row and column read; `w` holds `k·k` numbers; `out` holds `rows·width` lanes.
/// With `mask`, results become zero where `mask_scale·mask + mask_shift ≤ 0` (the gradient of a ReLU), `mask`
/// being `rows·width` lanes; with `accumulate` they are added to `out`.
pub(crate) struct Correlate {
    pub(crate) strip: *const Lane,
    pub(crate) strip_width: usize,
    pub(crate) w: *const f32,
    pub(crate) k: usize,
    pub(crate) stride: usize,
    pub(crate) out: *mut Lane,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) mask: Option<(*const Lane, f32, f32)>,
    pub(crate) accumulate: bool,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for Correlate {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        match (self.k, self.stride) {
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
        for y in 0..self.rows {
            let mut x = 0;
            while x + 4 <= self.width {
                self.pixels::<S, K, STRIDE, 4>(y, x);
                x += 4;
            }
            while x < self.width {
                self.pixels::<S, K, STRIDE, 1>(y, x);
                x += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<S: Simd, const K: usize, const STRIDE: usize, const P: usize>(
        &self,
        y: usize,
        x: usize,
    ) {
        let mut sum = [S::splat(0.0); P];
        for i in 0..K {
            let row = self.strip.add((y * STRIDE + i) * self.strip_width + x * STRIDE);
            for j in 0..K {
                let w = S::splat(*self.w.add(i * K + j));
                for (p, s) in sum.iter_mut().enumerate() {
                    *s = S::fma(S::load(row.add(p * STRIDE + j)), w, *s);
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

/// The gradient of a filter: `w[i][j] += Σ_yx strip[y·stride + i][x·stride + j]·g[y][x]`, over all images.
///
/// `strip` covers every row and column read, `g` holds `rows·width` lanes, `w` holds `k·k` numbers.
pub(crate) struct FilterGradient {
    pub(crate) strip: *const Lane,
    pub(crate) strip_width: usize,
    pub(crate) g: *const Lane,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) k: usize,
    pub(crate) stride: usize,
    pub(crate) w: *mut f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for FilterGradient {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        match self.k {
            3 => self.filter::<S, 3>(),
            5 => self.filter::<S, 5>(),
            _ => unreachable!("depthwise filters are 3×3 or 5×5; checked by the caller"),
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl FilterGradient {
    #[inline(always)]
    unsafe fn filter<S: Simd, const K: usize>(&self) {
        if S::PIXELS == 6 {
            // All taps fit into registers: every gradient is loaded once.
            self.tap_rows::<S, K, K>(0);
        } else {
            for i in 0..K {
                self.tap_rows::<S, K, 1>(i);
            }
        }
    }

    #[inline(always)]
    unsafe fn tap_rows<S: Simd, const K: usize, const R: usize>(&self, first: usize) {
        let mut sum = [[S::splat(0.0); K]; R];
        for y in 0..self.rows {
            let g = self.g.add(y * self.width);
            let row = self.strip.add((y * self.stride + first) * self.strip_width);
            for x in 0..self.width {
                let grad = S::load(g.add(x));
                let pixel = row.add(x * self.stride);
                for (i, sums) in sum.iter_mut().enumerate() {
                    for (j, s) in sums.iter_mut().enumerate() {
                        *s = S::fma(S::load(pixel.add(i * self.strip_width + j)), grad, *s);
                    }
                }
            }
        }
        for (i, sums) in sum.iter().enumerate() {
            for (j, s) in sums.iter().enumerate() {
                *self.w.add((first + i) * K + j) += S::sum(*s);
            }
        }
    }
}

/// Sizes of the padded strip for `rows` output rows of a depthwise convolution.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    pub(crate) n_rows: usize,
    pub(crate) width: usize,
}

impl Strip {
    pub(crate) fn new(rows: usize, y: Axis, x: Axis) -> Self {
        let n_rows = (rows - 1) * y.stride + y.k;
        // SAME padding never leaves the last pixels of an input unread by more than the stride, but the copy
        // needs room for all of them.
        let width = ((x.out - 1) * x.stride + x.k).max(x.before + x.size);
        Self { n_rows, width }
    }

    pub(crate) fn len(self) -> usize {
        self.n_rows * self.width
    }
}
