//! The candle ops against candle's own operations, finite differences and wrong arguments.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

use candle_core::{DType, Device, Result, Tensor, Var};
use enas_kernels::custom_ops::*;
use enas_kernels::{EPSILON, PoolKind};
use enas_rng::{Seed, Stream};
use enas_testing::numbers::uniform;

fn stream(purpose: &str) -> Stream {
    Seed::new(7).stream(purpose, &[])
}

fn random(rng: &mut Stream, shape: &[usize]) -> Var {
    let numbers = uniform(rng, shape.iter().product());
    Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares tensors, relative to the largest expected number.
#[track_caller]
fn assert_close(what: &str, actual: &Tensor, expected: &Tensor) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let a = numbers(actual);
    let e = numbers(expected);
    let scale = e.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(&e).fold(0.0f64, |m, (a, e)| m.max((a - e).abs()));
    assert!(worst <= 1e-5 * scale, "{what}: off by {worst} of {scale}");
}

/// Compares value and gradients of two functions, given a random gradient of the result.
fn same_function(
    what: &str,
    variables: &[&Var],
    ours: impl Fn() -> Result<Tensor>,
    candles: impl Fn() -> Result<Tensor>,
) {
    let a = ours().unwrap();
    let b = candles().unwrap();
    assert_close(what, &a, &b);
    let direction = random(&mut stream("direction"), a.dims()).as_detached_tensor();
    let pull = |y: &Tensor| {
        let direction = direction.to_dtype(y.dtype()).unwrap();
        (y * direction).unwrap().sum_all().unwrap().backward().unwrap()
    };
    let ga = pull(&a);
    let gb = pull(&b);
    for (i, variable) in variables.iter().enumerate() {
        let a = ga.get(variable).unwrap();
        let b = gb.get(variable).unwrap();
        assert_close(&format!("{what}, gradient {i}"), a, b);
    }
}

