//! Matrix products (GEMM) on row-major slices, for the small matrices of the controller.
//!
//! Method outline, in the terms of BLIS (mr × nr register tiles, kc terms per block):
//!
//! 1. The right factor is packed into panels of nr = [`WIDTH`] columns. Each row of a panel is two cache lines,
//!    aligned.
//! 2. The outer loop takes kc = [`DEPTH`] terms. The next loop takes mr rows of the result: 10, 5, 4, 2 or 1, as many
//!    as fit into the registers and are left.
//! 3. The mr × kc part of the left factor is copied to the stack (2.5 KB at most). It is reused for all panels.
//! 4. The inner loops go over panels (8 KB for kc terms) and tiles of mr rows × 2 vectors. A tile's sums stay in
//!    registers over all kc terms; each term broadcasts a left value and multiplies it with two vectors of the panel.
//!
//! Each element of the result adds its terms one after another, in the same order for any number of rows. So an arc
//! has the same bits whether it is computed alone or in a batch.

use std::ops::Range;

use enas_simd::safe::{self as simd, Simd, WithSimd, mul_adds};

/// Columns of a panel (nr).
const WIDTH: usize = 32;
/// Largest number of terms per block (kc): the part of the left factor that is copied at once.
const DEPTH: usize = 64;
/// Largest number of rows of a register tile (mr). Its 20 sums and 3 operands fit into 32 vector registers.
const MOST_ROWS: usize = 10;
/// Number of rows that the panels for [`add_outer_products`] must have.
pub(crate) const OUTER_TERMS: usize = DEPTH;

/// One row of a panel, aligned to a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct PackedRow([f32; WIDTH]);

/// A right factor `[k, n]`, packed into contiguous panels of [`WIDTH`] columns. The last panel is padded with zeros.
#[derive(Clone)]
pub(crate) struct PackedMatrix {
    rows: Vec<PackedRow>,
    k: usize,
    n: usize,
}

impl PackedMatrix {
    /// Zeros `[k, n]`.
    pub(crate) fn new(k: usize, n: usize) -> Self {
        Self { rows: vec![PackedRow([0.0; WIDTH]); k * n.div_ceil(WIDTH)], k, n }
    }

    /// Packs a row-major matrix `[k, n]`.
    pub(crate) fn pack(&mut self, matrix: &[f32]) {
        for (term, values) in matrix.chunks_exact(self.n).enumerate() {
            for (panel, values) in self.rows.chunks_exact_mut(self.k).zip(values.chunks(WIDTH)) {
                match values.first_chunk() {
                    Some(whole) => panel[term].0 = *whole,
                    None => panel[term].0[..values.len()].copy_from_slice(values),
                }
            }
        }
    }

    /// Packs the transpose of a row-major matrix `[n, k]`.
    pub(crate) fn pack_transposed(&mut self, matrix: &[f32]) {
        let blocks = matrix.chunks(WIDTH * self.k);
        for (panel, block) in self.rows.chunks_exact_mut(self.k).zip(blocks) {
            for (term, row) in panel.iter_mut().enumerate() {
                for (value, values) in row.0.iter_mut().zip(block.chunks_exact(self.k)) {
                    *value = values[term];
                }
            }
        }
    }
}

/// `c += a · b`. Shapes: a `[m, k]`, b `[k, n]`, c `[m, n]`; `a` may have more rows, which are ignored.
pub(crate) fn multiply_add(a: &[f32], b: &PackedMatrix, c: &mut [f32]) {
    simd::run(MultiplyAdd { a, b, c });
}

struct MultiplyAdd<'a> {
    a: &'a [f32],
    b: &'a PackedMatrix,
    c: &'a mut [f32],
}

impl WithSimd for MultiplyAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let PackedMatrix { k, n, .. } = *self.b;
        for first in (0..k).step_by(DEPTH) {
            let left = LeftFactor { values: &self.a[first..], stride: k };
            let last = first + DEPTH.min(k - first);
            add_terms::<S, false>(simd, left, self.b, first..last, self.c, n);
        }
    }
}

/// `c += aᵀ · b`: the sum of the outer products of the rows. Shapes: a `[k, m]`, b `[k, n]`, c `[m, n]`.
///
/// `panels` is a buffer for [`OUTER_TERMS`] packed rows of b.
pub(crate) fn add_outer_products(a: &[f32], b: &[f32], panels: &mut PackedMatrix, c: &mut [f32]) {
    simd::run(OuterProducts { a, b, panels, c });
}

struct OuterProducts<'a> {
    a: &'a [f32],
    b: &'a [f32],
    panels: &'a mut PackedMatrix,
    c: &'a mut [f32],
}

impl WithSimd for OuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.panels.n;
        let m = self.c.len() / n;
        for (a, b) in self.a.chunks(DEPTH * m).zip(self.b.chunks(DEPTH * n)) {
            self.panels.pack(b);
            let left = LeftFactor { values: a, stride: m };
            add_terms::<S, true>(simd, left, self.panels, 0..b.len() / n, self.c, n);
        }
    }
}

