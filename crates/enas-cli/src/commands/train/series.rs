//! `enas train --seeds N` and `--folds K`: several trainings with other seeds or folds, and the spread of their
//! accuracies.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use enas_arc::Arch;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{
    Kind, Member, MemberOutcome, MemoryPlan, Observer, Observers, Pooled, Series, SeriesOutcome, SeriesRun,
    TrainConfig, train_series,
};
use serde::Serialize;

use super::args::Train;
use super::job::{Job, settled};
use super::result::Trained;
use crate::commands::{Context, interrupted, report, settings};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::locate;
use crate::messages::{Activity, Console, Held};
use crate::output::{counted, opening, percent};
use crate::progress::Watcher;
use crate::standing::Standing;
use crate::terminal::{stdout_paragraph, strong};

/// The series of trainings that the arguments ask for, if any.
pub(super) fn asked(args: &Train) -> Option<Series> {
    let seeds = args.seeds.map(|n| Series::Seeds(n as u64));
    seeds.or(args.folds.map(|k| Series::Folds(k as u64)))
}

/// What a command hands over once the images are read.
pub(super) struct Terminal<'a> {
    /// Interruptions by the user.
    pub(super) interrupt: &'a Interrupt,
    /// The current work.
    pub(super) loading: Activity,
    /// What waits for the first line.
    pub(super) held: Held,
}

/// Starts a series of trainings. Its time counts from `began`.
///
/// # Errors
/// Errors of data, network and disk.
pub(super) fn start(
    context: &Context,
    args: &Train,
    series: Series,
    job: Job,
    began: Instant,
    gpu: Option<&Gpu>,
    terminal: Terminal<'_>,
) -> Result<u8> {
    let mut run = SeriesRun::create(
        args.out.as_deref(),
        &job.config,
        job.cells("--seeds and --folds")?,
        &job.data,
        series,
    )?;
    run.count_from(began);
    run.set_choices(job.choices.clone())?;
    if let Some(search) = &args.run {
        run.set_search(&locate::search(search)?)?;
    }
    if let Some(model) = &args.warm_start {
        run.set_start(model).context("--warm-start")?;
    }
    go(context, run, job, args.jobs, gpu, terminal)
}

/// Resumes the series of trainings in a directory.
///
/// # Errors
/// A usage error for settings that do not fit the series; errors of data, network and disk.
pub(super) fn resume(
    context: &Context,
    args: &Train,
    dir: &Path,
    gpu: Option<&Gpu>,
    terminal: Terminal<'_>,
) -> Result<u8> {
    let run = SeriesRun::resume(dir)?;
    let arc = run.arc().clone();
    let data = args.images.path();
    let config: TrainConfig =
        settings::beside(run.config_builder(), &args.settings, data, Some(&args.extent))?;
    let config = settled(args, config, &Arch::from(&arc));
    config.run.check_device(gpu)?;
    let plan = MemoryPlan::for_training(&config, &arc, gpu.is_some())?;
    let data = run.load(&config, &plan)?;
    let job = Job { config, arc: arc.into(), data, plan, choices: Vec::new(), run: None };
    go(context, run, job, args.jobs, gpu, terminal)
}

fn go(
    context: &Context,
    mut run: SeriesRun,
    job: Job,
    wanted: usize,
    gpu: Option<&Gpu>,
    Terminal { interrupt, loading, held }: Terminal<'_>,
) -> Result<u8> {
    let Job { config, data, plan, .. } = job;
    drop(loading);
    let members = run.members().len();
    let what = match config.run.time.0 {
        // The limit is for all of them together.
        Some(_) => format!("{members} trainings of one architecture"),
        None => {
            let epochs = counted(config.run.epochs, "epoch");
            format!("{members} trainings of one architecture, each of {epochs} at most")
        }
    };
    held.first(&opening(&data, &what, config.run.time, None));
    run.set_memory(plan);
    if let Some(gpu) = gpu {
        run.use_gpu(gpu.clone());
    }
    let jobs = run.jobs(wanted);
    if jobs < wanted.min(run.members().len()) {
        context.console.note(&format!("--jobs {wanted}: there is memory for {jobs} at a time"));
    }
    let watchers = Watchers { console: &context.console, interrupt, side_by_side: jobs > 1 };
    match train_series(&config, &data, &run, &watchers, jobs) {
        Ok(outcome) => {
            let loading = context.console.activity("reading the images");
            // Each fold splits the images differently, so load those of the series.
            let plan = MemoryPlan::for_training(&config, run.arc(), gpu.is_some())?;
            let data = if outcome.pooled.is_some() { run.load(&config, &plan)? } else { data };
            drop(loading);
            let document = Document::new(&outcome, &data);
            let printed = context.out.print(&document, |out| document.write(out));
            let writing = context.console.activity("writing the report");
            report::at_the_end(&outcome.median.run, &data, gpu, None);
            drop(writing);
            printed.map(|()| SUCCESS)
        }
        Err(error) => interrupted(error, Kind::Train, interrupt),
    }
}

