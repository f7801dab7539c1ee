//! The operations that are no convolution blocks, on the emulated GPU: each against its twin on the CPU, or against
//! plain loops. Operations on maps run for either precision of maps.
#![forbid(unsafe_code)]

mod elementwise;
mod head;
mod images;
mod noise;
mod optim;
mod pool;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc as SyncArc;

use enas_kernels::gpu::{Gpu, GpuActivation, GpuFeatureMap, Precision};
use enas_kernels::{Activation, Affine, FeatureMap};
use enas_testing::gpus;
use enas_testing::numbers::{bits, uniform};

/// Orders of threads; zero is the natural one.
const ORDERS: [u64; 3] = [0, 1, 7];

/// The results of `run`, which must be the same to the bit in every order of threads, and the same but for rounding on
/// a real GPU.
fn in_all_orders(what: &str, run: impl Fn(&Gpu) -> Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    in_orders(&ORDERS, Precision::F32, what, run)
}

/// The same for an operation on maps.
fn on_maps(precision: Precision, what: &str, run: impl Fn(&Gpu) -> Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    in_orders(&support::orders(precision), precision, &format!("{what}, {precision:?}"), run)
}

fn in_orders(
    orders: &[u64],
    precision: Precision,
    what: &str,
    run: impl Fn(&Gpu) -> Vec<Vec<f32>>,
) -> Vec<Vec<f32>> {
    let all_bits = |results: &[Vec<f32>]| -> Vec<Vec<u32>> { results.iter().map(|one| bits(one)).collect() };
    let first = run(&gpus::emulated(orders[0]));
    for order in &orders[1..] {
        assert!(
            all_bits(&run(&gpus::emulated(*order))) == all_bits(&first),
            "{what}: order {order} gives other bytes"
        );
    }
    if let Some(gpu) = gpus::real() {
        let real = run(&gpu);
        assert_eq!(real.len(), first.len(), "{what}: as many results on {}", gpu.name());
        for (i, (got, want)) in real.iter().zip(&first).enumerate() {
            // Numbers that differ in their last bits may be rounded in different directions.
            let share = 2.0 * support::rounding(precision);
            assert_within(&format!("{what}: result {i} on {}", gpu.name()), got, want, share);
        }
        assert!(all_bits(&run(&gpu)) == all_bits(&real), "{what}: {} does not repeat itself", gpu.name());
    }
    first
}

/// Numbers between −1 and 1, the same for the same seed.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    uniform(&mut enas_rng::Seed::new(seed).stream("numbers", &[]), len)
}

/// Numbers between −1 and 1 that a map can hold, the same for the same seed.
fn map_numbers(precision: Precision, seed: u64, len: usize) -> Vec<f32> {
    support::stored(precision, numbers(seed, len))
}

/// Fails unless all numbers agree to 1e-5 of the largest; where none is wanted, there must be none.
fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_within(what, got, want, 0.0);
}

/// The same for the numbers of a map, which were computed from what is the same on both sides and then stored, once.
fn assert_stored(precision: Precision, what: &str, got: &[f32], want: &[f32]) {
    assert_within(&format!("{what}, {precision:?}"), got, want, support::rounding(precision));
}

/// The same, where numbers may also differ by `share` of their own.
fn assert_within(what: &str, got: &[f32], want: &[f32], share: f32) {
    assert_eq!(got.len(), want.len(), "{what}: as many numbers as wanted");
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let agree =
            (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-5 * largest + share * want.abs();
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
    precision: Precision,
    shape: Shape,
    raw: Vec<f32>,
    /// Factors, then summands.
    affine: Option<Vec<f32>>,
}

impl Twin {
    /// Numbers in steps of a quarter: maxima often come twice, and every map can hold them.
    fn new(precision: Precision, seed: u64, shape: Shape, affine: bool) -> Self {
        let raw = numbers(seed, len(shape)).into_iter().map(|x| (4.0 * x).round() / 4.0).collect();
        Self { precision, shape, raw, affine: affine.then(|| numbers(seed + 1, 2 * shape.1)) }
    }

    fn cpu(&self) -> Activation {
        let affine = self.affine.as_ref().map(|affine| {
            let (scale, shift) = affine.split_at(self.shape.1);
            SyncArc::new(Affine { scale: scale.to_vec(), shift: shift.to_vec() })
        });
        Activation { map: cpu_map(&self.raw, self.shape), affine }
    }

    fn gpu(&self, gpu: &Gpu) -> GpuActivation {
        let affine = self.affine.as_ref().map(|affine| gpu.upload(affine));
        GpuActivation { map: gpu_map(gpu, self.precision, &self.raw, self.shape), affine }
    }
}

fn cpu_map(numbers: &[f32], (n, c, h, w): Shape) -> FeatureMap {
    FeatureMap::from_nchw(numbers, n, c, h, w)
}

fn gpu_map(gpu: &Gpu, precision: Precision, numbers: &[f32], shape: Shape) -> GpuFeatureMap {
    GpuFeatureMap::from_images(&gpu.upload(numbers), precision, shape)
}

fn download(map: &GpuFeatureMap) -> Vec<f32> {
    GpuActivation::plain(map.clone()).to_nchw().expect("the kernels run")
}

/// What a gradient starts from: `None`, or some numbers.
fn start(precision: Precision, seed: u64, shape: Shape, accumulate: bool) -> Option<Vec<f32>> {
    accumulate.then(|| map_numbers(precision, seed, len(shape)))
}
