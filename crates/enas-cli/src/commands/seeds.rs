//! `enas train --seeds N`: the same training several times, and how much of its accuracy is chance.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{Kind, MemoryPlan, SeedOutcome, SeedsOutcome, SeedsRun, TrainConfig, train_seeds};
use serde::Serialize;

use super::train::{Job, Trained, settled};
use super::{Context, interrupted, report, settings};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::percent;
use crate::progress::Watcher;
use crate::{args, locate};

/// Begins `n` trainings of a job.
///
/// # Errors
/// Whatever data, network and disk report.
pub(super) fn start(
    context: &Context,
    args: &args::Train,
    n: u64,
    job: Job,
    gpu: Option<&Gpu>,
    interrupt: &Interrupt,
) -> Result<u8> {
    let mut run = SeedsRun::create(args.out.as_deref(), &job.config, &job.arc, &job.data, n)?;
    run.set_choices(job.choices.clone())?;
    if let Some(search) = &args.run {
        run.set_search(&locate::search(search))?;
    }
    if let Some(model) = &args.warm_start {
        run.set_start(model).context("--warm-start")?;
    }
    go(context, run, job, gpu, interrupt)
}

/// Goes on with the trainings in a folder.
///
/// # Errors
/// Usage for settings with which they could not go on; whatever data, network and disk report.
pub(super) fn resume(
    context: &Context,
    args: &args::Train,
    dir: &Path,
    gpu: Option<&Gpu>,
    interrupt: &Interrupt,
) -> Result<u8> {
    let run = SeedsRun::resume(dir)?;
    let (arc, data) = (run.arc().clone(), args.images.path());
    let config: TrainConfig = settings::beside(run.layers(), &args.settings, data, Some(&args.extent))?;
    let config = settled(args, config, &arc);
    config.run.check_device(gpu)?;
    let plan = MemoryPlan::for_training(&config, &arc, gpu.is_some())?;
    let data = run.load(&config, &plan)?;
    go(context, run, Job { config, arc, data, plan, choices: Vec::new(), run: None }, gpu, interrupt)
}

fn go(
    context: &Context,
    mut run: SeedsRun,
    job: Job,
    gpu: Option<&Gpu>,
    interrupt: &Interrupt,
) -> Result<u8> {
    let Job { config, data, plan, .. } = job;
    run.set_memory(plan);
    if let Some(gpu) = gpu {
        run.use_gpu(gpu.clone());
    }
    let mut watcher = Watcher::new(&context.console, interrupt);
    match train_seeds(&config, &data, &run, &mut watcher) {
        Ok(outcome) => {
            let document = Document::new(&outcome, &data);
            let printed = context.out.print(&document, |out| document.write(out));
            report::at_the_end(&outcome.median.run, &data, gpu);
            printed.map(|()| SUCCESS)
        }
        Err(error) => {
            drop(watcher);
            interrupted(error, Kind::Train, interrupt)
        }
    }
}

/// The promised document: that of the median training, and what all came to.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    median: Trained<'a>,
    seeds: &'a [SeedOutcome],
    test_accuracy_mean: f64,
    test_accuracy_sd: f64,
}

impl<'a> Document<'a> {
    fn new(outcome: &'a SeedsOutcome, data: &Dataset) -> Self {
        let SeedsOutcome { median, seeds, test_accuracy_mean, test_accuracy_sd } = outcome;
        let (test_accuracy_mean, test_accuracy_sd) = (*test_accuracy_mean, *test_accuracy_sd);
        Self { median: Trained::new(median, data), seeds, test_accuracy_mean, test_accuracy_sd }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for SeedOutcome { seed, valid_accuracy, test_accuracy } in self.seeds {
            let (valid, test) = (percent(*valid_accuracy), percent(*test_accuracy));
            writeln!(out, "seed {seed:<6} validation {valid}, test {test}")?;
        }
        let (mean, sd) = (percent(self.test_accuracy_mean), percent(self.test_accuracy_sd));
        writeln!(out, "all         test {mean} on average, standard deviation {sd}\n\nthe median training:")?;
        self.median.write(out)
    }
}