/// At most [`DEPTH`] terms of the left factor, starting at the first one. Its rows (its columns if transposed) are
/// `stride` values apart.
#[derive(Clone, Copy)]
struct LeftFactor<'a> {
    values: &'a [f32],
    stride: usize,
}

/// Adds a block of terms to the whole result, as many rows at a time as the registers hold.
#[inline(always)]
fn add_terms<S: Simd, const TRANSPOSED: bool>(
    simd: S,
    a: LeftFactor,
    b: &PackedMatrix,
    terms: Range<usize>,
    c: &mut [f32],
    n: usize,
) {
    let m = c.len() / n;
    let mut row = 0;
    while row < m {
        let c = &mut c[row * n..];
        let terms = terms.clone();
        row += match m - row {
            // Sixteen registers hold a tile of five rows: 10 sums and 3 operands.
            MOST_ROWS.. if S::REGISTER_COUNT > 16 => {
                band::<S, MOST_ROWS, TRANSPOSED>(simd, a, row, b, terms, c, n)
            }
            5.. => band::<S, 5, TRANSPOSED>(simd, a, row, b, terms, c, n),
            4 => band::<S, 4, TRANSPOSED>(simd, a, row, b, terms, c, n),
            2 | 3 => band::<S, 2, TRANSPOSED>(simd, a, row, b, terms, c, n),
            _ => band::<S, 1, TRANSPOSED>(simd, a, row, b, terms, c, n),
        };
    }
}

/// Adds a block of terms to the first R rows of `c`; returns R.
#[inline(always)]
fn band<S: Simd, const R: usize, const TRANSPOSED: bool>(
    simd: S,
    a: LeftFactor,
    row: usize,
    b: &PackedMatrix,
    terms: Range<usize>,
    c: &mut [f32],
    n: usize,
) -> usize {
    let depth = terms.len();
    // The copy makes the left values contiguous, and its fixed size needs no bounds checks.
    let mut left = [0.0; MOST_ROWS * DEPTH];
    if TRANSPOSED {
        for (left, values) in left.as_chunks_mut::<R>().0.iter_mut().zip(a.values.chunks(a.stride)) {
            left.copy_from_slice(&values[row..][..R]);
        }
    } else {
        for (r, left) in left.as_chunks_mut::<DEPTH>().0[..R].iter_mut().enumerate() {
            let values = &a.values[(row + r) * a.stride..];
            match values.first_chunk() {
                // This may copy terms beyond the block. A copy of fixed length compiles to vector moves.
                Some(whole) => *left = *whole,
                None => left[..depth].copy_from_slice(&values[..depth]),
            }
        }
    }
    let at = |term: usize, r: usize| if TRANSPOSED { term * R + r } else { r * DEPTH + term };
    for (panel, column) in b.rows.chunks_exact(b.k).zip((0..n).step_by(WIDTH)) {
        for offset in (0..WIDTH.min(n - column)).step_by(2 * S::F32_LANES) {
            let left = |term: usize, r: usize| left[at(term % DEPTH, r)];
            tile::<S, R>(
                simd,
                left,
                &panel[terms.clone()],
                offset,
                &mut c[column + offset..],
                n,
                n - column - offset,
            );
        }
    }
    R
}

/// Adds a block of terms to a tile of R rows × 2 vectors, kept in registers over all terms. Only the first `columns`
/// columns exist.
#[inline(always)]
fn tile<S: Simd, const R: usize>(
    simd: S,
    left: impl Fn(usize, usize) -> f32,
    panel: &[PackedRow],
    offset: usize,
    c: &mut [f32],
    n: usize,
    columns: usize,
) {
    let lanes = S::F32_LANES;
    let low = lanes.min(columns);
    let high = (2 * lanes).min(columns);
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for (r, sum) in sums.iter_mut().enumerate() {
        let c = &c[r * n..][..high];
        *sum = [load(simd, &c[..low]), load(simd, &c[low..])];
    }
    for (term, right) in panel.iter().enumerate() {
        let (vectors, _) = S::as_simd_f32s(&right.0);
        let right = [vectors[offset / lanes], vectors[offset / lanes + 1]];
        for (r, sum) in sums.iter_mut().enumerate() {
            let left = simd.splat_f32s(left(term, r));
            *sum = [mul_adds(simd, left, right[0], sum[0]), mul_adds(simd, left, right[1], sum[1])];
        }
    }
    for (r, sum) in sums.iter().enumerate() {
        let (c_low, c_high) = c[r * n..][..high].split_at_mut(low);
        store(simd, c_low, sum[0]);
        store(simd, c_high, sum[1]);
    }
}

/// Loads a vector; missing values are zero.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values).0 {
        [whole, ..] => *whole,
        [] => simd.partial_load_f32s(values),
    }
}

/// Stores as many values of a vector as `to` holds.
#[inline(always)]
fn store<S: Simd>(simd: S, to: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(to).0 {
        [whole, ..] => *whole = vector,
        [] => simd.partial_store_f32s(to, vector),
    }
}

#[cfg(test)]
mod tests;
