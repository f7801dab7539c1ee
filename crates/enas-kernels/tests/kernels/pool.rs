//! Average and maximum pools.

use enas_kernels::{Map, Pool, PoolKind, Value};

use crate::reference::{self, Tensor, Windows};
use crate::support::*;

/// One pool, forward and backward, against the reference.
fn check(kind: PoolKind, (k, stride): (usize, usize), padded: bool, shape: Shape, relu: bool, pending: bool) {
    let (_, _, h, w) = shape;
    let what = format!("{kind:?} {k}×{k}/{stride} padded {padded} {shape:?} relu {relu} pending {pending}");
    let rng = &mut stream("pool", shape);
    let (input, meant) = value(rng, shape, pending);
    let pool = if padded { Pool::same(kind, k, stride, h, w) } else { Pool::valid(kind, k, stride, h, w) };
    let pool = if relu { pool.with_relu() } else { pool };
    let windows: (Windows, Windows) = if padded {
        (reference::same(h, k, stride), reference::same(w, k, stride))
    } else {
        (reference::valid(h, k, stride), reference::valid(w, k, stride))
    };
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

fn check_all(kind: PoolKind, (k, stride): (usize, usize), padded: bool) {
    for (i, shape) in awkward_shapes().into_iter().chain([(3, 2, 16, 16), (2, 3, 33, 31)]).enumerate() {
        if !padded && (shape.2 < k || shape.3 < k) {
            continue;
        }
        for relu in [false, true] {
            check(kind, (k, stride), padded, shape, relu, i % 2 == usize::from(relu));
        }
    }
}

#[test]
fn average_pools_equal_the_reference() {
    for stride in [1, 2] {
        check_all(PoolKind::Average, (3, stride), true);
    }
}

/// The coarse inputs are full of ties.
#[test]
fn max_pools_equal_the_reference() {
    for stride in [1, 2] {
        check_all(PoolKind::Max, (3, stride), true);
    }
}

#[test]
fn pools_of_an_auxiliary_head_equal_the_reference() {
    for kind in [PoolKind::Average, PoolKind::Max] {
        for padded in [false, true] {
            check_all(kind, (5, 3), padded);
        }
    }
}

#[test]
fn the_first_maximum_takes_the_whole_gradient() {
    let input = Value::plain(Map::from_nchw(&[7.0; 9], 1, 1, 3, 3));
    let grad = Map::from_nchw(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1, 1, 3, 3);
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
        let input = Value::plain(Map::from_nchw(&[1.0; 2 * 7 * 8], 1, 2, 7, 8));
        let out = Pool::same(PoolKind::Average, k, stride, 7, 8).forward(&input).to_nchw();
        assert!(out.iter().all(|v| (v - 1.0).abs() < 1e-6), "{k}×{k}/{stride}: {out:?}");
    }
}

#[test]
fn padding_never_wins_a_maximum() {
    let input = Value::plain(Map::from_nchw(&[-3.0; 12], 1, 1, 3, 4));
    let out = Pool::same(PoolKind::Max, 3, 2, 3, 4).forward(&input).to_nchw();
    assert_eq!(out, [-3.0; 4]);
}

#[test]
#[should_panic(expected = "every window holds a pixel")]
fn windows_that_leave_the_map_are_refused() {
    let mut pool = Pool::same(PoolKind::Max, 3, 1, 4, 4);
    pool.x.out = 100;
    pool.forward(&Value::plain(Map::zeros(1, 1, 4, 4)));
}

#[test]
#[should_panic(expected = "made for this size")]
fn a_pool_for_another_size_is_refused_backwards_too() {
    let pool = Pool::same(PoolKind::Max, 3, 1, 9, 9);
    pool.backward(&Value::plain(Map::zeros(1, 1, 4, 4)), &Map::zeros(1, 1, 9, 9), &mut None);
}
