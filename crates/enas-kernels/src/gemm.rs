//! The two matrix products of a 1×1 convolution, over pixels of sixteen images.
//!
//! Channel counts are small (20 to 160), so a register-blocked loop over pixels beats a general matrix library:
//! a tile of four output channels by six pixels stays in registers for the whole sum over input
//! channels.

use crate::operand::{Left, Out};
use crate::simd::{self, Kernel, Lane, Simd};

/// `out[o][p] = Σ_k w[k][o]·a[k][p]`.
///
/// `a` holds `k` rows of `pixels` lanes, and [`TILE`]·`k` lanes of scratch if they are planes; `w` is `[k, outputs]`
/// with rows `w_stride` numbers apart; `out` holds `outputs` rows. All must be valid for these extents, and `out` must
/// not overlap the others.
pub(crate) struct Multiply<'a> {
    pub(crate) a: Left<'a>,
    pub(crate) w: *const f32,
    pub(crate) w_stride: usize,
    pub(crate) out: Out<'a>,
    pub(crate) k: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
    /// What to fetch into the cache meanwhile: the product leaves the memory idle.
    pub(crate) ahead: Ahead<'a>,
}

/// Most pixels of a tile.
pub(crate) const TILE: usize = 6;

/// Memory that will be read soon.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead<'a> {
    pub(crate) runs: &'a [Run],
    /// Position: run, and lane within it.
    at: (usize, usize),
}

/// `len` lanes from `from` on.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) from: *const Lane,
    pub(crate) len: usize,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(runs: &'a [Run]) -> Self {
        Self { runs, at: (0, 0) }
    }

    /// Starts fetching the next `n` lanes.
    #[inline(always)]
    fn fetch(&mut self, mut n: usize) {
        while n > 0 {
            let Some(run) = self.runs.get(self.at.0) else { return };
            let len = n.min(run.len - self.at.1);
            let from = run.from.wrapping_add(self.at.1);
            (0..len).for_each(|i| simd::prefetch(from.wrapping_add(i)));
            n -= len;
            self.at.1 += len;
            if self.at.1 == run.len {
                self.at = (self.at.0 + 1, 0);
            }
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let tiles = self.pixels.div_ceil(if S::MANY { TILE } else { 1 }) * self.outputs.div_ceil(4);
        let lanes: usize = self.ahead.runs.iter().map(|r| r.len).sum();
        let per_tile = lanes.div_ceil(tiles);
        let mut p = 0;
        while S::MANY && p + TILE <= self.pixels {
            self.columns::<S, TILE>(p, per_tile);
            p += TILE;
        }
        while S::MANY && p + 2 <= self.pixels {
            self.columns::<S, 2>(p, per_tile);
            p += 2;
        }
        while p < self.pixels {
            self.columns::<S, 1>(p, per_tile);
            p += 1;
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl Multiply<'_> {
    /// All output channels of `P` pixels.
    #[inline(always)]
    unsafe fn columns<S: Simd, const P: usize>(&mut self, p: usize, ahead: usize) {
        let (a, stride) = match self.a {
            Left::Rows { from, stride } => (from.add(p), stride),
            Left::Planes { planes, first, panel } => {
                for (k, plane) in planes.iter().enumerate() {
                    plane.copy::<S>(first + p, P, panel.add(k * P));
                }
                (panel.cast_const(), P)
            }
        };
        let mut o = 0;
        while o + 4 <= self.outputs {
            self.ahead.fetch(ahead);
            self.tile::<S, P, 4>((a, stride), p, o);
            o += 4;
        }
        while o < self.outputs {
            self.tile::<S, P, 1>((a, stride), p, o);
            o += 1;
        }
    }

    /// `O` output channels of `P` pixels, whose inputs are at `a`, rows `stride` lanes apart.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const O: usize>(
        &self,
        (mut a, stride): (*const Lane, usize),
        p: usize,
        o: usize,
    ) {
        // The same tile of the next pixels is written soon.
        (0..O).for_each(|j| self.out.prefetch::<P>(o + j, p + P));
        let mut sum = [[S::splat(0.0); P]; O];
        let mut w = self.w.add(o);
        for _ in 0..self.k {
            let mut x = [S::splat(0.0); P];
            for (i, x) in x.iter_mut().enumerate() {
                *x = S::load(a.add(i));
            }
            for (j, row) in sum.iter_mut().enumerate() {
                let weight = S::splat(*w.add(j));
                for (s, x) in row.iter_mut().zip(x) {
                    *s = S::fma(x, weight, *s);
                }
            }
            a = a.add(stride);
            w = w.add(self.w_stride);
        }
        for (j, row) in sum.into_iter().enumerate() {
            self.out.put::<S, P>(o + j, p, row);
        }
    }
}

/// `w[k][o] += Σ_p a[k][p]·g[o][p]`, summed over pixels and the sixteen images.
///
/// `a` holds `k` rows of `pixels` lanes, and [`WG_PANEL`] lanes of scratch if they are planes; `g` holds `outputs`
/// rows, `g_stride` lanes apart; `w` is `[k, outputs]`, rows `w_stride` numbers apart. All must be valid for these
/// extents; `w` must not overlap.
pub(crate) struct WeightGradient<'a> {
    pub(crate) a: Left<'a>,
    pub(crate) g: *const Lane,
    pub(crate) g_stride: usize,
    pub(crate) w: *mut f32,
    pub(crate) w_stride: usize,
    pub(crate) k: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
}

