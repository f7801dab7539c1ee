//! Dot products of rows, and other small vector and matrix operations.

use enas_simd::safe::{self as simd, Simd, WithSimd, mul_add};

/// Scalar products of rows: `out[i·stride + j] = a[i] · b[j]`. Shapes: a `[m, width]`, b `[n, width]`.
pub(crate) fn dot_products(a: &[f32], b: &[f32], width: usize, out: &mut [f32], stride: usize) {
    simd::run(DotProducts { a, b, width, out, stride });
}

struct DotProducts<'a> {
    a: &'a [f32],
    b: &'a [f32],
    width: usize,
    out: &'a mut [f32],
    stride: usize,
}

impl WithSimd for DotProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (a, out) in self.a.chunks_exact(self.width).zip(self.out.chunks_mut(self.stride)) {
            for (b, out) in self.b.chunks_exact(self.width).zip(out) {
                *out = dot::<S>(a, b);
            }
        }
    }
}

/// The scalar product, with sixteen partial sums so that it vectorises.
#[inline(always)]
fn dot<S: Simd>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (whole_a, rest_a) = a.as_chunks::<16>();
    let (whole_b, rest_b) = b.as_chunks::<16>();
    for (x, y) in whole_a.iter().zip(whole_b) {
        for ((s, x), y) in sums.iter_mut().zip(x).zip(y) {
            *s = mul_add::<S>(*x, *y, *s);
        }
    }
    // Adds the partial sums pairwise, in the same order on every instruction set.
    let mut half = sums.len() / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    rest_a.iter().zip(rest_b).fold(sums[0], |sum, (x, y)| mul_add::<S>(*x, *y, sum))
}

/// `y += factor · x`.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = mul_add::<S>(factor, x, *y);
    }
}

/// Writes the transpose of `matrix`, whose rows have `width` values, to `out`.
pub(crate) fn transpose(matrix: &[f32], width: usize, out: &mut [f32]) {
    let height = matrix.len() / width;
    for (row, values) in matrix.chunks_exact(width).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            out[column * height + row] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    fn numbers(n: usize, position: u64) -> Vec<f32> {
        let mut stream = Seed::new(1).stream("matrix", &[position]);
        (0..n).map(|_| stream.range(-1.0, 1.0)).collect()
    }

    #[test]
    fn dot_products_take_every_element_and_leave_what_lies_between() {
        for width in [1, 7, 16, 24, 35] {
            let a = numbers(2 * width, 0);
            let b = numbers(3 * width, 1);
            for arch in simd::all() {
                let mut out = [9.0; 8];
                simd::run_at(arch, DotProducts { a: &a, b: &b, width, out: &mut out, stride: 4 });
                for (i, a) in a.chunks(width).enumerate() {
                    for (j, b) in b.chunks(width).enumerate() {
                        let exact: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
                        assert!((f64::from(out[4 * i + j]) - exact).abs() < 1e-6, "{width} on {arch:?}");
                    }
                }
                assert_eq!([out[3], out[7]], [9.0; 2]);
            }
        }
    }
}
