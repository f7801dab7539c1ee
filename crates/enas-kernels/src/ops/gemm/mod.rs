//! The two matrix products of a 1×1 convolution, over pixels of sixteen images.
//!
//! Channel counts are small (20 to 160). So both products are register-blocked loops of this crate's own and not calls
//! of a general BLAS. Vectors run over the sixteen images, so no operand needs a transposed copy.

pub(crate) mod gpu;
pub(crate) mod operand;

use crate::ops::gemm::operand::{LeftOperand, ProductOutput};
use enas_simd::{self as simd, Lane, Simd, SimdKernel};

/// `out[o][p] = Σ_k w[k][o]·a[k][p]`.
///
/// `a` holds `k` rows of `pixels` lanes, and [`NR`]·`k` lanes of scratch if they are planes; `w` is `[k, outputs]`
/// with rows `w_stride` numbers apart; `out` holds `outputs` rows. All must be valid for these extents, and `out` must
/// not overlap the others.
///
/// # Method outline
/// BLIS terms: the micro-tile has mr = 4 output channels and nr = 6 pixels of sixteen images; kc is all of `k`.
///
/// 1. The outer loop goes over tiles of 6 pixels ([`NR`]), then 2, then 1. Without 32 registers it takes 1 at a time.
/// 2. If `a` are feature maps, the tile's pixels of all `k` channels are packed into a panel of `k`·6 lanes (384·`k`
///    bytes), with normalisation and ReLU applied. The panel stays in the first-level cache.
/// 3. The middle loop goes over output channels in fours, then one by one. All of them read the same panel or rows.
/// 4. The inner loop goes over `k`: six loads of `a`, four broadcasts of `w`, 24 fused multiply-adds. The 24 sums stay
///    in registers for the whole of `k`, so `out` is written once.
/// 5. Each micro-tile also prefetches its share of the next tile's input, because the product itself loads little
///    memory.
pub(crate) struct Multiply<'a> {
    pub(crate) a: LeftOperand<'a>,
    pub(crate) w: *const f32,
    pub(crate) w_stride: usize,
    pub(crate) out: ProductOutput<'a>,
    pub(crate) k: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
    /// Memory to prefetch during the product, which itself leaves the memory bus idle.
    pub(crate) prefetches: PrefetchQueue<'a>,
}

/// Pixels of a micro-tile (nr): 4·6 sums, 6 inputs and a weight need 31 of AVX-512's 32 registers.
pub(crate) const NR: usize = 6;

/// Memory that the next tile will read: prefetched step by step.
#[derive(Clone, Copy, Default)]
pub(crate) struct PrefetchQueue<'a> {
    pub(crate) runs: &'a [LaneRun],
    /// Position of the next prefetch: run, and lane within it.
    at: (usize, usize),
}

/// A contiguous run of `len` lanes at `from`.
#[derive(Clone, Copy)]
pub(crate) struct LaneRun {
    pub(crate) from: *const Lane,
    pub(crate) len: usize,
}

impl<'a> PrefetchQueue<'a> {
    pub(crate) fn new(runs: &'a [LaneRun]) -> Self {
        Self { runs, at: (0, 0) }
    }

