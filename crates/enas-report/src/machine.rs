//! Inference speed of a network on this machine. Only this part differs between two reports of the same run.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use enas_child::{FixedNetwork, InputShape};

/// Images per measured step, besides single ones.
pub(crate) const BATCH: usize = 64;
/// Images that are computed together; a single one can take as long.
const GROUP: usize = 16;
/// Images that are predicted to measure the speed of a network, at least: two steps of each kind, in which a single image
/// counts as a group.
pub const TIMED_IMAGES: usize = 2 * (BATCH + GROUP);
/// Images of a first forward pass that tells whether there is time for a measurement.
const PROBE: usize = 8;
/// The share of the remaining time that a measurement may take.
const SHARE: f64 = 0.8;
/// No further step is measured after this time, nor after [`MOST_STEPS`] steps.
const PATIENCE: Duration = Duration::from_millis(200);
const MOST_STEPS: usize = 100;
/// Maximum number of values in a feature map: 1 GiB of `f32`. Networks beyond that are not measured, as a manipulated
/// model file could exhaust the memory.
const LARGEST_MAP: usize = 1 << 28;

/// How fast a fixed network predicts on the CPU, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InferenceSpeed {
    /// The latency of a single image, median.
    pub(crate) single: f64,
    /// The latency that 95 of 100 single images do not exceed.
    pub(crate) single_p95: f64,
    /// The time per image in batches of [`BATCH`], median.
    pub(crate) batched: f64,
}

impl InferenceSpeed {
    /// Measures a network with single images, then with batches.
    ///
    /// `None` if the network cannot be run, for example with shared weights, or if it is too large.
    pub(crate) fn measure(network: &dyn FixedNetwork) -> Option<Self> {
        let single = step_times(network, 1)?;
        let batches = step_times(network, BATCH)?;
        Some(Self {
            single: quantile(&single, 0.5),
            single_p95: quantile(&single, 0.95),
            batched: quantile(&batches, 0.5) / BATCH as f64,
        })
    }
}

/// The times of some forward passes of `n` images, in seconds, ascending.
fn step_times(network: &dyn FixedNetwork, n: usize) -> Option<Vec<f64>> {
    let images = images(network, n)?;
    let step = || network.infer(&images).ok();
    // Warm-up: the first step allocates memory from the operating system.
    step()?;
    let began = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < MOST_STEPS && began.elapsed() < PATIENCE) {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Some(times)
}

/// The smallest of the ascending values that at least the fraction `q` of them does not exceed.
fn quantile(ascending: &[f64], q: f64) -> f64 {
    let place = (q * ascending.len() as f64).ceil() as usize;
    ascending[place.clamp(1, ascending.len()) - 1]
}

/// Whether [`InferenceSpeed::measure`] can be expected to end within the seconds that are `left`; `None` means no limit.
pub(crate) fn has_time(network: &dyn FixedNetwork, left: Option<f64>) -> bool {
    let Some(left) = left else { return true };
    if left <= 0.0 {
        return false;
    }
    // A network that cannot be run takes no time.
    let Some(images) = images(network, PROBE) else { return true };
    let began = Instant::now();
    if network.infer(&images).is_err() {
        return true;
    }
    let needed = began.elapsed().as_secs_f64() * (TIMED_IMAGES / PROBE) as f64;
    needed <= SHARE * left
}

/// `n` grey images for a network; `None` if it is too large to be run.
fn images(network: &dyn FixedNetwork, n: usize) -> Option<Tensor> {
    let InputShape { channels, height, width } = network.input();
    if largest_map(network)? > LARGEST_MAP || n * channels * height * width > LARGEST_MAP {
        return None;
    }
    Tensor::full(0.5f32, (n, channels, height, width), &Device::Cpu).ok()
}

/// Number of values in the network's largest feature map, for the sixteen images that are computed together. `None`
/// for a network with shared weights.
fn largest_map(network: &dyn FixedNetwork) -> Option<usize> {
    let parts = network.parts().ok()?;
    parts.parts().map(|part| 16 * part.channels * part.height * part.width).max()
}

/// The name of the processor and the number of threads in use.
pub(crate) fn name() -> String {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "" } else { "s" };
    format!("{}, {threads}\u{a0}thread{plural}", processor())
}

/// The model name of the processor; its architecture if the system does not provide one.
fn processor() -> String {
    let list = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = list.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    named.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.95, 1.0].map(|q| quantile(&times, q)), [1.0, 50.0, 95.0, 100.0]);
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }
}
