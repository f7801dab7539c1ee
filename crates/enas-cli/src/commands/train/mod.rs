//! `enas train`: trains one architecture from scratch, prints the result and the next commands.

mod args;
mod job;
mod result;
mod series;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use enas_arc::Arch;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{Kind, Model, Run, SeriesRun, TimeLimit, TrainOutcome};

pub(crate) use self::args::Train;
use self::job::Job;
use self::result::print;
use self::series::Terminal;
use crate::commands::{Context, interrupted, report, saved_before, use_threads};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::opening;
use crate::progress::Watcher;
use crate::{device, locate};

/// Runs `enas train`.
///
/// # Errors
/// A usage error for invalid settings or an invalid arc; errors of data, network and disk.
pub(crate) fn run(context: &Context, args: &Train) -> Result<u8> {
    let began = Instant::now();
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    let loading = context.console.activity("reading the images");
    let held = context.console.hold();
    let args = &Train { warm_start: start_model(args)?, ..args.clone() };
    if let Some(dir) = args.extent.resume.as_deref().filter(|dir| SeriesRun::is_at(dir)) {
        return series::resume(
            context,
            args,
            dir,
            gpu.as_ref(),
            Terminal { interrupt: &interrupt, loading, held },
        );
    }
    let job = Job::from_args(context, args, gpu.as_ref(), began)?;
    job.config.run.check_device(gpu.as_ref())?;
    if args.warm_start.is_some() {
        // Checked before a run directory is created.
        job.cells("--warm-start")?;
    }
    if args.find_lr {
        let what = "Range test of the learning rate, 100 steps at most";
        held.first(&opening(&job.data, what, TimeLimit(None), None));
        loading.say("testing learning rates");
        return find_lr(context, &job, gpu.as_ref());
    }
    if let Some(asked) = series::asked(args) {
        return series::start(
            context,
            args,
            asked,
            job,
            began,
            gpu.as_ref(),
            Terminal { interrupt: &interrupt, loading, held },
        );
    }
    let (mut run, Job { config, arc, data, .. }) = run_of(args, job, gpu.as_ref(), began)?;
    drop(loading);
    held.first(&opening(&data, "Training of one network", config.run.time, Some(config.run.epochs)));
    let mut watcher = Watcher::new(&context.console, &interrupt).waiting("preparing the network");
    match enas_search::train_any(&config, &arc, &data, &mut run, &mut watcher) {
        Ok(trained) => {
            drop(watcher);
            conclude(context, &trained, &data, gpu.as_ref(), report::left(&run, config.run.time))
        }
        Err(error) => {
            drop(watcher);
            saved_before(&error, Kind::Train, run.dir());
            interrupted(error, Kind::Train, &interrupt)
        }
    }
}

/// The model file that a training starts from, if one is given.
fn start_model(args: &Train) -> Result<Option<PathBuf>> {
    let start = args.warm_start.as_deref().map(locate::start).transpose()?;
    if let Some(model) = &start {
        // Checked before any work, which could not continue with an unreadable model.
        Model::load(model).context("--warm-start")?;
    }
    Ok(start)
}

/// The run of a job: the one to resume or a new one, with memory plan and device.
fn run_of(args: &Train, mut job: Job, gpu: Option<&Gpu>, began: Instant) -> Result<(Run, Job)> {
    let mut run = match job.run.take() {
        Some(run) => run,
        None => {
            let mut run = start(args, &job)?;
            run.set_choices(&job.choices)?;
            run.count_from(began);
            run
        }
    };
    run.set_memory(job.plan.clone())?;
    report::reserve(&mut run, &job.data, job.config.run.time);
    if let Some(gpu) = gpu {
        run.use_gpu(gpu.clone())?;
    }
    Ok((run, job))
}

/// Prints the result and writes the report. The reader of stdout may have gone by now, so an error of printing must not
/// prevent the report.
fn conclude(
    context: &Context,
    trained: &TrainOutcome<Arch>,
    data: &Dataset,
    gpu: Option<&Gpu>,
    left: Option<f64>,
) -> Result<u8> {
    let printed = print(context, trained, data);
    let writing = context.console.activity("writing the report");
    report::at_the_end(&trained.run, data, gpu, left);
    drop(writing);
    printed.map(|()| SUCCESS)
}

fn start(args: &Train, job: &Job) -> Result<Run> {
    let mut run = Run::for_training(args.out.as_deref(), &job.config, &job.arc, &job.data)?;
    if let Some(dir) = &args.run {
        run.set_search(&locate::search(dir)?)?;
    }
    if let Some(model) = &args.warm_start {
        run.set_start(model).context("--warm-start")?;
    }
    Ok(run)
}

/// Prints the losses of a learning-rate range test and the suggested rate.
fn find_lr(context: &Context, job: &Job, gpu: Option<&Gpu>) -> Result<u8> {
    let Job { config, data, .. } = job;
    let found = enas_search::find_lr(config, job.cells("--find-lr")?, data, gpu)?;
    context.out.print(&found, |out| {
        writeln!(out, "{:>12}  {:>9}  {:>9}", "rate", "loss", "smoothed")?;
        for point in &found.curve {
            writeln!(out, "{:>12.3e}  {:>9.4}  {:>9.4}", point.lr, point.loss, point.smoothed_loss)?;
        }
        writeln!(out, "\ntry --set schedule.lr_max={:.1e}", found.suggested_lr)
    })?;
    Ok(SUCCESS)
}
