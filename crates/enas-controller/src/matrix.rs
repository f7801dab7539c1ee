//! The one matrix product of the crate, on row-major slices.
//!
//! Every element of the result adds its terms in the same order whatever the number of rows, so an arc computed alone
//! and within a batch gives the same bits.

/// Columns of the result held in registers at a time.
const COLUMNS: usize = 16;
/// Rows of the result held in registers at a time.
const ROWS: usize = 4;
/// Terms added before moving to the next tile: this many rows of the right factor stay in the first-level cache.
const DEPTH: usize = 32;

/// The left factor `[m, k]`: a slice and the distance between neighbours in a column and in a row.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    values: &'a [f32],
    down: usize,
    right: usize,
}

impl<'a> Left<'a> {
    /// A row-major matrix with rows of `width` numbers.
    pub(crate) fn plain(values: &'a [f32], width: usize) -> Self {
        Self { values, down: width, right: 1 }
    }

    /// The transpose of a row-major matrix with rows of `width` numbers.
    pub(crate) fn transposed(values: &'a [f32], width: usize) -> Self {
        Self { values, down: 1, right: width }
    }
}

/// `c += a · b`.
///
/// Shapes: a `[m, k]`, c `[m, n]`; b is the first `n` columns of `k` rows that lie `b_stride` apart.
pub(crate) fn multiply_add(a: Left, size: Size, b: &[f32], b_stride: usize, c: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || multiply_add_here(a, size, b, b_stride, c),
    );
}

/// Rows of the result, terms of each sum, columns of the result.
type Size = (usize, usize, usize);

/// Runs `work` as compiled for the widest vectors this processor has.
///
/// Nothing is fused or reordered: the results are the same to the bit as without.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[inline(always)]
fn multiply_add_here(a: Left, (m, k, n): Size, b: &[f32], b_stride: usize, c: &mut [f32]) {
    for first in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - first);
        let b = &b[first * b_stride..];
        for row in (0..m).step_by(ROWS) {
            let a = Left { values: &a.values[row * a.down + first * a.right..], ..a };
            let c = &mut c[row * n..];
            match m - row {
                1 => band::<1>(a, depth, b, b_stride, c, n),
                2 => band::<2>(a, depth, b, b_stride, c, n),
                3 => band::<3>(a, depth, b, b_stride, c, n),
                _ => band::<ROWS>(a, depth, b, b_stride, c, n),
            }
        }
    }
}

/// Adds `depth` terms to R whole rows of the result.
#[inline(always)]
fn band<const R: usize>(a: Left, depth: usize, b: &[f32], b_stride: usize, c: &mut [f32], n: usize) {
    // The left numbers in the order of their use, out of the reach of bounds checks.
    let mut left = [[0.0f32; R]; DEPTH];
    for (term, left) in left[..depth].iter_mut().enumerate() {
        for (r, left) in left.iter_mut().enumerate() {
            *left = a.values[r * a.down + term * a.right];
        }
    }
    let whole = n / COLUMNS * COLUMNS;
    for column in (0..whole).step_by(COLUMNS) {
        tile(&left[..depth], &b[column..], b_stride, &mut c[column..], n);
    }
    for column in whole..n {
        for r in 0..R {
            let sum = &mut c[r * n + column];
            for (term, left) in left[..depth].iter().enumerate() {
                *sum += left[r] * b[term * b_stride + column];
            }
        }
    }
}

/// R rows of COLUMNS sums, kept in registers over all terms.
#[inline(always)]
fn tile<const R: usize>(left: &[[f32; R]], b: &[f32], b_stride: usize, c: &mut [f32], n: usize) {
    let mut sums = [[0.0f32; COLUMNS]; R];
    for (r, sum) in sums.iter_mut().enumerate() {
        sum.copy_from_slice(&c[r * n..][..COLUMNS]);
    }
    for (left, right) in left.iter().zip(b.chunks(b_stride)) {
        let right: &[f32; COLUMNS] = right.first_chunk().expect("a whole tile lies within the row");
        for (sum, &left) in sums.iter_mut().zip(left) {
            for (s, &w) in sum.iter_mut().zip(right) {
                *s += left * w;
            }
        }
    }
    for (r, sum) in sums.iter().enumerate() {
        c[r * n..][..COLUMNS].copy_from_slice(sum);
    }
}

/// Writes the transpose of `matrix`, whose rows have `width` numbers, to `out`.
pub(crate) fn transpose(matrix: &[f32], width: usize, out: &mut [f32]) {
    let height = matrix.len() / width;
    for (row, values) in matrix.chunks_exact(width).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            out[column * height + row] = value;
        }
    }
}

/// The scalar product, with eight partial sums so that it vectorises; the order is fixed.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    for (x, y) in whole_a.iter().zip(whole_b) {
        for ((s, x), y) in sums.iter_mut().zip(x).zip(y) {
            *s += x * y;
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// `y += factor · x`.
pub(crate) fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_rng::Seed;

    fn numbers(n: usize, position: u64) -> Vec<f32> {
        let mut stream = Seed::new(1).stream("matrix", &[position]);
        (0..n).map(|_| stream.range(-1.0, 1.0)).collect()
    }

    #[test]
    fn products_equal_three_nested_loops_over_awkward_shapes() {
        for (m, k, n) in
            [(1, 1, 1), (1, 64, 256), (3, 33, 17), (10, 24, 96), (7, 65, 40), (4, 5, 16), (64, 70, 32)]
        {
            let (a, b, start) = (numbers(m * k, 0), numbers(k * n, 1), numbers(m * n, 2));
            let mut expected = start.clone();
            for i in 0..m {
                for j in 0..n {
                    for p in 0..k {
                        expected[i * n + j] += a[i * k + p] * b[p * n + j];
                    }
                }
            }
            let mut got = start.clone();
            multiply_add(Left::plain(&a, k), (m, k, n), &b, n, &mut got);
            assert_eq!(got, expected, "{m}x{k}x{n}");

            let mut flipped = vec![0.0; m * k];
            transpose(&a, k, &mut flipped);
            let mut got = start;
            multiply_add(Left::transposed(&flipped, m), (m, k, n), &b, n, &mut got);
            assert_eq!(got, expected, "transposed {m}x{k}x{n}");
        }
    }

    #[test]
    fn a_right_factor_may_be_some_columns_of_a_wider_matrix() {
        let (a, b) = (numbers(2 * 3, 0), numbers(3 * 40, 1));
        let narrow: Vec<f32> = b.chunks(40).flat_map(|row| row[20..38].to_vec()).collect();
        let (mut got, mut expected) = (vec![0.0; 36], vec![0.0; 36]);
        multiply_add(Left::plain(&a, 3), (2, 3, 18), &b[20..], 40, &mut got);
        multiply_add(Left::plain(&a, 3), (2, 3, 18), &narrow, 18, &mut expected);
        assert_eq!(got, expected);
    }

    #[test]
    fn dot_takes_every_element() {
        for n in [0, 1, 7, 8, 24, 35] {
            let (a, b) = (numbers(n, 0), numbers(n, 1));
            let exact: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-6);
        }
    }
}
