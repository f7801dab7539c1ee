//! Inference speed of a network on this machine. Only this part differs between two reports of the same run.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use enas_child::{FixedNetwork, InputShape};

/// Images per measured step.
pub(crate) const BATCH: usize = 64;
/// Images that are predicted to measure the speed of a network, at least: two steps.
pub const TIMED_IMAGES: usize = 2 * BATCH;
/// Images of a first forward pass that tells whether there is time for a measurement.
const PROBE: usize = 8;
/// The share of the remaining time that a measurement may take.
const SHARE: f64 = 0.8;
/// No further step is measured after this time, nor after [`MOST_STEPS`] steps.
const PATIENCE: Duration = Duration::from_millis(250);
const MOST_STEPS: usize = 25;
/// Maximum number of values in a feature map: 1 GiB of `f32`. Networks beyond that are not measured, as a manipulated
/// model file could exhaust the memory.
const LARGEST_MAP: usize = 1 << 28;

/// Seconds per image for inference of a fixed network on the CPU: the median over some steps of [`BATCH`] images.
///
/// `None` if the network cannot be run, for example with shared weights, or if it is too large.
pub(crate) fn seconds_per_image(network: &dyn FixedNetwork) -> Option<f64> {
    let images = images(network, BATCH)?;
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
    Some(times[times.len() / 2] / BATCH as f64)
}

/// Whether [`seconds_per_image`] can be expected to end within the seconds that are `left`; `None` means no limit.
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
