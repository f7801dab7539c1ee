//! The operations that are no convolution units, on the emulated GPU: each against its twin on the CPU, or against
//! plain loops.

mod elementwise;
mod head;
mod noise;
mod optim;
mod pictures;
mod pool;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc as SyncArc;

use enas_kernels::gpu::{Gpu, GpuMap, GpuValue};
use enas_kernels::{Affine, Map, Value};

/// Orders of threads; zero is the natural one.
const ORDERS: [u64; 3] = [0, 1, 7];

/// The results of `run`, which must be the same to the bit in every order of threads, and the same but for rounding on
/// a real GPU.
fn in_all_orders(what: &str, run: impl Fn(&Gpu) -> Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let bits = |results: &[Vec<f32>]| -> Vec<Vec<u32>> {
        results.iter().map(|numbers| numbers.iter().map(|x| x.to_bits()).collect()).collect()
    };
    let results = ORDERS.map(|order| run(&support::gpu(order)));
    for (order, result) in ORDERS.iter().zip(&results) {
        assert!(bits(result) == bits(&results[0]), "{what}: order {order} gives other bytes");
    }
    let [first, ..] = results;
    if let Some(gpu) = support::real() {
        let real = run(&gpu);
        assert_eq!(real.len(), first.len(), "{what}: as many results on {}", gpu.name());
        for (i, (got, want)) in real.iter().zip(&first).enumerate() {
            assert_close(&format!("{what}: result {i} on {}", gpu.name()), got, want);
        }
        assert!(bits(&run(&gpu)) == bits(&real), "{what}: {} does not repeat itself", gpu.name());
    }
    first
}

/// Numbers between −1 and 1, the same for the same seed.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut stream = enas_rng::Seed::new(seed).stream("numbers", &[]);
    (0..len).map(|_| stream.range(-1.0, 1.0)).collect()
}

/// Fails unless all numbers agree to 1e-5 of the largest; where none is wanted, there must be none.
fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: as many numbers as wanted");
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let agree = (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-5 * largest;
        assert!(agree, "{what}: number {i} is {got}, not {want}");
    }
}

/// `(n, c, h, w)`.
type Shape = (usize, usize, usize, usize);

fn len((n, c, h, w): Shape) -> usize {
    n * c * h * w
}

/// A value for both sides.
struct Twin {
    shape: Shape,
    raw: Vec<f32>,
    /// Factors, then summands.
    affine: Option<Vec<f32>>,
}

impl Twin {
    /// Numbers in steps of a quarter: maxima often come twice.
    fn new(seed: u64, shape: Shape, affine: bool) -> Self {
        let raw = numbers(seed, len(shape)).into_iter().map(|x| (4.0 * x).round() / 4.0).collect();
        Self { shape, raw, affine: affine.then(|| numbers(seed + 1, 2 * shape.1)) }
    }

    fn cpu(&self) -> Value {
        let affine = self.affine.as_ref().map(|affine| {
            let (scale, shift) = affine.split_at(self.shape.1);
            SyncArc::new(Affine { scale: scale.to_vec(), shift: shift.to_vec() })
        });
        Value { map: cpu_map(&self.raw, self.shape), affine }
    }

    fn gpu(&self, gpu: &Gpu) -> GpuValue {
        let affine = self.affine.as_ref().map(|affine| gpu.upload(affine));
        GpuValue { map: gpu_map(gpu, &self.raw, self.shape), affine }
    }
}

fn cpu_map(numbers: &[f32], (n, c, h, w): Shape) -> Map {
    Map::from_nchw(numbers, n, c, h, w)
}

fn gpu_map(gpu: &Gpu, numbers: &[f32], shape: Shape) -> GpuMap {
    GpuMap::from_pictures(gpu, &gpu.upload(numbers), shape)
}

fn download(map: &GpuMap) -> Vec<f32> {
    GpuValue::plain(map.clone()).to_nchw().expect("the kernels run")
}

/// What a gradient starts from: `None`, or some numbers.
fn start(seed: u64, shape: Shape, accumulate: bool) -> Option<Vec<f32>> {
    accumulate.then(|| numbers(seed, len(shape)))
}
