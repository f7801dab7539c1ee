//! Average and maximum pools.

use enas_kernels::{Activation, Axis, FeatureMap, Pool, PoolKind};

use crate::reference::{self, Tensor, Windows};
use crate::support::*;

/// One pool, forward and backward, against the reference.
fn check(kind: PoolKind, k: usize, stride: usize, padded: bool, shape: Shape, relu: bool, pending: bool) {
    let (_, _, h, w) = shape;
    let (pool, over) = if padded {
        (Pool::same(kind, k, stride, h, w), (reference::same(h, k, stride), reference::same(w, k, stride)))
    } else {
        (Pool::valid(kind, k, stride, h, w), (reference::valid(h, k, stride), reference::valid(w, k, stride)))
    };
    check_pool(if relu { pool.with_relu() } else { pool }, over, shape, pending);
}

/// The same for a pool whose windows are known to be `windows`.
fn check_pool(pool: Pool, windows: (Windows, Windows), shape: Shape, pending: bool) {
    let Pool { kind, relu, .. } = pool;
    let what = format!("{pool:?} {shape:?} pending {pending}");
    let rng = &mut stream("pool", shape);
    let (input, meant) = value(rng, shape, pending);
    let rectified = if relu { reference::relu(&meant) } else { meant.clone() };

    let out = pool.forward(&input);
    let forward = |t: &Tensor| match kind {
        PoolKind::Average => reference::average_pool(t, windows),
        PoolKind::Max => reference::max_pool(t, windows),
    };
    let expected = forward(&rectified);
    assert_eq!(out.shape(), expected.shape(), "{what}");
    assert_close(&what, &out.to_nchw(), &expected.data, &forward(&rectified.abs()).data);

    let (grad, grad_meant) = map(rng, out.shape());
    let backward = |grad: &Tensor| match kind {
        PoolKind::Average => reference::average_pool_backward(&rectified, windows, grad),
        PoolKind::Max => reference::max_pool_backward(&rectified, windows, grad),
    };
    let expected = backward(&grad_meant);
    let expected = if relu { reference::relu_backward(&meant, &expected) } else { expected };
    let terms = backward(&grad_meant.abs());
    let mut fresh = None;
    pool.backward(&input, &grad, &mut fresh);
    assert_close(
        &format!("{what} gradient"),
        &fresh.expect("created").to_nchw(),
        &expected.data,
        &terms.data,
    );

    let (before, before_meant) = map(rng, shape);
    let mut added = Some(before);
    pool.backward(&input, &grad, &mut added);
    let expected = sum(&expected.data, &before_meant.data);
    let terms = sum(&terms.data, &abs(&before_meant.data));
    assert_close(&format!("{what} added"), &added.expect("kept").to_nchw(), &expected, &terms);
}

fn check_all(kind: PoolKind, k: usize, stride: usize, padded: bool) {
    for (i, shape) in awkward_shapes().into_iter().chain([(3, 2, 16, 16), (2, 3, 33, 31)]).enumerate() {
        if !padded && (shape.2 < k || shape.3 < k) {
            continue;
        }
        for relu in [false, true] {
            check(kind, k, stride, padded, shape, relu, i % 2 == usize::from(relu));
        }
    }
}

#[test]
fn average_pools_equal_the_reference() {
    for stride in [1, 2] {
        check_all(PoolKind::Average, 3, stride, true);
    }
}

/// The coarse inputs are full of ties.
#[test]
fn max_pools_equal_the_reference() {
    for stride in [1, 2] {
        check_all(PoolKind::Max, 3, stride, true);
    }
}

#[test]
fn pools_of_an_auxiliary_head_equal_the_reference() {
    for kind in [PoolKind::Average, PoolKind::Max] {
        for padded in [false, true] {
            check_all(kind, 5, 3, padded);
        }
    }
}

#[test]
fn the_first_maximum_takes_the_whole_gradient() {
    let input = Activation::plain(FeatureMap::from_nchw(&[7.0; 9], 1, 1, 3, 3));
    let grad = FeatureMap::from_nchw(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1, 1, 3, 3);
    let mut gradient = None;
    Pool::same(PoolKind::Max, 3, 1, 3, 3).backward(&input, &grad, &mut gradient);
    // The first pixel of each window: the upper left one that is not padding.
    assert_eq!(
        gradient.map(|g| g.to_nchw()),
        Some(vec![1.0 + 2.0 + 4.0 + 5.0, 3.0 + 6.0, 0.0, 7.0 + 8.0, 9.0, 0.0, 0.0, 0.0, 0.0])
    );
}

#[test]
fn averages_of_ones_are_ones_up_to_the_border() {
    for (k, stride) in [(3, 1), (3, 2), (5, 3)] {
        let input = Activation::plain(FeatureMap::from_nchw(&[1.0; 2 * 7 * 8], 1, 2, 7, 8));
        let out = Pool::same(PoolKind::Average, k, stride, 7, 8).forward(&input).to_nchw();
        assert!(out.iter().all(|v| (v - 1.0).abs() < 1e-6), "{k}×{k}/{stride}: {out:?}");
    }
}

#[test]
fn padding_never_wins_a_maximum() {
    let input = Activation::plain(FeatureMap::from_nchw(&[-3.0; 12], 1, 1, 3, 4));
    let out = Pool::same(PoolKind::Max, 3, 2, 3, 4).forward(&input).to_nchw();
    assert_eq!(out, [-3.0; 4]);
}

