//! Every operation launches grids that GPUs allow, from the smallest maps to the largest. Nothing is computed.
#![forbid(unsafe_code)]

use enas_kernels::gpu::{
    self, Buffer, CountingDevice, Gpu, GpuActivation, GpuConvBlock, GpuConvBlockGradient, GpuConvBranch,
    GpuFeatureMap, GpuIm2row, GpuTerm, Precision,
};
use enas_kernels::{Nesterov, Pool, PoolKind};

/// `(n, c, h, w)`; the largest has 822 million numbers.
const SHAPES: [(usize, usize, usize, usize); 8] = [
    (1, 8, 1, 1),
    (3, 8, 4, 4),
    (16, 1024, 224, 224),
    (128, 20, 32, 32),
    (4096, 8, 9, 5),
    (20_000, 2, 28, 28),
    (1, 1, 2000, 3000),
    (33, 160, 7, 1),
];

fn gpu() -> Gpu {
    Gpu::new(Box::new(CountingDevice::new()))
}

fn value(gpu: &Gpu, shape: (usize, usize, usize, usize)) -> GpuActivation {
    GpuActivation {
        map: GpuFeatureMap::zeros(gpu, Precision::F32, shape),
        affine: Some(gpu.zeros(2 * shape.1)),
    }
}

/// Forward and backward, with everything that is asked of a conv block in training.
fn conv_block(
    gpu: &Gpu,
    shape: (usize, usize, usize, usize),
    rows: GpuIm2row<'_>,
    k: usize,
    filters: Option<&Buffer>,
) {
    let outputs = shape.1.max(2);
    let weight = gpu.zeros(k * outputs);
    let d_weight = gpu.zeros(k * outputs);
    let gamma = gpu.zeros(outputs);
    let d_gamma = gpu.zeros(outputs);
    let inputs = [value(gpu, shape)];
    let branches = [GpuConvBranch { rows, weight: weight.span(0, k * outputs), outputs }];
    let conv_block = GpuConvBlock { inputs: &inputs, relu: true, branches: &branches };
    let (z, moments) = conv_block.forward(true);
    let moments = moments.expect("they were asked for");
    let gradient = GpuConvBlockGradient {
        gamma: Some(d_gamma.span(0, outputs)),
        beta: Some(d_gamma.span(0, outputs)),
        branches: vec![(d_weight.span(0, k * outputs), filters.map(|f| f.span(0, f_len(rows, shape.1))))],
    };
    let gy = GpuFeatureMap::zeros(gpu, Precision::F32, z.shape());
    conv_block.backward(&z, &moments, gamma.span(0, outputs), &gy, Some(&mut [None]), &gradient);
    gpu.finish().unwrap_or_else(|why| panic!("{shape:?} {rows:?}: {why}"));
}

fn f_len(rows: GpuIm2row<'_>, c: usize) -> usize {
    if let GpuIm2row::Depthwise { k, .. } = rows { k * k * c } else { 0 }
}

#[test]
fn convolutions_of_all_kinds() {
    let gpu = gpu();
    for shape in SHAPES {
        let (_, c, h, w) = shape;
        conv_block(&gpu, shape, GpuIm2row::Pixels, c, None);
        conv_block(&gpu, shape, GpuIm2row::EverySecond { offset: 1 }, c, None);
        for (k, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let filter = gpu.zeros(k * k * c);
            let rows = GpuIm2row::Depthwise { filter: filter.span(0, k * k * c), k, stride };
            conv_block(&gpu, shape, rows, c, Some(&filter));
        }
        // Nine rows per channel: the rows themselves must stay below 2^32 numbers.
        if c * h * w < 10_000_000 {
            conv_block(&gpu, shape, GpuIm2row::Patches { k: 3 }, 9 * c, None);
        }
    }
}

#[test]
fn pools_sums_and_means() {
    let gpu = gpu();
    for shape in SHAPES {
        let (n, c, h, w) = shape;
        let x = value(&gpu, shape);
        let factors = gpu.zeros(n);
        for kind in [PoolKind::Average, PoolKind::Max] {
            for (k, stride) in [(3, 1), (3, 2), (5, 3)] {
                let pool = Pool::same(kind, k, stride, h, w);
                let out = pool.forward_gpu(&x);
                pool.backward_gpu(&x, &GpuFeatureMap::zeros(&gpu, Precision::F32, out.shape()), &mut None);
            }
        }
        let term = GpuTerm { value: &x, factors: Some(&factors) };
        let sum = gpu::add(term, term);
        gpu::add_backward(&sum, Some(&factors), &mut Some(GpuFeatureMap::zeros(&gpu, Precision::F32, shape)));
        if c * h * w < 10_000_000 {
            let joined = gpu::concat(&[x.clone(), x.clone()]);
            gpu::concat_backward(&joined, &[x.clone(), x.clone()], &mut [None, None]);
        }
        let means = gpu::relu_mean(std::slice::from_ref(&x));
        gpu::relu_mean_backward(std::slice::from_ref(&x), &means, &mut [None]);
        gpu.finish().unwrap_or_else(|why| panic!("{shape:?}: {why}"));
    }
}

#[test]
fn classifiers_losses_factors_and_updates() {
    let gpu = gpu();
    for (n, c, classes) in [(1, 1, 2), (128, 160, 10), (1000, 2048, 1000), (4096, 512, 100_000)] {
        let (features, weight, labels) =
            (gpu.zeros(n * c), gpu.zeros(c * classes), gpu.upload_u32(&vec![0; n]));
        let weight = weight.span(0, c * classes);
        let logits = gpu::classifier_forward(&features, weight, n, c, classes);
        let stats = gpu.zeros(2);
        let class_weights = gpu.zeros(classes);
        let shape = (n, classes);
        let rule = gpu::GpuLossRule { class_weights: &class_weights, smoothing: 0.1 };
        let mix = Some((labels.clone(), gpu.zeros(n)));
        let targets = gpu::GpuTargets { labels, mix };
        let grad = gpu::cross_entropy(&logits, &targets, rule, shape, 1.0, stats.span(0, 2));
        gpu::classifier_backward(&features, weight, n, c, classes, &grad, Some(weight));
        gpu::drop_factors(&gpu, [0; 8], 0.9, n * c);
        gpu.finish().unwrap_or_else(|why| panic!("{n} {c} {classes}: {why}"));
    }
    for len in [1, 14_000_000, 500_000_000] {
        let weights = gpu::TensorList::new(&gpu, [(gpu.zeros(len), 0, len)]);
        let rule = Nesterov { lr: 0.1, momentum: 0.9, l2: 1e-4, scale: 1.0 };
        rule.step_gpu(&weights, &gpu.zeros(len), &gpu.zeros(len), 1.0, gpu.zeros(1).span(0, 1));
        gpu.finish().unwrap_or_else(|why| panic!("{len} weights: {why}"));
    }
}
