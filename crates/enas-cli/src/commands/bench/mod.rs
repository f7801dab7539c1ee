//! `enas bench`: measures the time of single steps and prints one line of JSON. Inputs are random numbers.

mod args;
pub(super) mod latency;
mod measured;

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use candle_core::{Device, Tensor};
use enas_arc::Arc;
use enas_child::{AuxHead, Child, InputShape, Norm, Reductions, Step};
use enas_controller::{Controller, Episode, Sample};
use enas_kernels::profile;
use enas_rng::{Seed, Stream};
use enas_search::Activations;
use serde::Serialize;

pub(crate) use self::args::Bench;
use self::args::Mode;
use self::measured::{peak_rss_mb, rounded};
use super::{Context, use_threads};
use crate::failure::{OrUsage, SUCCESS, usage};
use crate::{arcs, device};

/// Default number of threads for single steps; the comparisons with other programs use as many.
const THREADS: usize = 2;
/// Number of classes of the measured network.
const CLASSES: usize = 10;
/// Number of architectures that are sampled if no file is given.
const SAMPLED_ARCS: u64 = 64;
/// Learning rate; its value does not influence the time.
const LR: f32 = 0.05;
/// Assumed number of steps of the training. It is large, so that drop-path has the keep probability of its start.
const TOTAL_STEPS: u64 = 1_000_000;

/// Runs `enas bench`.
///
/// # Errors
/// A usage error for an arc that does not fit; errors of the network.
pub(crate) fn run(context: &Context, args: &Bench) -> Result<u8> {
    let Some(mode) = args.mode else { return latency::run(context, args) };
    if args.activations == Activations::Bf16 && matches!(mode, Mode::ControllerStep | Mode::FixedInfer) {
        return Err(usage(
            "--activations bf16 is for modes with batch statistics; leave it out for this mode",
        ));
    }
    let threads = args.threads.unwrap_or(THREADS);
    use_threads(Some(threads))?;
    let mut step = step(args, mode)?;
    for i in 0..args.warmup {
        step(i)?;
    }
    if args.profile {
        profile::enable();
    }
    let ms = (0..args.iters).map(|i| timed(&mut step, i)).collect::<Result<Vec<f64>>>()?;
    if args.profile {
        io::stderr().write_all(table(&profile::report(), args.iters).as_bytes())?;
    }
    let line = serde_json::to_string(&Line::new(args, mode, threads, &ms))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(SUCCESS)
}

/// The profile per operation, as means over the measured steps.
fn table(rows: &[profile::ProfileRow], iters: usize) -> String {
    let per_step = |x: f64| x / iters as f64;
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max("operation".len());
    let mut text = format!(
        "{:width$}  {:>9}  {:>10}  {:>8}  {:>10}  {:>8}  {:>8}\n",
        "operation", "ms/step", "calls/step", "GB/step", "GFLOP/step", "GB/s", "GFLOP/s"
    );
    for row in rows {
        let seconds = (row.milliseconds / 1e3).max(1e-12);
        text += &format!(
            "{:width$}  {:9.3}  {:10.1}  {:8.4}  {:10.4}  {:8.1}  {:8.1}\n",
            row.name,
            per_step(row.milliseconds),
            per_step(row.calls as f64),
            per_step(row.gbytes),
            per_step(row.gflop),
            row.gbytes / seconds,
            row.gflop / seconds,
        );
    }
    text
}

/// Runs step `i` and returns its time in milliseconds.
fn timed(step: &mut BoxedStep, i: usize) -> Result<f64> {
    let start = Instant::now();
    step(i)?;
    Ok(1e3 * start.elapsed().as_secs_f64())
}

type BoxedStep = Box<dyn FnMut(usize) -> Result<()>>;

/// Returns the function that runs one iteration of the mode.
fn step(args: &Bench, mode: Mode) -> Result<BoxedStep> {
    match mode {
        Mode::SearchStep => search_step(args),
        Mode::RewardStep => reward_step(args),
        Mode::ControllerStep => controller_step(args),
        Mode::FixedStep => fixed_step(args),
        Mode::FixedInfer => fixed_infer(args),
    }
}

fn search_step(args: &Bench) -> Result<BoxedStep> {
    let arcs = arcs_of(args)?;
    let batch = Batch::random(args)?;
    let mut child = placed(shared(args)?, args)?;
    let seed = seed(args);
    Ok(Box::new(move |i| train(&mut child, &arcs[i % arcs.len()], &batch, i, seed)))
}