#[test]
#[should_panic(expected = "every window holds a pixel")]
fn windows_that_leave_the_map_are_refused() {
    let mut pool = Pool::same(PoolKind::Max, 3, 1, 4, 4);
    pool.x.out = 100;
    pool.forward(&Activation::plain(FeatureMap::zeros(1, 1, 4, 4)));
}

#[test]
#[should_panic(expected = "made for this size")]
fn a_pool_for_another_size_is_refused_backwards_too() {
    let pool = Pool::same(PoolKind::Max, 3, 1, 9, 9);
    pool.backward(
        &Activation::plain(FeatureMap::zeros(1, 1, 4, 4)),
        &FeatureMap::zeros(1, 1, 9, 9),
        &mut None,
    );
}

/// Every axis of windows of three over a few pixels, SAME, VALID or placed by hand.
fn small_axes() -> Vec<Axis> {
    let mut axes = Vec::new();
    for size in 1..=6 {
        for (stride, before) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
            // Every window must hold a pixel.
            for out in 1..=(size + before - 1) / stride + 1 {
                axes.push(Axis { size, k: 3, stride, before, out });
            }
        }
    }
    axes
}

fn windows(axis: Axis) -> Windows {
    Windows { k: axis.k, stride: axis.stride, before: axis.before, count: axis.out }
}

#[test]
fn all_placements_of_three_by_three_windows_equal_the_reference() {
    let axes = small_axes();
    let across = [Axis::same(5, 3, 1), Axis::same(6, 3, 2), Axis::same(1, 3, 1), Axis::valid(4, 3, 1)];
    let both_ways = |axis: &Axis| across.map(|other| [(*axis, other), (other, *axis)]);
    for (y, x) in axes.iter().flat_map(both_ways).flatten() {
        for kind in [PoolKind::Average, PoolKind::Max] {
            for relu in [false, true] {
                let shape = (2, 2, y.size, x.size);
                check_pool(Pool { kind, y, x, relu }, (windows(y), windows(x)), shape, y.out % 2 == 0);
            }
        }
    }
}

/// Coarse numbers have ties in some windows; these have one in nearly every window.
#[test]
fn among_many_ties_the_first_maximum_takes_the_gradient() {
    for stride in [1, 2] {
        for (h, w) in [(1, 6), (6, 1), (4, 4), (5, 7), (8, 8)] {
            let rng = &mut stream("ties", (stride, 1, h, w));
            let bits: Vec<f32> = (0..16 * h * w).map(|_| rng.below(2) as f32).collect();
            let meant = Tensor::of(&bits, (16, 1, h, w));
            let input = Activation::plain(FeatureMap::from_nchw(&bits, 16, 1, h, w));
            let pool = Pool::same(PoolKind::Max, 3, stride, h, w);
            let (grad, grad_meant) = map(rng, (16, 1, pool.y.out, pool.x.out));
            let over = (windows(pool.y), windows(pool.x));
            let mut gradient = None;
            pool.backward(&input, &grad, &mut gradient);
            assert_close(
                &format!("{h}×{w}/{stride}"),
                &gradient.expect("created").to_nchw(),
                &reference::max_pool_backward(&meant, over, &grad_meant).data,
                &reference::max_pool_backward(&meant, over, &grad_meant.abs()).data,
            );
        }
    }
}

/// Memory is recycled: what an earlier map left behind must not show.
#[test]
fn a_created_gradient_owes_nothing_to_what_was_in_its_memory() {
    // A size no other test uses, so that the memory is most likely that of `left`; the last row has no window.
    let h = 6;
    let w = 13;
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (k, stride) in [(3, 2), (5, 3)] {
            let left = FeatureMap::from_nchw(&[f32::NAN; 11 * 6 * 13], 1, 11, h, w);
            let pool = Pool::valid(kind, k, stride, h, w);
            let grad = FeatureMap::from_nchw(
                &vec![1.0; 11 * pool.y.out * pool.x.out],
                1,
                11,
                pool.y.out,
                pool.x.out,
            );
            let input = Activation::plain(FeatureMap::zeros(1, 11, h, w));
            drop(left);
            let mut gradient = None;
            pool.backward(&input, &grad, &mut gradient);
            let sum: f32 = gradient.expect("created").to_nchw().iter().sum();
            let expected = (11 * pool.y.out * pool.x.out) as f32;
            assert!((sum - expected).abs() < 1e-3, "{kind:?} {k}×{k}/{stride}: {sum}, not {expected}");
        }
    }
}

/// Something that is not a number may win or lose, but a window still has one winner.
#[test]
fn no_gradient_is_lost_to_what_is_not_a_number() {
    for stride in [1, 2] {
        let rng = &mut stream("not a number", (stride, 1, 7, 8));
        let numbers = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 0.0, 1.0];
        let images: Vec<f32> = (0..33 * 7 * 8).map(|_| numbers[rng.below(5)]).collect();
        let pool = Pool::same(PoolKind::Max, 3, stride, 7, 8);
        let n_windows = pool.y.out * pool.x.out;
        let grad = FeatureMap::from_nchw(&vec![1.0; 33 * n_windows], 33, 1, pool.y.out, pool.x.out);
        let mut gradient = None;
        pool.backward(&Activation::plain(FeatureMap::from_nchw(&images, 33, 1, 7, 8)), &grad, &mut gradient);
        for image in gradient.expect("created").to_nchw().chunks(7 * 8) {
            assert_eq!(image.iter().sum::<f32>(), n_windows as f32, "stride {stride}: {image:?}");
        }
    }
}
