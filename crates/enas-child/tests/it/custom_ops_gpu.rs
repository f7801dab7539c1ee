//! The custom ops of `enas-kernels` as they are computed on a GPU, against the same on the CPU: results, and gradients
//! through candle's autograd. Here, because the emulated GPU stands on `enas-kernels` and is without tensors.

use candle_core::{Device, Tensor, Var};
use enas_kernels::PoolKind;
use enas_kernels::custom_ops::*;
use enas_kernels::gpu::{Buffer, Gpu};
use enas_rng::{Seed, Stream};
use enas_testing::gpus;
use enas_testing::numbers::{Tolerance, assert_close};
use enas_testing::tensors::flat;

/// Variables on the CPU, of numbers in steps of a quarter: maxima often come twice.
fn random(rng: &mut Stream, shapes: &[&[usize]]) -> Vec<Var> {
    let number = |rng: &mut Stream| (4.0 * rng.range(-1.0, 1.0)).round() / 4.0;
    let var = |shape: &&[usize]| {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| number(rng)).collect();
        Var::from_vec(numbers, *shape, &Device::Cpu).expect("as many numbers as the shape has")
    };
    shapes.iter().map(var).collect()
}

fn assert_agrees(what: &str, got: &Buffer, want: &Tensor) {
    let want = flat(want);
    let got = got.download(0, want.len()).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_close(what, &got, &want, Tolerance { share: 1e-5, least: 1e-3 });
}

/// Compares `on_gpu` with the result and the gradients of `on_cpu`.
fn check(what: &str, vars: &[Var], on_gpu: &impl GpuOp, on_cpu: impl Fn(&[Var]) -> Tensor) {
    let gpu = gpus::emulated(1);
    let sent = |tensor: &Tensor| gpu.upload(&flat(tensor));
    let y = on_cpu(vars);
    let direction = &random(&mut Seed::new(2).stream("direction", &[]), &[y.dims()])[0];
    let loss = (&y * direction.as_tensor()).and_then(|pulled| pulled.sum_all()).expect("a loss");
    let gradients = loss.backward().expect("every op has gradients");

    let buffers: Vec<Buffer> = vars.iter().map(|var| sent(var)).collect();
    let args: Vec<GpuArgument<'_>> =
        buffers.iter().zip(vars).map(|(numbers, var)| GpuArgument { numbers, dims: var.dims() }).collect();
    let (result, shape) = on_gpu.forward_gpu(&args).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(shape.dims(), y.dims(), "{what}");
    assert_agrees(what, &result, &y);
    let grad = sent(direction);
    let grad = GpuArgument { numbers: &grad, dims: y.dims() };
    let of_all = on_gpu.backward_gpu(&args, grad, true).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(of_all.len(), vars.len(), "{what}: a gradient for every argument");
    for (i, (gradient, var)) in of_all.iter().zip(vars).enumerate() {
        let gradient = gradient.as_ref().unwrap_or_else(|| panic!("{what}: gradient {i} is missing"));
        let want = gradients.get(var).unwrap_or_else(|| panic!("{what}: candle has no gradient {i}"));
        assert_agrees(&format!("{what}, gradient {i}"), gradient, want);
    }
    let rest = on_gpu.backward_gpu(&args, grad, false).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert!(rest[0].is_none() && rest[1..].iter().all(Option::is_some), "{what}: all but the first");
}

/// Arguments of candle's as they stand in a list.
fn tensors<const N: usize>(vars: &[Var]) -> [&Tensor; N] {
    std::array::from_fn(|i| vars[i].as_tensor())
}

#[test]
fn depthwise_convolutions() {
    let rng = &mut Seed::new(1).stream("depthwise", &[]);
    for (shape, k, stride) in
        [([2, 3, 7, 6], 3, 1), ([17, 2, 5, 9], 5, 1), ([3, 4, 8, 8], 3, 2), ([1, 1, 5, 7], 5, 2)]
    {
        let vars = random(rng, &[&shape, &[shape[1], 1, k, k]]);
        check("depthwise", &vars, &DepthwiseConv2d { stride }, |vars| {
            let [x, w] = tensors(vars);
            depthwise_conv2d(x, w, stride).expect("it fits")
        });
    }
}

