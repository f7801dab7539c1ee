//! `enas bench --model`: latency of a model for one image, and throughput in batches.

use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use enas_rng::Seed;
use enas_search::Model;
use serde::Serialize;

use super::args::Bench;
use super::measured::{peak_rss_mb, rounded};
use crate::commands::{Context, use_threads};
use crate::failure::{SUCCESS, usage};
use crate::output::visible;
use crate::{device, locate};

/// Batch size for the throughput.
const BATCH: usize = 64;
/// Minimum and maximum number of measured repetitions.
const REPETITIONS: (usize, usize) = (20, 1000);
/// Seconds of measurement for single images, and again for batches, within these bounds.
const SECONDS: f64 = 2.0;

/// Runs `enas bench --model` and `enas bench --run`.
///
/// # Errors
/// A usage error if neither a model nor a mode is given; an error if the model cannot be read.
pub(super) fn run(context: &Context, args: &Bench) -> Result<u8> {
    if args.place.model.is_none() && args.place.run.is_none() {
        return Err(usage("nothing to time: --model <FILE>, --run <DIR>, or --mode <MODE> for single steps"));
    }
    use_threads(args.threads)?;
    let path = locate::model(&args.place, None)?;
    let mut model = Model::load(&path)?;
    if let Some(gpu) = device::gpu(args.device)? {
        model.use_gpu(&gpu)?;
    }
    let times = |n| repeated(&model, n, &Repeat { seed: args.seed, warmup: args.warmup, seconds: SECONDS });
    let mut single = times(1)?;
    single.sort_by(f64::total_cmp);
    let mut batches = times(BATCH)?;
    batches.sort_by(f64::total_cmp);
    let line = Line {
        mode: "model",
        model: path.display().to_string(),
        p50_ms: rounded(quantile(&single, 0.5)),
        p95_ms: rounded(quantile(&single, 0.95)),
        median_ms: rounded(quantile(&single, 0.5)),
        min_ms: rounded(single[0]),
        images_per_second: rounded(1e3 * BATCH as f64 / quantile(&batches, 0.5)),
        batch: BATCH,
        threads: rayon::current_num_threads(),
        params: model.n_params(),
        macs: model.macs()?,
        peak_rss_mb: peak_rss_mb(),
    };
    context.console.note(&format!(
        "{}: {} ms for one image, {} ms in 95 of 100 cases; {} images/s in batches of {BATCH}",
        visible(&path),
        line.p50_ms,
        line.p95_ms,
        line.images_per_second.round()
    ));
    context.out.print_line(&line)?;
    Ok(SUCCESS)
}

/// The median latency of a model for one image, in milliseconds.
///
/// # Errors
/// If the computation fails.
pub(crate) fn of_one_image(model: &Model) -> Result<f64> {
    let mut ms = repeated(model, 1, &Repeat { seed: 1, warmup: 3, seconds: SECONDS / 4.0 })?;
    ms.sort_by(f64::total_cmp);
    Ok(rounded(quantile(&ms, 0.5)))
}

/// The parameters of a measurement.
struct Repeat {
    /// Seed of the images, which are noise.
    seed: u64,
    /// Number of repetitions before the measured ones.
    warmup: usize,
    /// Duration of the measurement in seconds, within the bounds of [`REPETITIONS`].
    seconds: f64,
}

/// Measures repeatedly the time of a forward pass for `n` images. Returns the times in milliseconds.
fn repeated(model: &Model, n: usize, repeat: &Repeat) -> Result<Vec<f64>> {
    let input = model.input();
    let mut stream = Seed::new(repeat.seed).stream("bench-images", &[]);
    let len = n * input.channels * input.height * input.width;
    let images: Vec<f32> = (0..len).map(|_| stream.normal()).collect();
    let images = Tensor::from_vec(images, (n, input.channels, input.height, input.width), &Device::Cpu)?;
    for _ in 0..repeat.warmup.max(1) {
        model.probabilities(&images)?;
    }
    let began = Instant::now();
    let mut ms = Vec::new();
    while ms.len() < REPETITIONS.0
        || (ms.len() < REPETITIONS.1 && began.elapsed().as_secs_f64() < repeat.seconds)
    {
        let start = Instant::now();
        std::hint::black_box(model.probabilities(&images)?);
        ms.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(ms)
}

/// The `q`-quantile of sorted values: the smallest value that at least the fraction `q` of them does not exceed.
fn quantile(rising: &[f64], q: f64) -> f64 {
    let place = (q * rising.len() as f64).ceil() as usize;
    rising[place.clamp(1, rising.len()) - 1]
}

/// The JSON line. Its keys are part of the interface.
#[derive(Serialize)]
struct Line {
    mode: &'static str,
    model: String,
    /// Median and 95th percentile of the latency of one image.
    p50_ms: f64,
    p95_ms: f64,
    /// The same as `p50_ms`, under the name of the other modes.
    median_ms: f64,
    min_ms: f64,
    /// Throughput in batches of `batch` images.
    images_per_second: f64,
    batch: usize,
    threads: usize,
    params: usize,
    macs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_mb: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let rising: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (quantile(&rising, 0.5), quantile(&rising, 0.95), quantile(&rising, 1.0)),
            (10.0, 19.0, 20.0)
        );
        assert_eq!(quantile(&[3.0], 0.5), 3.0);
    }
}