/// Pixels after which a tile's sums are taken: four rows of `a` and four of `g` stay in the first-level cache.
const WG_CHUNK: usize = 64;

/// Scratch lanes for four such rows, an odd number of lanes apart: rows 4 KB apart would compete for their places.
pub(crate) const WG_PANEL: usize = 4 * WG_STRIDE;

const WG_STRIDE: usize = WG_CHUNK + 1;

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut p = 0;
        while p < self.pixels {
            let end = self.pixels.min(p + WG_CHUNK);
            let mut k = 0;
            while k + 4 <= self.k {
                self.rows::<S, 4>(k, p, end);
                k += 4;
            }
            while k < self.k {
                self.rows::<S, 1>(k, p, end);
                k += 1;
            }
            p = end;
        }
    }
}

#[allow(unsafe_op_in_unsafe_fn)] // As above.
impl WeightGradient<'_> {
    #[inline(always)]
    unsafe fn rows<S: Simd, const K: usize>(&self, k: usize, p: usize, end: usize) {
        let a = match self.a {
            Left::Rows { from, stride } => (from.add(k * stride + p), stride),
            Left::Planes { planes, first, panel } => {
                for (i, plane) in planes[k..k + K].iter().enumerate() {
                    plane.copy::<S>(first + p, end - p, panel.add(i * WG_STRIDE));
                }
                (panel.cast_const(), WG_STRIDE)
            }
        };
        let mut o = 0;
        while o + 4 <= self.outputs {
            self.tile::<S, K, 4>(a, k, o, p, end);
            o += 4;
        }
        while o < self.outputs {
            self.tile::<S, K, 1>(a, k, o, p, end);
            o += 1;
        }
    }

    /// Adds to `K × O ≤ 16` numbers of the result.
    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const O: usize>(
        &self,
        a: (*const Lane, usize),
        k: usize,
        o: usize,
        p: usize,
        end: usize,
    ) {
        let mut sums = [S::splat(0.0); 16];
        if S::MANY || K * O <= 4 {
            let tile: [[S::V; O]; K] = self.products::<S, K, O>(a, o, p, end);
            for i in 0..K {
                for j in 0..O {
                    sums[i * O + j] = tile[i][j];
                }
            }
        } else {
            for i in (0..K).step_by(2) {
                for j in (0..O).step_by(2) {
                    let tile: [[S::V; 2]; 2] =
                        self.products::<S, 2, 2>((a.0.add(i * a.1), a.1), o + j, p, end);
                    for (r, row) in tile.iter().enumerate() {
                        for (c, sum) in row.iter().enumerate() {
                            sums[(i + r) * O + j + c] = *sum;
                        }
                    }
                }
            }
        }
        let mut total = Lane::ZERO;
        S::store(&raw mut total, S::sums(sums));
        for i in 0..K {
            for j in 0..O {
                *self.w.add((k + i) * self.w_stride + o + j) += total.0[i * O + j];
            }
        }
    }

    /// The products of the `K` rows at `a`, whose first pixel is `p`, with `O` rows of `g`, added up over pixels but not
    /// over images.
    #[inline(always)]
    unsafe fn products<S: Simd, const K: usize, const O: usize>(
        &self,
        (a, a_stride): (*const Lane, usize),
        o: usize,
        p: usize,
        end: usize,
    ) -> [[S::V; O]; K] {
        let mut sum = [[S::splat(0.0); O]; K];
        let g = self.g.add(o * self.g_stride + p);
        for p in 0..end - p {
            let mut grad = [S::splat(0.0); O];
            for (j, grad) in grad.iter_mut().enumerate() {
                *grad = S::load(g.add(j * self.g_stride + p));
            }
            for (i, row) in sum.iter_mut().enumerate() {
                let x = S::load(a.add(i * a_stride + p));
                for (s, grad) in row.iter_mut().zip(grad) {
                    *s = S::fma(x, grad, *s);
                }
            }
        }
        sum
    }
}
