//! Pools against [`Pool::forward`] and [`Pool::backward`].

use enas_kernels::gpu::{GpuActivation, GpuFeatureMap, Precision};
use enas_kernels::{Pool, PoolKind};

use crate::{Twin, assert_stored, cpu_map, download, gpu_map, len, map_numbers, on_maps, start};

/// One pool on one map, forwards and backwards, in either precision.
fn check(pool: Pool, nc: (usize, usize), affine: bool, accumulate: bool) {
    Precision::ALL.into_iter().for_each(|precision| check_in(precision, pool, nc, affine, accumulate));
}

fn check_in(precision: Precision, pool: Pool, (n, c): (usize, usize), affine: bool, accumulate: bool) {
    let what = format!("{pool:?} of {n} images, {c} channels, affine {affine}, accumulate {accumulate}");
    let shape = (n, c, pool.y.size, pool.x.size);
    let pooled = (n, c, pool.y.out, pool.x.out);
    let twin = Twin::new(precision, 1, shape, affine);
    let grad = map_numbers(precision, 2, len(pooled));
    let before = start(precision, 3, shape, accumulate);

    let input = twin.cpu();
    let mut gradient = before.as_ref().map(|numbers| cpu_map(numbers, shape));
    let out = pool.forward(&input);
    pool.backward(&input, &cpu_map(&grad, pooled), &mut gradient);
    let gradient = gradient.expect("backward leaves a gradient").to_nchw();

    let got = on_maps(precision, &what, |gpu| {
        let input = twin.gpu(gpu);
        let mut gradient: Option<GpuFeatureMap> =
            before.as_ref().map(|numbers| gpu_map(gpu, precision, numbers, shape));
        let out = pool.forward_gpu(&input);
        pool.backward_gpu(&input, &gpu_map(gpu, precision, &grad, pooled), &mut gradient);
        vec![download(&out), download(&gradient.expect("backward leaves a gradient"))]
    });
    assert_stored(precision, &format!("{what}: forward"), &got[0], &out.to_nchw());
    assert_stored(precision, &format!("{what}: backward"), &got[1], &gradient);
}

/// Every combination of ReLU, normalisation and accumulation, over maps and batches of awkward sizes.
fn check_all(make: fn(PoolKind, usize, usize) -> Pool) {
    let mut variant = 0;
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (h, w) in [(1, 1), (1, 2), (3, 5), (4, 4), (8, 7)] {
            for flags in 0..4 {
                variant += 1;
                let n = [1, 15, 16, 17, 33][variant % 5];
                let pool = make(kind, h, w);
                let pool = if flags & 1 == 1 { pool.with_relu() } else { pool };
                check(pool, (n, 1 + variant % 3), flags & 2 == 2, variant % 4 < 2);
            }
        }
    }
}

#[test]
fn pools_of_three_are_those_of_the_cpu() {
    check_all(|kind, h, w| Pool::same(kind, 3, 1, h, w));
    check_all(|kind, h, w| Pool::same(kind, 3, 2, h, w));
}

#[test]
fn pools_of_other_windows_are_those_of_the_cpu() {
    check_all(|kind, h, w| Pool::same(kind, 5, 3, h, w));
    check_all(|kind, h, w| Pool::same(kind, 2, 1, h, w));
}

#[test]
fn pools_without_padding_leave_pixels_out() {
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (k, stride, h, w) in [(5, 3, 8, 9), (3, 3, 10, 7), (1, 2, 4, 5), (3, 2, 6, 8)] {
            check(Pool::valid(kind, k, stride, h, w), (3, 2), true, false);
            check(Pool::valid(kind, k, stride, h, w).with_relu(), (2, 1), false, true);
        }
    }
}

#[test]
fn the_first_of_equal_pixels_takes_the_whole_gradient() {
    let pool = Pool::same(PoolKind::Max, 3, 1, 3, 3);
    for precision in Precision::ALL {
        let got = on_maps(precision, "a flat map", |gpu| {
            let map = |value: f32| gpu_map(gpu, precision, &[value; 9], (1, 1, 3, 3));
            let mut gradient = None;
            pool.backward_gpu(&GpuActivation::plain(map(0.5)), &map(1.0), &mut gradient);
            vec![download(&gradient.expect("backward leaves a gradient"))]
        });
        assert_eq!(got[0], [4.0, 2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