/// Dropout stays on, as in the authors' code.
fn reward_step(args: &Bench) -> Result<BoxedStep> {
    let arcs = arcs_of(args)?;
    let batch = Batch::random(args)?;
    let child = placed(shared(args)?, args)?;
    let seed = seed(args);
    Ok(Box::new(move |i| {
        let mut dropout = seed.stream("bench-dropout", &[i as u64]);
        let logits =
            child.logits(&arcs[i % arcs.len()], &batch.images, Norm::BatchStatistics, Some(&mut dropout))?;
        batch.check(&logits)
    }))
}

fn controller_step(args: &Bench) -> Result<BoxedStep> {
    let aggregate = args.aggregate;
    let config = enas_controller::Config { aggregate, ..enas_controller::Config::reference() };
    let mut controller = Controller::new(&config, args.cells, seed(args)).or_usage()?;
    let bounds = config.bounds(0.0);
    let seed = seed(args);
    Ok(Box::new(move |i| {
        let stream = |k| seed.stream("bench-arc", &[i as u64, k as u64]);
        let mut streams: Vec<Stream> = (0..aggregate).map(stream).collect();
        let samples = controller.sample_many(bounds, &mut streams);
        let rewarded =
            |(sample, stream): (Sample, &mut Stream)| Episode { arc: sample.arc, accuracy: stream.uniform() };
        let episodes: Vec<Episode> = samples.into_iter().zip(&mut streams).map(rewarded).collect();
        controller.reinforce(bounds, &episodes)?;
        Ok(())
    }))
}

fn fixed_step(args: &Bench) -> Result<BoxedStep> {
    let arc = fixed_arc(args)?;
    let batch = Batch::random(args)?;
    let mut child = placed(fixed(args, &arc)?, args)?;
    let seed = seed(args);
    Ok(Box::new(move |i| train(&mut child, &arc, &batch, i, seed)))
}

fn fixed_infer(args: &Bench) -> Result<BoxedStep> {
    let arc = fixed_arc(args)?;
    let batch = Batch::random(args)?;
    let mut child = fixed(args, &arc)?;
    if args.fold {
        child = child.folded()?;
    }
    let child = placed(child, args)?;
    Ok(Box::new(move |_| batch.check(&child.logits(&arc, &batch.images, Norm::RunningStatistics, None)?)))
}

fn shared(args: &Bench) -> Result<Child> {
    Child::shared(&child_config(args), input(args), CLASSES, seed(args)).or_usage()
}

fn fixed(args: &Bench, arc: &Arc) -> Result<Child> {
    Child::fixed(&child_config(args), arc, input(args), CLASSES, seed(args)).or_usage()
}

/// Moves the network to the device that the flags ask for.
fn placed(mut child: Child, args: &Bench) -> Result<Child> {
    match device::gpu(args.device)? {
        Some(gpu) => child.use_gpu(&gpu, args.activations.into())?,
        None if args.activations == Activations::Bf16 => {
            return Err(usage("--activations bf16 is for GPUs: add --device cuda, or time f32 on the CPU"));
        }
        None => {}
    }
    Ok(child)
}

fn train(child: &mut Child, arc: &Arc, batch: &Batch, i: usize, seed: Seed) -> Result<()> {
    let step = Step { lr: LR, global_step: i as u64, total_steps: TOTAL_STEPS, seed };
    child.train_step(arc, &batch.images, &batch.labels, &step)?;
    Ok(())
}

/// The configuration that the flags describe; all other values are those of the authors' code.
fn child_config(args: &Bench) -> enas_child::Config {
    enas_child::Config {
        reductions: if args.pools == 2 { Reductions::Two } else { Reductions::Three },
        aux_head: if args.aux { AuxHead::Frozen } else { AuxHead::Off },
        keep_prob: args.keep_prob,
        drop_path_keep: args.drop_path_keep,
        ..enas_child::Config::reference(args.filters, args.layers, args.cells)
    }
}

fn input(args: &Bench) -> InputShape {
    InputShape { channels: args.channels, height: args.size, width: args.size }
}

fn seed(args: &Bench) -> Seed {
    Seed::new(args.seed)
}

/// The architectures of `--arcs`, else samples of an untrained policy.
fn arcs_of(args: &Bench) -> Result<Vec<Arc>> {
    let arcs = match &args.arcs {
        Some(file) => arcs::in_file(file).context("--arcs")?,
        None => sampled_arcs(args)?,
    };
    arcs.iter().try_for_each(|arc| fits(arc, args, "--arcs"))?;
    Ok(arcs)
}

