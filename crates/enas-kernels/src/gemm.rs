//! The two matrix products of a 1×1 convolution, over pixels of sixteen images.
//!
//! Channel counts are small (20 to 160), so a register-blocked loop over pixels beats a general matrix library:
//! a tile of four output channels by six pixels stays in registers for the whole sum over input
//! channels.

use crate::simd::{self, Kernel, Lane, Simd};

/// `out[o][p] = Σ_k w[k][o]·a[k][p]`.
///
/// `a` holds `k` rows of `pixels` lanes, `a_stride` lanes apart; `w` is `[k, outputs]` with rows `w_stride`
/// numbers apart; `out` holds `outputs` rows, `out_stride` lanes apart. All must be valid for these extents, and
/// `out` must not overlap the others.
pub(crate) struct Multiply<'a> {
    pub(crate) a: *const Lane,
    pub(crate) a_stride: usize,
    pub(crate) w: *const f32,
    pub(crate) w_stride: usize,
    pub(crate) out: *mut Lane,
    pub(crate) out_stride: usize,
    pub(crate) k: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
    /// What to fetch into the cache meanwhile: the product leaves the memory idle.
    pub(crate) ahead: Ahead<'a>,
}

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
        let tiles = self.pixels.div_ceil(if S::MANY { 6 } else { 1 }) * self.outputs.div_ceil(4);
        let lanes: usize = self.ahead.runs.iter().map(|r| r.len).sum();
        let per_tile = lanes.div_ceil(tiles);
        let mut p = 0;
        while S::MANY && p + 6 <= self.pixels {
            self.columns::<S, 6>(p, per_tile);
            p += 6;
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
        let mut o = 0;
        while o + 4 <= self.outputs {
            self.ahead.fetch(ahead);
            self.tile::<S, P, 4>(p, o);
            o += 4;
        }
        while o < self.outputs {
            self.tile::<S, P, 1>(p, o);
            o += 1;
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const O: usize>(&self, p: usize, o: usize) {
        // The same tile of the next pixels is written soon.
        for j in 0..O {
            for i in 0..P {
                simd::prefetch_for_writing(self.out.wrapping_add((o + j) * self.out_stride + p + P + i));
            }
        }
        let mut sum = [[S::splat(0.0); P]; O];
        let mut a = self.a.add(p);
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
            a = a.add(self.a_stride);
            w = w.add(self.w_stride);
        }
        for (j, row) in sum.iter().enumerate() {
            let out = self.out.add((o + j) * self.out_stride + p);
            for (i, s) in row.iter().enumerate() {
                S::store(out.add(i), *s);
            }
        }
    }
}

/// `w[k][o] += Σ_p a[k][p]·g[o][p]`, summed over pixels and the sixteen images.
///
/// `a` holds `k` rows and `g` holds `outputs` rows of `pixels` lanes, `stride` lanes apart; `w` is
/// `[k, outputs]`, rows `w_stride` numbers apart. All must be valid for these extents; `w` must not overlap.
pub(crate) struct WeightGradient {
    pub(crate) a: *const Lane,
    pub(crate) a_stride: usize,
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

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl Kernel for WeightGradient {
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
impl WeightGradient {
    #[inline(always)]
    unsafe fn rows<S: Simd, const K: usize>(&self, k: usize, p: usize, end: usize) {
        let mut o = 0;
        while o + 4 <= self.outputs {
            self.tile::<S, K, 4>(k, o, p, end);
            o += 4;
        }
        while o < self.outputs {
            self.tile::<S, K, 1>(k, o, p, end);
            o += 1;
        }
    }

    /// Adds to `K × O ≤ 16` numbers of the result.
    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const O: usize>(&self, k: usize, o: usize, p: usize, end: usize) {
        let mut sums = [S::splat(0.0); 16];
        if S::MANY || K * O <= 4 {
            let tile: [[S::V; O]; K] = self.products::<S, K, O>(k, o, p, end);
            for i in 0..K {
                for j in 0..O {
                    sums[i * O + j] = tile[i][j];
                }
            }
        } else {
            for i in (0..K).step_by(2) {
                for j in (0..O).step_by(2) {
                    let tile: [[S::V; 2]; 2] = self.products::<S, 2, 2>(k + i, o + j, p, end);
                    for (a, row) in tile.iter().enumerate() {
                        for (b, sum) in row.iter().enumerate() {
                            sums[(i + a) * O + j + b] = *sum;
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

    /// The products of `K` rows of `a` with `O` rows of `g`, added up over pixels but not over images.
    #[inline(always)]
    unsafe fn products<S: Simd, const K: usize, const O: usize>(
        &self,
        k: usize,
        o: usize,
        p: usize,
        end: usize,
    ) -> [[S::V; O]; K] {
        let mut sum = [[S::splat(0.0); O]; K];
        let a = self.a.add(k * self.a_stride);
        let g = self.g.add(o * self.g_stride);
        for p in p..end {
            let mut grad = [S::splat(0.0); O];
            for (j, grad) in grad.iter_mut().enumerate() {
                *grad = S::load(g.add(j * self.g_stride + p));
            }
            for (i, row) in sum.iter_mut().enumerate() {
                let x = S::load(a.add(i * self.a_stride + p));
                for (s, grad) in row.iter_mut().zip(grad) {
                    *s = S::fma(x, grad, *s);
                }
            }
        }
        sum
    }
}
