//! Sums and means.

use enas_kernels::{
    Activation, FeatureMap, Term, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward,
};

use crate::reference::{self, Tensor, doubles};
use crate::support::*;

fn scaled(t: &Tensor, factors: Option<&[f32]>) -> Tensor {
    let image = t.c * t.h * t.w;
    let factor = |i: usize| factors.map_or(1.0, |f| f64::from(f[i / image]));
    Tensor::new(t.data.iter().enumerate().map(|(i, v)| v * factor(i)).collect(), t.shape())
}

#[test]
fn sums_equal_the_reference_with_and_without_factors() {
    for (i, shape) in awkward_shapes().into_iter().enumerate() {
        let rng = &mut stream("add", shape);
        let (a, a_meant) = value(rng, shape, i % 2 == 0);
        let (b, b_meant) = value(rng, shape, i % 3 == 0);
        let fa = uniform(rng, shape.0);
        let fb = uniform(rng, shape.0);
        for (fa, fb) in [(None, None), (Some(&fa[..]), None), (Some(&fa[..]), Some(&fb[..]))] {
            let out = add(Term { value: &a, factors: fa }, Term { value: &b, factors: fb });
            let x = scaled(&a_meant, fa);
            let y = scaled(&b_meant, fb);
            let terms = x.zip(&y, |x, y| x.abs() + y.abs() + 4.0);
            assert_close(&format!("{shape:?}"), &out.to_nchw(), &x.zip(&y, |x, y| x + y).data, &terms.data);
        }
    }
}

#[test]
fn gradients_of_sums_are_scaled_and_added() {
    for shape in awkward_shapes() {
        let rng = &mut stream("add gradient", shape);
        let (grad, grad_meant) = map(rng, shape);
        let (before, before_meant) = map(rng, shape);
        let factors = uniform(rng, shape.0);
        for factors in [None, Some(&factors[..])] {
            let part = scaled(&grad_meant, factors);
            let mut fresh = None;
            add_backward(&grad, factors, &mut fresh);
            assert_close("fresh", &fresh.expect("created").to_nchw(), &part.data, &part.abs().data);
            let mut added = Some(before.clone());
            add_backward(&grad, factors, &mut added);
            let terms = part.zip(&before_meant, |a, b| a.abs() + b.abs());
            let expected = part.zip(&before_meant, |a, b| a + b);
            assert_close("added", &added.expect("kept").to_nchw(), &expected.data, &terms.data);
            assert_eq!(doubles(&before.to_nchw()), before_meant.data, "the clone stays as it was");
        }
    }
}

/// Two sides of a sum share one gradient map until one of them is added to.
#[test]
fn a_shared_gradient_is_copied_before_it_is_added_to() {
    let grad = FeatureMap::from_nchw(&[1.0, 2.0], 1, 1, 1, 2);
    let mut a = None;
    let mut b = None;
    add_backward(&grad, None, &mut a);
    add_backward(&grad, None, &mut b);
    add_backward(&grad, None, &mut a);
    assert_eq!(a.map(|m| m.to_nchw()), Some(vec![2.0, 4.0]));
    assert_eq!(b.map(|m| m.to_nchw()), Some(vec![1.0, 2.0]));
    assert_eq!(grad.to_nchw(), [1.0, 2.0]);
}

#[test]
fn means_of_rectified_values_equal_the_reference() {
    let pixels_beyond_one_chunk = (3, 2, 40, 30);
    for (i, shape) in awkward_shapes().into_iter().chain([pixels_beyond_one_chunk]).enumerate() {
        let (n, c, h, w) = shape;
        let rng = &mut stream("mean", shape);
        let parts = [(c, i % 2 == 0), (1, true), (2, false)];
        let (values, meant): (Vec<Activation>, Vec<Tensor>) =
            parts.iter().map(|(c, pending)| value(rng, (n, *c, h, w), *pending)).unzip();
        let all = reference::concat(&meant);
        let means = relu_mean(&values);
        let expected = reference::mean(&reference::relu(&all));
        assert_close(&format!("{shape:?}"), &means, &expected, &expected);

        let grad = uniform(rng, n * (c + 3));
        let back = reference::relu_backward(&all, &reference::mean_backward(&all, &doubles(&grad)));
        let start: Vec<Option<(FeatureMap, Tensor)>> = parts
            .iter()
            .enumerate()
            .map(|(j, (c, _))| (j == i % 3).then(|| map(rng, (n, *c, h, w))))
            .collect();
        let mut gradients: Vec<Option<FeatureMap>> =
            start.iter().map(|s| s.as_ref().map(|s| s.0.clone())).collect();
        relu_mean_backward(&values, &grad, &mut gradients);
        let mut first = 0;
        for ((gradient, start), (c, _)) in gradients.iter().zip(&start).zip(parts) {
            let part = reference::channels(&back, first, c);
            let before = start.as_ref().map_or(part.map(|_, _| 0.0), |s| s.1.clone());
            let expected = part.zip(&before, |a, b| a + b);
            let terms = part.zip(&before, |a, b| a.abs() + b.abs());
            let got = gradient.as_ref().expect("created").to_nchw();
            assert_close(&format!("{shape:?} gradient"), &got, &expected.data, &terms.data);
            first += c;
        }
    }
}

#[test]
fn not_a_number_shows_in_the_mean() {
    let value = Activation::plain(FeatureMap::from_nchw(&[1.0, f32::NAN], 1, 1, 1, 2));
    assert!(relu_mean(&[value])[0].is_nan());
}

#[test]
fn concatenation_keeps_every_channel_and_splits_its_gradient() {
    for (i, shape) in awkward_shapes().into_iter().enumerate() {
        let (n, c, h, w) = shape;
        let rng = &mut stream("concat", shape);
        let parts = [(c, i % 2 == 0), (2, true), (1, false)];
        let (values, meant): (Vec<Activation>, Vec<Tensor>) =
            parts.iter().map(|(c, pending)| value(rng, (n, *c, h, w), *pending)).unzip();
        let out = concat(&values);
        assert_eq!(doubles(&out.to_nchw()), reference::concat(&meant).data, "{shape:?}");

        let (grad, grad_meant) = map(rng, out.shape());
        let (before, before_meant) = map(rng, (n, 2, h, w));
        let mut gradients = [None, Some(before), None];
        concat_backward(&grad, &values, &mut gradients);
        for (j, (first, count)) in [(0, c), (c, 2), (c + 2, 1)].into_iter().enumerate() {
            let part = reference::channels(&grad_meant, first, count);
            let start = if j == 1 { before_meant.clone() } else { part.map(|_, _| 0.0) };
            let (expected, terms) =
                (part.zip(&start, |a, b| a + b), part.zip(&start, |a, b| a.abs() + b.abs()));
            let got = gradients[j].as_ref().expect("created").to_nchw();
            assert_close(&format!("{shape:?} {j}"), &got, &expected.data, &terms.data);
        }
    }
}