fn sampled_arcs(args: &Bench) -> Result<Vec<Arc>> {
    let config = enas_controller::Config::reference();
    let controller = Controller::new(&config, args.cells, seed(args)).or_usage()?;
    let draw = |i| controller.sample(config.bounds(0.0), &mut seed(args).stream("bench-sample", &[i])).arc;
    Ok((0..SAMPLED_ARCS).map(draw).collect())
}

fn fixed_arc(args: &Bench) -> Result<Arc> {
    let text = args.arc.as_deref().ok_or_else(|| usage("this mode needs --arc"))?;
    let arc = arcs::cells_given("--arc", text)?;
    fits(&arc, args, "--arc")?;
    Ok(arc)
}

fn fits(arc: &Arc, args: &Bench, flag: &str) -> Result<()> {
    if arc.n_nodes() == args.cells {
        return Ok(());
    }
    let has = arc.n_nodes();
    let wants = args.cells;
    Err(usage(format!(
        "{flag}: an architecture has {has} nodes per cell but --cells is {wants}; give --cells {has}"
    )))
}

/// Random images with random labels.
struct Batch {
    /// `[n, c, h, w]`, standard normal.
    images: Tensor,
    /// `[n]`
    labels: Tensor,
}

impl Batch {
    fn random(args: &Bench) -> Result<Self> {
        let mut stream = seed(args).stream("bench-images", &[]);
        let values = args.batch * args.channels * args.size * args.size;
        let images: Vec<f32> = (0..values).map(|_| stream.normal()).collect();
        let labels: Vec<u32> = (0..args.batch).map(|_| stream.below(CLASSES) as u32).collect();
        let shape = (args.batch, args.channels, args.size, args.size);
        let images = Tensor::from_vec(images, shape, &Device::Cpu)?;
        Ok(Self { images, labels: Tensor::from_vec(labels, args.batch, &Device::Cpu)? })
    }

    /// Counts the right predictions, as a reward does. Fails if the shape of the logits is wrong.
    fn check(&self, logits: &Tensor) -> Result<()> {
        let n = self.labels.elem_count();
        ensure!(logits.dims() == [n, CLASSES], "logits {:?} for {n} images", logits.dims());
        let said = Child::classes(logits)?.to_vec1::<u32>()?;
        let hits =
            said.iter().zip(self.labels.to_vec1::<u32>()?).filter(|(said, label)| *said == label).count();
        std::hint::black_box(hits);
        Ok(())
    }
}

/// The JSON line: the measurements and the parameters of the measured step. Its keys are part of the interface.
#[derive(Serialize)]
struct Line<'a> {
    mode: Mode,
    median_ms: f64,
    mean_ms: f64,
    min_ms: f64,
    p90_ms: f64,
    images_per_second: Option<f64>,
    peak_rss_mb: Option<f64>,
    threads: usize,
    batch: usize,
    size: usize,
    channels: usize,
    filters: usize,
    layers: usize,
    cells: usize,
    pools: usize,
    aux: bool,
    keep_prob: f32,
    drop_path_keep: f32,
    aggregate: usize,
    fold: bool,
    warmup: usize,
    iters: usize,
    seed: u64,
    activations: Activations,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<&'a [f64]>,
}

impl<'a> Line<'a> {
    fn new(args: &Bench, mode: Mode, threads: usize, ms: &'a [f64]) -> Self {
        let mut sorted = ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median_ms = sorted[sorted.len() / 2];
        let p90_ms = sorted[9 * (sorted.len() - 1) / 10];
        // A controller step does not process images.
        let takes_images = mode != Mode::ControllerStep;
        Self {
            mode,
            median_ms: rounded(median_ms),
            mean_ms: rounded(ms.iter().sum::<f64>() / ms.len() as f64),
            min_ms: rounded(sorted[0]),
            p90_ms: rounded(p90_ms),
            images_per_second: takes_images.then(|| rounded(1e3 * args.batch as f64 / median_ms)),
            peak_rss_mb: peak_rss_mb(),
            threads,
            batch: args.batch,
            size: args.size,
            channels: args.channels,
            filters: args.filters,
            layers: args.layers,
            cells: args.cells,
            pools: args.pools,
            aux: args.aux,
            keep_prob: args.keep_prob,
            drop_path_keep: args.drop_path_keep,
            aggregate: args.aggregate,
            fold: args.fold,
            warmup: args.warmup,
            iters: args.iters,
            seed: args.seed,
            activations: args.activations,
            ms: args.raw.then_some(ms),
        }
    }
}