/// The slope of `⟨f, r⟩` along a random direction against the gradients that autograd finds.
fn finite_differences(what: &str, variables: &[&Var], step: f64, f: impl Fn() -> Result<Tensor>) {
    let rng = &mut stream("finite differences");
    let y = f().unwrap();
    let r = random(rng, y.dims()).as_detached_tensor();
    let gradients = (&y * &r).unwrap().sum_all().unwrap().backward().unwrap();
    let loss = || numbers(&f().unwrap()).iter().zip(numbers(&r)).map(|(y, r)| y * r).sum::<f64>();
    for (i, variable) in variables.iter().enumerate() {
        let start = variable.as_detached_tensor().copy().unwrap();
        let direction = random(rng, variable.dims()).as_detached_tensor();
        let at = |by: f64| {
            variable.set(&(&start + (&direction * by).unwrap()).unwrap()).unwrap();
            loss()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        variable.set(&start).unwrap();
        let gradient = numbers(gradients.get(variable).unwrap());
        let expected: f64 = gradient.iter().zip(numbers(&direction)).map(|(g, d)| g * d).sum();
        let size: f64 = gradient.iter().zip(numbers(&direction)).map(|(g, d)| (g * d).abs()).sum();
        assert!((slope - expected).abs() <= 2e-3 * size, "{what} {i}: slope {slope}, gradient {expected}");
    }
}

#[test]
fn depthwise_equals_candles_grouped_convolution() {
    let rng = &mut stream("depthwise");
    for (k, shape) in [(3, [2, 3, 7, 6]), (5, [17, 2, 5, 9]), (3, [1, 1, 1, 1])] {
        let x = random(rng, &shape);
        let w = random(rng, &[shape[1], 1, k, k]);
        same_function(
            "depthwise",
            &[&x, &w],
            || depthwise_conv2d(&x, &w, 1),
            || x.conv2d(&w, k / 2, 1, 1, shape[1]),
        );
    }
}

/// Stride 2 on an even size pads behind only, which candle's symmetric padding cannot express by itself.
#[test]
fn strided_depthwise_pads_like_tensorflow() {
    let rng = &mut stream("strided");
    for (k, before, after) in [(3, 0, 1), (5, 1, 2)] {
        let x = random(rng, &[3, 2, 8, 6]);
        let w = random(rng, &[2, 1, k, k]);
        let candles = || {
            let padded = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
            padded.conv2d(&w, 0, 2, 1, 2)
        };
        same_function("strided", &[&x, &w], || depthwise_conv2d(&x, &w, 2), candles);
    }
}

#[test]
fn pointwise_equals_candles_convolution() {
    let rng = &mut stream("pointwise");
    for (n, c, outputs, h, w) in [(1, 1, 1, 1, 1), (17, 5, 3, 4, 6), (3, 20, 20, 5, 5)] {
        let x = random(rng, &[n, c, h, w]);
        let weight = random(rng, &[outputs, c, 1, 1]);
        same_function(
            "pointwise",
            &[&x, &weight],
            || pointwise_conv2d(&x, &weight),
            || x.conv2d(&weight, 0, 1, 1, 1),
        );
    }
}

#[test]
fn separable_equals_relu_and_two_convolutions() {
    let rng = &mut stream("separable");
    for k in [3, 5] {
        let x = random(rng, &[17, 4, 6, 7]);
        let d = random(rng, &[4, 1, k, k]);
        let p = random(rng, &[3, 4, 1, 1]);
        let candles = || x.relu()?.conv2d(&d, k / 2, 1, 1, 4)?.conv2d(&p, 0, 1, 1, 1);
        same_function("separable", &[&x, &d, &p], || separable_conv2d(&x, &d, &p, 1), candles);
    }
    let x = random(rng, &[2, 4, 7, 5]);
    let d = random(rng, &[4, 1, 3, 3]);
    let p = random(rng, &[3, 4, 1, 1]);
    let candles = || x.relu()?.conv2d(&d, 1, 2, 1, 4)?.conv2d(&p, 0, 1, 1, 1);
    same_function("strided separable", &[&x, &d, &p], || separable_conv2d(&x, &d, &p, 2), candles);
}

#[test]
fn batch_norm_equals_the_formula() {
    let rng = &mut stream("norm");
    for shape in [[2, 3, 4, 5], [33, 2, 3, 3]] {
        let x = random(rng, &shape);
        let gamma = random(rng, &[shape[1]]);
        let beta = random(rng, &[shape[1]]);
        let formula = || {
            let x = x.to_dtype(DType::F64)?;
            let channel = |v: &Var| v.to_dtype(DType::F64)?.reshape((1, shape[1], 1, 1));
            let mean = x.mean_keepdim((0, 2, 3))?;
            let centred = x.broadcast_sub(&mean)?;
            let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
            let normal = centred.broadcast_div(&(variance + f64::from(EPSILON))?.sqrt()?)?;
            normal.broadcast_mul(&channel(&gamma)?)?.broadcast_add(&channel(&beta)?)
        };
        same_function("norm", &[&x, &gamma, &beta], || Ok(batch_norm(&x, &gamma, &beta)?.0), formula);
        let (_, stats) = batch_norm(&x, &gamma, &beta).unwrap();
        let mean = Tensor::new(stats.mean, &Device::Cpu).unwrap();
        assert_close("mean", &mean, &x.mean((0, 2, 3)).unwrap());
        assert_eq!(stats.count, shape[0] * shape[2] * shape[3]);
    }
}

#[test]
fn pools_equal_candles_where_it_has_them() {
    let x = random(&mut stream("pool"), &[17, 3, 6, 9]);
    let pool = |kind| Pool2d { kind, k: 3, stride: 3, padding: Padding::Valid, relu: false };
    same_function("average", &[&x], || pool2d(&x, pool(PoolKind::Average)), || x.avg_pool2d(3));
    // Candle's gradient of a maximum comes out divided by the size of the window, so only values compare.
    let max = pool2d(&x, pool(PoolKind::Max)).unwrap();
    assert_close("max", &max, &x.max_pool2d(3).unwrap());
}

#[test]
fn factorised_reduction_equals_two_strided_convolutions() {
    let rng = &mut stream("reduction");
    for (h, w) in [(6, 8), (7, 5), (1, 1)] {
        let x = random(rng, &[17, 3, h, w]);
        let a = random(rng, &[2, 3, 1, 1]);
        let b = random(rng, &[4, 3, 1, 1]);
        let candles = || {
            let even = x.conv2d(&a, 0, 2, 1, 1)?;
            let shifted =
                x.pad_with_zeros(2, 0, 2)?.pad_with_zeros(3, 0, 2)?.narrow(2, 1, h)?.narrow(3, 1, w)?;
            Tensor::cat(&[even, shifted.conv2d(&b, 0, 2, 1, 1)?], 1)
        };
        same_function("reduction", &[&x, &a, &b], || factorized_reduction(&x, &a, &b), candles);
    }
}

#[test]
fn gradients_are_slopes() {
    let rng = &mut stream("slopes");
    let x = random(rng, &[3, 4, 5, 6]);
    let d = random(rng, &[4, 1, 5, 5]);
    let p = random(rng, &[3, 4, 1, 1]);
    let q = random(rng, &[2, 4, 1, 1]);
    let gamma = random(rng, &[4]);
    let beta = random(rng, &[4]);
    // Linear in each argument: a large step has no error but rounding.
    finite_differences("depthwise", &[&x, &d], 1.0, || depthwise_conv2d(&x, &d, 2));
    finite_differences("pointwise", &[&x, &p], 1.0, || pointwise_conv2d(&x, &p));
    finite_differences("reduction", &[&x, &p, &q], 1.0, || factorized_reduction(&x, &p, &q));
    finite_differences("separable", &[&d, &p], 1.0, || separable_conv2d(&x, &d, &p, 1));
    finite_differences("norm", &[&x, &gamma, &beta], 1e-2, || Ok(batch_norm(&x, &gamma, &beta)?.0));
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (k, stride, padding) in [(3, 1, Padding::Same), (3, 2, Padding::Same), (5, 3, Padding::Valid)] {
            // Small enough that no maximum changes hands.
            let pool = Pool2d { kind, k, stride, padding, relu: true };
            finite_differences(&format!("{pool:?}"), &[&x], 2e-4, || pool2d(&x, pool));
        }
    }
}