#[test]
fn pointwise_convolutions() {
    let rng = &mut Seed::new(1).stream("pointwise", &[]);
    for (shape, outputs) in [([2, 3, 4, 5], 7), ([17, 20, 3, 3], 40), ([1, 1, 1, 1], 1)] {
        let vars = random(rng, &[&shape, &[outputs, shape[1], 1, 1]]);
        check("pointwise", &vars, &PointwiseConv2d, |vars| {
            let [x, w] = tensors(vars);
            pointwise_conv2d(x, w).expect("it fits")
        });
    }
}

#[test]
fn separable_convolutions() {
    let rng = &mut Seed::new(1).stream("separable", &[]);
    for (shape, k, stride, outputs) in [([2, 3, 7, 6], 3, 1, 4), ([17, 5, 6, 6], 5, 2, 3)] {
        let vars = random(rng, &[&shape, &[shape[1], 1, k, k], &[outputs, shape[1], 1, 1]]);
        check("separable", &vars, &SeparableConv2d { stride }, |vars| {
            let [x, depthwise, pointwise] = tensors(vars);
            separable_conv2d(x, depthwise, pointwise, stride).expect("it fits")
        });
    }
}

#[test]
fn factorized_reductions() {
    let rng = &mut Seed::new(1).stream("reduction", &[]);
    for shape in [[2, 3, 8, 8], [17, 4, 5, 7]] {
        let vars = random(rng, &[&shape, &[2, shape[1], 1, 1], &[3, shape[1], 1, 1]]);
        check("factorised reduction", &vars, &FactorizedReduction, |vars| {
            let [x, even, padded_stride] = tensors(vars);
            factorized_reduction(x, even, padded_stride).expect("it fits")
        });
    }
}

#[test]
fn pools() {
    let rng = &mut Seed::new(1).stream("pools", &[]);
    let valid = Pool2d { kind: PoolKind::Average, k: 5, stride: 3, padding: Padding::Valid, relu: true };
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (stride, relu) in [(1, false), (2, true)] {
            let same = Pool2d { kind, k: 3, stride, padding: Padding::Same, relu };
            for pool in [same, Pool2d { kind, ..valid }] {
                let vars = random(rng, &[&[17, 2, 7, 6]]);
                check("pool", &vars, &pool, |vars| pool2d(&vars[0], pool).expect("it fits"));
            }
        }
    }
}

#[test]
fn batch_norms() {
    let rng = &mut Seed::new(1).stream("batch norm", &[]);
    for shape in [[2, 3, 4, 5], [17, 40, 3, 3]] {
        let vars = random(rng, &[&shape, &[shape[1]], &[shape[1]]]);
        let op = BatchNorm::default();
        check("batch norm", &vars, &op, |vars| {
            let [x, gamma, beta] = tensors(vars);
            batch_norm(x, gamma, beta).expect("it fits").0
        });
        let stats = op.stats().expect("it has normalised a tensor");
        let mean = vars[0].mean((0, 2, 3)).expect("means");
        assert_agrees("means", &gpus::emulated(0).upload(&stats.mean), &mean);
    }
}

#[test]
fn wrong_arguments_are_named() {
    let gpu: Gpu = gpus::emulated(0);
    let zeros = gpu.zeros(1000);
    let arg = |dims: &'static [usize]| GpuArgument { numbers: &zeros, dims };
    let refused = |op: &dyn Fn() -> candle_core::Result<()>, wanted: &str| {
        let error = op().expect_err("it does not fit").to_string();
        assert!(error.contains(wanted), "{error}");
    };
    let x = arg(&[2, 3, 4, 5]);
    refused(&|| PointwiseConv2d.forward_gpu(&[x, arg(&[4, 2, 1, 1])]).map(drop), "[outputs, 3, 1, 1]");
    refused(&|| PointwiseConv2d.forward_gpu(&[arg(&[2, 3]), x]).map(drop), "expected [n, c, h, w]");
    let depthwise = DepthwiseConv2d { stride: 3 };
    refused(&|| depthwise.forward_gpu(&[x, arg(&[3, 1, 3, 3])]).map(drop), "stride 3");
    refused(&|| BatchNorm::default().forward_gpu(&[x, arg(&[4]), arg(&[3])]).map(drop), "gamma is [4]");
}
