//! Every operation at the sizes of a CIFAR-10 network; throughput counts the bytes of maps that must move.
//!
//! `cargo bench -p enas-kernels -- depthwise` runs the benchmarks whose name contains a word.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc as SyncArc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use enas_kernels::{
    Activation, Affine, BatchStats, ConvBlock, ConvBranch, FeatureMap, Im2row, Nesterov, Pool, PoolKind,
    Term, add, add_backward, relu_mean, relu_mean_backward,
};
use enas_rng::Seed;

/// `(n, c, h, w)`.
type Shape = (usize, usize, usize, usize);

const SHAPES: [Shape; 4] = [(128, 20, 32, 32), (128, 40, 16, 16), (128, 80, 8, 8), (128, 160, 4, 4)];

fn numbers(len: usize) -> Vec<f32> {
    let mut rng = Seed::new(1).stream("bench", &[len as u64]);
    (0..len).map(|_| rng.range(-1.0, 1.0)).collect()
}

fn map((n, c, h, w): Shape) -> FeatureMap {
    FeatureMap::from_nchw(&numbers(n * c * h * w), n, c, h, w)
}

/// A value with a pending normalisation, as inside a network.
fn value(shape: Shape) -> Activation {
    let affine = Affine { scale: vec![0.9; shape.1], shift: vec![0.1; shape.1] };
    Activation { map: map(shape), affine: Some(SyncArc::new(affine)) }
}

/// One group of benchmarks, `body` adding those of one shape.
fn group(c: &mut Criterion, name: &str, body: impl Fn(&mut BenchmarkGroup<'_, WallTime>, Shape)) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for shape in SHAPES {
        body(&mut group, shape);
    }
    group.finish();
}

/// Measures `run`, which moves `maps` maps of `shape`.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    what: &str,
    shape: Shape,
    maps: f64,
    mut run: impl FnMut(),
) {
    let (n, c, h, w) = shape;
    group.throughput(Throughput::Bytes((maps * (4 * n * c * h * w) as f64) as u64));
    group.bench_function(BenchmarkId::new(what, format!("{n}x{c}x{h}x{w}")), |b| b.iter(&mut run));
}

/// A conv block with as many outputs as inputs, forward and backward.
fn conv_block(c: &mut Criterion, name: &str, stride: usize, branches_of: impl Fn(usize) -> Vec<Kind>) {
    group(c, name, |group, shape| {
        let kinds = branches_of(shape.1);
        let branches: Vec<ConvBranch> = kinds.iter().map(Kind::branch).collect();
        let inputs = [value(shape)];
        let conv_block = ConvBlock { inputs: &inputs, relu: true, branches: &branches };
        let (z, moments) = conv_block.forward(true);
        let moments = moments.expect("asked for");
        let gamma = vec![1.0; z.c()];
        let gy = map(z.shape());
        // Reads the input and writes the output; backwards, reads three maps and writes one.
        let output = 1.0 / (stride * stride) as f64;
        measure(group, "forward", shape, 1.0 + output, || {
            black_box(conv_block.forward(true));
        });
        measure(group, "backward", shape, 2.0 + 2.0 * output, || {
            black_box(conv_block.backward(&z, &moments, &gamma, &gy, Some(&mut [None])));
        });
    });
}

/// Rows and the numbers they need.
struct Kind {
    taps: usize,
    stride: usize,
    offset: Option<usize>,
    filter: Vec<f32>,
    weight: Vec<f32>,
    outputs: usize,
}

impl Kind {
    fn new(taps: usize, stride: usize, offset: Option<usize>, channels: usize, outputs: usize) -> Self {
        let filter = numbers(taps * taps * channels);
        Self { taps, stride, offset, filter, weight: numbers(channels * outputs), outputs }
    }

    fn branch(&self) -> ConvBranch<'_> {
        let rows = match (self.offset, self.taps) {
            (Some(offset), _) => Im2row::EverySecond { offset },
            (None, 1) => Im2row::Pixels,
            (None, k) => Im2row::Depthwise { filter: &self.filter, k, stride: self.stride },
        };
        ConvBranch { rows, weight: &self.weight, outputs: self.outputs }
    }
}

fn conv_blocks(c: &mut Criterion) {
    conv_block(c, "conv 1x1", 1, |channels| vec![Kind::new(1, 1, None, channels, channels)]);
    conv_block(c, "factorised reduction", 2, |channels| {
        [0, 1].map(|offset| Kind::new(1, 2, Some(offset), channels, channels / 2)).into()
    });
    for k in [3, 5] {
        for stride in [1, 2] {
            let name = format!("separable {k}x{k} stride {stride}");
            conv_block(c, &name, stride, |channels| vec![Kind::new(k, stride, None, channels, channels)]);
        }
    }
}

fn pools(c: &mut Criterion) {
    for (kind, name) in [(PoolKind::Average, "average pool"), (PoolKind::Max, "max pool")] {
        for stride in [1, 2] {
            group(c, &format!("{name} 3x3 stride {stride}"), |group, shape| {
                let pool = Pool::same(kind, 3, stride, shape.2, shape.3);
                let input = value(shape);
                let grad = map((shape.0, shape.1, pool.y.out, pool.x.out));
                let output = 1.0 / (stride * stride) as f64;
                measure(group, "forward", shape, 1.0 + output, || {
                    black_box(pool.forward(&input));
                });
                measure(group, "backward", shape, 2.0 + output, || {
                    let mut gradient = None;
                    pool.backward(&input, &grad, &mut gradient);
                    black_box(gradient);
                });
            });
        }
    }
}

fn elementwise(c: &mut Criterion) {
    group(c, "add", |group, shape| {
        let a = value(shape);
        let b = value(shape);
        let grad = map(shape);
        measure(group, "forward", shape, 3.0, || {
            black_box(add(Term { value: &a, factors: None }, Term { value: &b, factors: None }));
        });
        let mut gradient = Some(FeatureMap::zeros(shape.0, shape.1, shape.2, shape.3));
        measure(group, "backward", shape, 3.0, || add_backward(&grad, None, &mut gradient));
    });
    group(c, "relu mean", |group, shape| {
        let values = [value(shape)];
        let grad = numbers(shape.0 * shape.1);
        measure(group, "forward", shape, 1.0, || {
            black_box(relu_mean(&values));
        });
        measure(group, "backward", shape, 2.0, || {
            let mut gradients = [None];
            relu_mean_backward(&values, &grad, &mut gradients);
            black_box(gradients);
        });
    });
    group(c, "moments", |group, shape| {
        let z = map(shape);
        measure(group, "forward", shape, 1.0, || {
            black_box(BatchStats::of(&z));
        });
    });
}

/// As many weights as the shared weights of a small search network.
fn optimisers(c: &mut Criterion) {
    const WEIGHTS: usize = 5_000_000;
    let mut group = c.benchmark_group("optimiser");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Bytes(20 * WEIGHTS as u64));
    let mut w = numbers(WEIGHTS);
    let mut momentum = vec![0.0; WEIGHTS];
    let gradient = numbers(WEIGHTS);
    let nesterov = Nesterov { lr: 1e-3, momentum: 0.9, l2: 1e-4, scale: 1.0 };
    group.bench_function("nesterov", |b| b.iter(|| nesterov.step(&mut w, &mut momentum, Some(&gradient))));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    conv_blocks(&mut criterion);
    pools(&mut criterion);
    elementwise(&mut criterion);
    optimisers(&mut criterion);
    criterion.final_summary();
}