/// Tensors with strides and offsets, and a gradient that repeats one number.
#[test]
fn layout_does_not_matter() {
    let rng = &mut stream("layout");
    let wide = random(rng, &[2, 7, 6, 5]);
    let view = wide.narrow(1, 2, 4).unwrap().transpose(2, 3).unwrap();
    let plain = view.contiguous().unwrap();
    assert!(!view.is_contiguous());
    let filters = random(rng, &[3, 3, 1, 4]);
    let filter = filters.permute((3, 2, 0, 1)).unwrap();
    let weights = random(rng, &[4, 3, 1, 1]);
    let weight = weights.transpose(0, 1).unwrap();
    let pair = |f: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>| {
        let a = f(&view, &filter, &weight).unwrap();
        let b = f(&plain, &filter.contiguous().unwrap(), &weight.contiguous().unwrap()).unwrap();
        assert_eq!(numbers(&a), numbers(&b));
        let ga = a.sum_all().unwrap().backward().unwrap();
        let gb = b.sum_all().unwrap().backward().unwrap();
        for variable in [&wide, &filters, &weights] {
            assert_eq!(ga.get(variable).map(numbers), gb.get(variable).map(numbers));
        }
        // Through a transpose, the gradient that arrives has strides.
        let c = f(&plain, &filter, &weight).unwrap().transpose(2, 3).unwrap().contiguous().unwrap();
        let sum = (&c * random(&mut stream("r"), c.dims()).as_tensor()).unwrap().sum_all().unwrap();
        assert!(sum.backward().unwrap().get(&wide).is_some());
    };
    pair(&|x, f, _| depthwise_conv2d(x, f, 1));
    pair(&|x, _, w| pointwise_conv2d(x, w));
    pair(&|x, f, w| separable_conv2d(x, f, w, 2));
    pair(&|x, _, w| factorized_reduction(x, w, w));
    pair(&|x, _, _| {
        pool2d(x, Pool2d { kind: PoolKind::Max, k: 3, stride: 1, padding: Padding::Same, relu: false })
    });
    let ones = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
    pair(&|x, _, _| Ok(batch_norm(x, &ones, &ones)?.0));
}