    /// Prefetches the next `n` lanes.
    #[inline(always)]
    fn prefetch_next(&mut self, mut n: usize) {
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
impl SimdKernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // Spreads the prefetches evenly over the micro-tiles.
        let tiles = self.pixels.div_ceil(if S::MANY { NR } else { 1 }) * self.outputs.div_ceil(4);
        let lanes: usize = self.prefetches.runs.iter().map(|r| r.len).sum();
        let per_tile = lanes.div_ceil(tiles);
        let mut p = 0;
        // Remainders take narrower micro-tiles: 2 pixels, then 1.
        while S::MANY && p + NR <= self.pixels {
            self.columns::<S, NR>(p, per_tile);
            p += NR;
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
    /// Computes all output channels of `P` pixels.
    #[inline(always)]
    unsafe fn columns<S: Simd, const P: usize>(&mut self, p: usize, prefetches: usize) {
        let (a, stride) = match self.a {
            LeftOperand::Rows { from, stride } => (from.add(p), stride),
            LeftOperand::Planes { planes, first, panel } => {
                // Packs the panel `[k, P]`; the loop over output channels below reuses it.
                for (k, plane) in planes.iter().enumerate() {
                    plane.copy::<S>(first + p, P, panel.add(k * P));
                }
                (panel.cast_const(), P)
            }
        };
        let mut o = 0;
        while o + 4 <= self.outputs {
            self.prefetches.prefetch_next(prefetches);
            self.tile::<S, P, 4>((a, stride), p, o);
            o += 4;
        }
        while o < self.outputs {
            self.tile::<S, P, 1>((a, stride), p, o);
            o += 1;
        }
    }

    /// Computes a micro-tile: `O` output channels of `P` pixels. Their inputs are at `a`, rows `stride` lanes apart.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const O: usize>(
        &self,
        (mut a, stride): (*const Lane, usize),
        p: usize,
        o: usize,
    ) {
        // The next pixel tile will write here soon; the prefetch hides the read for ownership.
        (0..O).for_each(|j| self.out.prefetch::<P>(o + j, p + P));
        let mut sum = [[S::splat(0.0); P]; O];
        let mut w = self.w.add(o);
        // One rank-1 update per input channel: the outer product of O weights and P inputs.
        for _ in 0..self.k {
            let mut x = [S::splat(0.0); P];
            for (i, x) in x.iter_mut().enumerate() {
                *x = S::load(a.add(i));
            }
            for (j, row) in sum.iter_mut().enumerate() {
                // A weight is broadcast to the sixteen images and serves P pixels.
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
/// `a` holds `k` rows of `pixels` lanes, and [`WEIGHT_GRADIENT_PANEL`] lanes of scratch if they are planes; `g` holds
/// `outputs` rows, `g_stride` lanes apart; `w` is `[k, outputs]`, rows `w_stride` numbers apart. All must be valid for
/// these extents; `w` must not overlap.
///
/// # Method outline
/// An outer-product form with the pixels as the summed dimension:
///
/// 1. The outer loop goes over chunks of 64 pixels ([`WEIGHT_GRADIENT_CHUNK`]).
/// 2. The middle loop goes over rows of `a` in fours, then one by one. Feature maps are packed first: four rows of a
///    chunk (16 KiB), with normalisation and ReLU applied.
/// 3. The next loop goes over rows of `g` in fours. Four rows of `a` and four of `g` take 32 KiB and stay in the
///    first-level cache.
/// 4. The inner loop goes over the pixels of the chunk. A tile of 4×4 sums stays in registers; with 16 registers it is
///    computed as four tiles of 2×2.
/// 5. After a chunk the sixteen sums over images are taken in one step (`sums`) and added to `w`.
pub(crate) struct WeightGradient<'a> {
    pub(crate) a: LeftOperand<'a>,
    pub(crate) g: *const Lane,
    pub(crate) g_stride: usize,
    pub(crate) w: *mut f32,
    pub(crate) w_stride: usize,
    pub(crate) k: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
}

/// Pixels after which a tile's sums are added to the result: four rows of `a` and four of `g` of this length stay in
/// the first-level cache.
const WEIGHT_GRADIENT_CHUNK: usize = 64;

/// Scratch lanes for four packed rows. The rows are an odd number of lanes apart: rows 4 KiB apart would fall into the
/// same cache sets.
pub(crate) const WEIGHT_GRADIENT_PANEL: usize = 4 * WEIGHT_GRADIENT_STRIDE;

const WEIGHT_GRADIENT_STRIDE: usize = WEIGHT_GRADIENT_CHUNK + 1;

#[allow(unsafe_op_in_unsafe_fn)] // Pointer arithmetic inside the extents of the struct's contract.
impl SimdKernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut p = 0;
        while p < self.pixels {
            let end = self.pixels.min(p + WEIGHT_GRADIENT_CHUNK);
            // Rows of `a` outside, rows of `g` inside: four rows of `a` are packed once and serve all rows of `g`.
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
            LeftOperand::Rows { from, stride } => (from.add(k * stride + p), stride),
            LeftOperand::Planes { planes, first, panel } => {
                for (i, plane) in planes[k..k + K].iter().enumerate() {
                    plane.copy::<S>(first + p, end - p, panel.add(i * WEIGHT_GRADIENT_STRIDE));
                }
                (panel.cast_const(), WEIGHT_GRADIENT_STRIDE)
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

    /// Adds the sums over pixels `p..end` to `K × O ≤ 16` numbers of the result.
    #[inline(always)]
    unsafe fn tile<S: Simd, const K: usize, const O: usize>(
        &self,
        a: (*const Lane, usize),
        k: usize,
        o: usize,
        p: usize,
        end: usize,
    ) {
        // Always sixteen vectors, so that one transposing reduction serves every shape of tile.
        let mut sums = [S::splat(0.0); 16];
        if S::MANY || K * O <= 4 {
            let tile: [[S::V; O]; K] = self.products::<S, K, O>(a, o, p, end);
            for i in 0..K {
                for j in 0..O {
                    sums[i * O + j] = tile[i][j];
                }
            }
        } else {
            // A 4×4 tile does not fit into 16 registers (two per vector): four 2×2 tiles instead.
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

    /// Products of the `K` rows at `a`, whose first pixel is `p`, with `O` rows of `g`. They are added up over pixels
    /// but not over images.
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
            // Per pixel: O loads of `g`, K loads of `a`, K·O multiply-adds.
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
