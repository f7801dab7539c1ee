use enas_rng::Seed;

use super::*;
use crate::dot_product::transpose;

fn numbers(n: usize, position: u64) -> Vec<f32> {
    let mut stream = Seed::new(1).stream("matrix", &[position]);
    (0..n).map(|_| stream.range(-1.0, 1.0)).collect()
}

fn panels(matrix: &[f32], k: usize, n: usize) -> PackedMatrix {
    let mut panels = PackedMatrix::new(k, n);
    panels.pack(matrix);
    panels
}

fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; matrix.len()];
    transpose(matrix, width, &mut out);
    out
}

const SHAPES: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (1, 64, 256),
    (3, 33, 17),
    (10, 24, 96),
    (27, 65, 40),
    (4, 5, 16),
    (64, 150, 32),
    (19, 128, 70),
];

#[test]
fn products_equal_three_nested_loops_on_every_instruction_set() {
    for (m, k, n) in SHAPES {
        let a = numbers(m * k, 0);
        let b = numbers(k * n, 1);
        let start = numbers(m * n, 2);
        let exact = |i: usize, j: usize| {
            let terms = (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j]));
            f64::from(start[i * n + j]) + terms.sum::<f64>()
        };
        for arch in simd::all() {
            let check = |got: &[f32], what: &str| {
                let far = |i: &usize| (f64::from(got[*i]) - exact(i / n, i % n)).abs() > 1e-5;
                assert_eq!((0..m * n).find(far), None, "{what} {m}x{k}x{n} on {arch:?}");
            };
            let mut got = start.clone();
            simd::run_at(arch, MultiplyAdd { a: &a, b: &panels(&b, k, n), c: &mut got });
            check(&got, "product");

            let mut of_transposed = PackedMatrix::new(k, n);
            of_transposed.pack_transposed(&transposed(&b, n));
            let mut again = start.clone();
            simd::run_at(arch, MultiplyAdd { a: &a, b: &of_transposed, c: &mut again });
            assert_eq!(got, again, "{m}x{k}x{n} on {arch:?}");

            let mut outer = start.clone();
            let panels = &mut PackedMatrix::new(OUTER_TERMS, n);
            let a = &transposed(&a, k);
            simd::run_at(arch, OuterProducts { a, b: &b, panels, c: &mut outer });
            assert_eq!(got, outer, "outer {m}x{k}x{n} on {arch:?}");
        }
    }
}

#[test]
fn rows_computed_alone_and_together_are_equal_to_the_bit() {
    for (m, k, n) in SHAPES {
        let a = numbers(m * k, 0);
        let b = panels(&numbers(k * n, 1), k, n);
        let start = numbers(m * n, 2);
        for arch in simd::all() {
            let mut together = start.clone();
            let mut alone = start.clone();
            simd::run_at(arch, MultiplyAdd { a: &a, b: &b, c: &mut together });
            for (a, c) in a.chunks(k).zip(alone.chunks_mut(n)) {
                simd::run_at(arch, MultiplyAdd { a, b: &b, c });
            }
            assert_eq!(together, alone, "{m}x{k}x{n} on {arch:?}");
        }
    }
}