#[test]
fn an_input_that_needs_no_gradient_gets_none() {
    let rng = &mut stream("images");
    let images = random(rng, &[2, 3, 4, 4]).as_detached_tensor();
    let weight = random(rng, &[5, 3, 1, 1]);
    let gradients = pointwise_conv2d(&images, &weight).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&images).is_none() && gradients.get(&weight).is_some());
}

#[test]
fn one_batch_norm_object_normalises_one_tensor() {
    let rng = &mut stream("object");
    let x = random(rng, &[2, 3, 4, 4]);
    let gamma = random(rng, &[3]);
    let op = BatchNorm::default();
    assert!(op.stats().is_none());
    x.apply_op3(&gamma, &gamma, op.clone()).unwrap();
    assert_eq!(op.stats().map(|m| m.count), Some(32));
    let error = x.apply_op3(&gamma, &gamma, op).unwrap_err().to_string();
    assert!(error.contains("one per call"), "{error}");
}

#[test]
fn errors_name_the_shapes() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let x = zeros(&[2, 3, 8, 8]);
    let same = |k, stride| Pool2d { kind: PoolKind::Max, k, stride, padding: Padding::Same, relu: false };
    let cases: Vec<(Result<Tensor>, &[&str])> = vec![
        (depthwise_conv2d(&x, &zeros(&[4, 1, 3, 3]), 1), &["filter is [4, 1, 3, 3]", "[3, 1, k, k]"]),
        (depthwise_conv2d(&x, &zeros(&[3, 1, 4, 4]), 1), &["[3, 1, 4, 4]", "k 3 or 5"]),
        (depthwise_conv2d(&x, &zeros(&[3, 1, 3, 5]), 1), &["[3, 1, 3, 5]"]),
        (depthwise_conv2d(&x, &zeros(&[3, 1, 3, 3]), 3), &["stride 3", "1 or 2"]),
        (depthwise_conv2d(&zeros(&[3, 8, 8]), &zeros(&[3, 1, 3, 3]), 1), &["x is [3, 8, 8]", "[n, c, h, w]"]),
        (depthwise_conv2d(&zeros(&[0, 3, 8, 8]), &zeros(&[3, 1, 3, 3]), 1), &["[0, 3, 8, 8]", "none empty"]),
        (pointwise_conv2d(&x, &zeros(&[5, 4, 1, 1])), &["weight is [5, 4, 1, 1]", "[outputs, 3, 1, 1]"]),
        (pointwise_conv2d(&x, &zeros(&[5, 3, 3, 3])), &["[5, 3, 3, 3]"]),
        (pointwise_conv2d(&x.to_dtype(DType::F64).unwrap(), &zeros(&[5, 3, 1, 1])), &["F64", "expected F32"]),
        (
            separable_conv2d(&x, &zeros(&[3, 1, 3, 3]), &zeros(&[2, 5, 1, 1]), 1),
            &["pointwise is [2, 5, 1, 1]"],
        ),
        (factorized_reduction(&x, &zeros(&[2, 3, 1, 1]), &zeros(&[2, 2, 1, 1])), &["odd is [2, 2, 1, 1]"]),
        (batch_norm(&x, &zeros(&[3]), &zeros(&[4])).map(|r| r.0), &["beta is [4]", "expected [3]"]),
        (pool2d(&x, Pool2d { padding: Padding::Valid, ..same(9, 1) }), &["9×9", "[2, 3, 8, 8]"]),
        (pool2d(&x, same(3, 0)), &["0 apart"]),
        (pool2d(&x, same(3, 4)), &["4 apart", "stride ≤ k"]),
    ];
    for (result, words) in cases {
        let error = result.unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error} should contain {words:?}");
    }
}