/// One watcher per training. The lines and bars of concurrent trainings begin with the training's name.
struct Watchers<'a> {
    console: &'a Console,
    interrupt: &'a Interrupt,
    side_by_side: bool,
}

impl Observers for Watchers<'_> {
    fn of(&self, member: Member) -> Box<dyn Observer + '_> {
        let watcher = Watcher::new(self.console, self.interrupt);
        let watcher = if self.side_by_side { watcher.named(member.to_string()) } else { watcher };
        Box::new(watcher.waiting("preparing the network"))
    }
}

/// The JSON document: that of the median training, and the results of all.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    median: Trained<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seeds: Vec<OfSeed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    folds: Vec<OfFold>,
    test_accuracy_mean: f64,
    test_accuracy_sd: f64,
    #[serde(flatten)]
    pooled: Option<OfAll>,
    #[serde(skip)]
    delivered: Member,
}

#[derive(Serialize)]
struct OfSeed {
    seed: u64,
    valid_accuracy: f64,
    test_accuracy: f64,
}

#[derive(Serialize)]
struct OfFold {
    fold: u64,
    valid_accuracy: f64,
    test_accuracy: f64,
    test_correct: u64,
    test_total: u64,
}

/// The pooled result of cross-validation: all images, each classified by the network that was not trained on it.
#[derive(Serialize)]
struct OfAll {
    pooled_accuracy: f64,
    pooled_correct: u64,
    pooled_total: u64,
    /// The 95 % confidence interval of the accuracy, 0 to 1.
    pooled_interval: [f64; 2],
}

impl<'a> Document<'a> {
    fn new(outcome: &'a SeriesOutcome, data: &Dataset) -> Self {
        let SeriesOutcome { median, members, delivered, pooled, .. } = outcome;
        let mut document = Self {
            median: Trained::new(median, data),
            seeds: Vec::new(),
            folds: Vec::new(),
            test_accuracy_mean: outcome.test_accuracy_mean,
            test_accuracy_sd: outcome.test_accuracy_sd,
            pooled: pooled.map(OfAll::new),
            delivered: *delivered,
        };
        document.median.could_fold &= pooled.is_none();
        for outcome in members {
            let MemberOutcome { member, valid_accuracy, test_accuracy, test_total } = *outcome;
            match member {
                Member::Seed(seed) => document.seeds.push(OfSeed { seed, valid_accuracy, test_accuracy }),
                Member::Fold(fold) => {
                    let test_correct = outcome.test_correct();
                    let of_fold = OfFold { fold, valid_accuracy, test_accuracy, test_correct, test_total };
                    document.folds.push(of_fold);
                }
            }
        }
        document
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(pooled) = &self.pooled {
            writeln!(out, "{}", stdout_paragraph("all images  ", &strong(&pooled.line())))?;
            let how = "each labelled by the training that tests on it, which never learned from it";
            writeln!(out, "{}", stdout_paragraph("            ", how))?;
        }
        for OfSeed { seed, valid_accuracy, test_accuracy } in &self.seeds {
            let valid = percent(*valid_accuracy);
            let test = percent(*test_accuracy);
            writeln!(out, "seed {seed:<6} validation {valid}, test {test}")?;
        }
        for OfFold { fold, valid_accuracy, test_accuracy, test_correct, test_total } in &self.folds {
            let valid = percent(*valid_accuracy);
            let test = percent(*test_accuracy);
            let line = format!("test {test} ({test_correct} of {test_total}), validation {valid}");
            writeln!(out, "{}", stdout_paragraph(&format!("fold {fold:<6} "), &line))?;
        }
        let mean = percent(self.test_accuracy_mean);
        let sd = percent(self.test_accuracy_sd);
        writeln!(out, "mean        test {mean}, standard deviation {sd}")?;
        let median = format!("the median training, {}, which gives the model:", self.delivered);
        writeln!(out, "\n{}", stdout_paragraph("", &median))?;
        self.median.write(out)
    }
}

impl OfAll {
    fn new(pooled: Pooled) -> Self {
        Self {
            pooled_accuracy: pooled.accuracy(),
            pooled_correct: pooled.correct,
            pooled_total: pooled.total,
            pooled_interval: pooled.interval().into(),
        }
    }

    fn line(&self) -> String {
        Standing::counted(self.pooled_correct, self.pooled_total).line()
    }
}
