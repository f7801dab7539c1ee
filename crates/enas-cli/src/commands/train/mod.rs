//! `enas train`: trains one architecture from scratch, prints the result and the next commands.

mod args;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use enas_arc::{Arc, Arch};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{
    Choice, DEFAULT_CELL, Ended, Kind, MemoryPlan, Model, ReadyCell, Refit, Refitted, Run, RunReader,
    SearchConfig, SeriesRun, TimeLimit, TrainConfig, TrainOutcome, fit_network, ready_cells,
};
use serde::Serialize;

pub(crate) use self::args::Train;
use super::choices::{self, Asked, Followed};
use super::{Context, interrupted, report, series, settings, shell_word, use_threads};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::{cost, counted, duration, opening, path, percent};
use crate::progress::Watcher;
use crate::standing::{self, Standing};
use crate::terminal::{command, paragraph, stdout_width, strong, warned};
use crate::{arcs, device, locate};

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
    let start = args.warm_start.as_deref().map(locate::start).transpose()?;
    if let Some(model) = &start {
        // Checked before any work, which could not continue with an unreadable model.
        Model::load(model).context("--warm-start")?;
    }
    let args = &Train { warm_start: start, ..args.clone() };
    if let Some(dir) = args.extent.resume.as_deref().filter(|dir| SeriesRun::is_at(dir)) {
        return series::resume(context, args, dir, gpu.as_ref(), (&interrupt, loading, held));
    }
    let job = Job::from_args(context, args, gpu.as_ref(), began)?;
    job.config.run.check_device(gpu.as_ref())?;
    if args.warm_start.is_some() {
        // Checked before a run directory is created.
        job.cells("--warm-start")?;
    }
    if args.find_lr {
        held.first(&opening(
            &job.data,
            "Range test of the learning rate, 100 steps at most",
            TimeLimit(None),
            None,
        ));
        loading.say("testing learning rates");
        return find_lr(context, &job, gpu.as_ref());
    }
    if let Some(asked) = series::asked(args) {
        return series::start(context, args, asked, (job, began), gpu.as_ref(), (&interrupt, loading, held));
    }
    let Job { config, arc, data, plan, choices, run } = job;
    let mut run = match run {
        Some(run) => run,
        None => {
            let mut run = started(args, &config, &arc, &data)?;
            run.set_choices(&choices)?;
            run.count_from(began);
            run
        }
    };
    run.set_memory(plan)?;
    if let Some(gpu) = &gpu {
        run.use_gpu(gpu.clone())?;
    }
    drop(loading);
    held.first(&opening(&data, "Training of one network", config.run.time, Some(config.run.epochs)));
    let mut watcher = Watcher::new(&context.console, &interrupt).waiting("preparing the network");
    match enas_search::train_any(&config, &arc, &data, &mut run, &mut watcher) {
        Ok(trained) => {
            // The reader of stdout may have gone by now, so an error of printing must not prevent the report.
            drop(watcher);
            let printed = print(context, &trained, &data);
            let writing = context.console.activity("writing the report");
            report::at_the_end(&trained.run, &data, gpu.as_ref());
            drop(writing);
            printed.map(|()| SUCCESS)
        }
        Err(error) => {
            drop(watcher);
            interrupted(error, Kind::Train, &interrupt)
        }
    }
}

fn started(args: &Train, config: &TrainConfig, arc: &Arch, data: &Dataset) -> Result<Run> {
    let mut run = Run::for_training(args.out.as_deref(), config, arc, data)?;
    if let Some(dir) = &args.run {
        run.set_search(&locate::search(dir))?;
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

/// The ready cell of this name, or the default one.
///
/// # Errors
/// If there is no such cell.
fn ready_cell(context: &Context, name: Option<&str>) -> Result<Arc> {
    let why = if name.is_some() { "as --cell says" } else { "the default" };
    let name = name.unwrap_or(DEFAULT_CELL);
    let cell = ready_cells().into_iter().find(|cell| cell.name == name);
    let ReadyCell { about, arc, .. } =
        cell.with_context(|| format!("--cell {name}: there is no such cell"))?;
    context.console.note(&format!(
        "network: the ready cell {name}, {why}: {about}; --cell NAME or --arc ARC trains another"
    ));
    Ok(arc)
}

/// A training: settings, architecture, images, and the run to resume.
pub(super) struct Job {
    pub(super) config: TrainConfig,
    pub(super) arc: Arch,
    pub(super) data: Dataset,
    pub(super) plan: MemoryPlan,
    /// The settings that were chosen automatically from the images.
    pub(super) choices: Vec<Choice>,
    pub(super) run: Option<Run>,
}

impl Job {
    /// The cells to train, for functions that train cells only.
    ///
    /// # Errors
    /// A usage error for an architecture of the macro search space.
    pub(super) fn cells(&self, what: &'static str) -> Result<&Arc> {
        Ok(self.arc.micro().ok_or(enas_search::Error::CellsOnly(what))?)
    }

    fn from_args(context: &Context, args: &Train, gpu: Option<&Gpu>, began: Instant) -> Result<Self> {
        if let Some(dir) = &args.extent.resume {
            return Self::resumed(args, dir, gpu.is_some());
        }
        let job = match &args.run {
            Some(dir) => Self::after_search(context, args, &locate::search(dir), gpu.is_some())?,
            None => Self::without_search(context, args, gpu.is_some())?,
        };
        job.fitted(context, args, gpu, began)
    }

    fn without_search(context: &Context, args: &Train, on_gpu: bool) -> Result<Self> {
        let arc = match (&args.arc, &args.arc_file) {
            (Some(given), _) => arcs::one_given("--arc", given)?,
            (None, Some(file)) => arcs::one_in_file(file).context("--arc-file")?,
            (None, None) => ready_cell(context, args.cell.as_deref())?.into(),
        };
        let (images, extent) = (args.images.path(), Some(&args.extent));
        let read = settings::train(&args.settings, images, extent)?;
        let standing = standing_for(&arc);
        let asked = Asked { extent, standing: &standing, ..Asked::of(&args.settings) };
        let Followed { settings, choices } =
            asked.follow(context, (&read.data, read.run.seed()), Kind::Train);
        let config = settings::train(&settings, images, extent)?;
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = plan.load(&config.data, config.run.seed(), None)?;
        Ok(Self { config, arc, data, plan, choices, run: None })
    }

    /// Chooses the size of the network by the time limit, if the settings were chosen automatically.
    fn fitted(mut self, context: &Context, args: &Train, gpu: Option<&Gpu>, began: Instant) -> Result<Self> {
        let asked = Asked::of(&args.settings);
        let Arch::Micro(arc) = &self.arc else { return Ok(self) };
        let is_set = ["child.filters", "child.layers"].iter().any(|key| asked.sets(key));
        let Some(limit) = self.config.run.time.0.filter(|_| !self.choices.is_empty() && !is_set) else {
            return Ok(self);
        };
        let rounds = args.seeds.or(args.folds).unwrap_or(1).div_ceil(args.jobs) as f64;
        let seconds = (limit.as_secs_f64() - began.elapsed().as_secs_f64()) / rounds;
        let _measuring = context.console.activity("measuring the speed of networks");
        let device = (gpu, Some(&self.plan));
        let network = fit_network(&mut self.config, arc, &self.data, device, seconds)?;
        let choice = |key: &str, value: usize| Choice {
            key: key.to_owned(),
            value: value.to_string(),
            reason: "the network that there is time to train, by the measured time of a few steps".to_owned(),
            only: Some(Kind::Train),
        };
        let chosen = [choice("child.filters", network.filters), choice("child.layers", network.layers)];
        choices::announce(context, "settings that follow from the time limit", &chosen);
        self.choices.extend(chosen);
        self.plan = MemoryPlan::for_training(&self.config, &self.arc, gpu.is_some())?;
        Ok(self)
    }

    fn resumed(args: &Train, dir: &Path, on_gpu: bool) -> Result<Self> {
        let mut run = Run::resume(dir)?;
        let own = run.reader().config_builder::<TrainConfig>()?;
        let config: TrainConfig =
            settings::beside(own, &args.settings, args.images.path(), Some(&args.extent))?;
        let arc = run.arch().cloned().with_context(|| format!("{} does not name its arc", dir.display()))?;
        let config = settled(args, config, &arc);
        run.accepts(&config)?;
        run.find_pictures(&config.data)?;
        let plan = MemoryPlan::for_training(&config, &arc, on_gpu)?;
        let data = run.load_planned(&config.data, config.run.seed(), &plan)?;
        run.adopt(&config)?;
        Ok(Self { config, arc, data, plan, choices: Vec::new(), run: Some(run) })
    }

    /// Takes the best arc of a search with the search's images and splits, unless DATA names other images.
    fn after_search(context: &Context, args: &Train, dir: &Path, on_gpu: bool) -> Result<Self> {
        let search = RunReader::open(dir).context("--run")?;
        let searched: SearchConfig = search.config().context("--run")?;
        let arc = match args.pick {
            Some(pick) => search.pick(pick.into()).context("--run")?.into(),
            None => search.best_arch().context("--run")?,
        };
        let (images, extent) = (args.images.path(), Some(&args.extent));
        let read = settings::train_after(&searched, &args.settings, images, extent)?;
        let mut standing = settings::inherited(&searched, &args.settings)?;
        standing.extend(standing_for(&arc));
        let asked = Asked { extent, standing: &standing, ..Asked::of(&args.settings) };
        let Followed { settings, choices } =
            asked.follow(context, (&read.data, read.run.seed()), Kind::Train);
        let mut config = settings::train_after(&searched, &settings, images, extent)?;
        if arc.micro().is_none() {
            // The width is that of the search unless set otherwise.
            config.macro_net = config.macro_net.or_else(|| searched.macro_net.clone());
        }
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = match images {
            Some(_) => plan.load(&config.data, config.run.seed(), None)?,
            None => search.load_planned(&config.data, config.run.seed(), &plan)?,
        };
        Ok(Self { config, arc, data, plan, choices, run: None })
    }
}

/// Assignments that automatic choices must not override for this architecture. Networks of the macro space support
/// neither an EMA of the weights nor BN statistics re-estimation.
fn standing_for(arch: &Arch) -> Vec<String> {
    match arch {
        Arch::Micro(_) => Vec::new(),
        Arch::Macro(_) => vec!["run.ema_decay=0".to_owned(), "run.bn_reestimate=0".to_owned()],
    }
}

/// The settings for this arc and the requested memory limit. Cells have as many nodes as the arc, whatever the preset
/// says.
pub(super) fn settled(args: &Train, mut config: TrainConfig, arch: &Arch) -> TrainConfig {
    match arch {
        Arch::Micro(arc) => config.child.nodes = arc.n_nodes(),
        Arch::Macro(arc) => config.macro_net.get_or_insert_default().layers = arc.n_layers(),
    }
    config.run.patience = args.patience.unwrap_or(config.run.patience);
    settings::limit_memory(&mut config.run, args.memory);
    config
}

/// [`settled`], with the resulting memory plan.
fn planned(args: &Train, config: TrainConfig, arc: &Arch, on_gpu: bool) -> Result<(TrainConfig, MemoryPlan)> {
    let config = settled(args, config, arc);
    let plan = MemoryPlan::for_training(&config, arc, on_gpu)?;
    Ok((config, plan))
}

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
pub(super) struct Trained<'a, A = Arc> {
    #[serde(serialize_with = "path")]
    run: &'a PathBuf,
    #[serde(serialize_with = "path")]
    model: &'a PathBuf,
    arc: &'a A,
    train_loss: f64,
    valid_accuracy: f64,
    test_accuracy: f64,
    test_macro_f1: f64,
    test_correct: u64,
    test_total: u64,
    /// The 95 % confidence interval of the test accuracy, 0 to 1.
    test_interval: [f64; 2],
    /// Whether the test accuracy is not measurably above that of always predicting the most frequent class.
    chance_level: bool,
    epochs: u64,
    ended: Ended,
    /// The refit after the measurement, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<Refit>,
    seconds: f64,
    params: usize,
    macs: u64,
    #[serde(skip)]
    valid: Standing,
    #[serde(skip)]
    test: Standing,
    /// Whether cross-validation would give more test images.
    #[serde(skip)]
    pub(super) could_fold: bool,
}

/// With fewer test images than this, the confidence interval of an accuracy is wider than 14 points.
const FEW: u64 = 50;

fn print(context: &Context, trained: &TrainOutcome<Arch>, data: &Dataset) -> Result<()> {
    let document = Trained::new(trained, data);
    context.out.print(&document, |out| document.write(out))
}

impl<'a, A> Trained<'a, A> {
    pub(super) fn new(trained: &'a TrainOutcome<A>, data: &Dataset) -> Self {
        let test = Standing::on(&data.test, trained.test_accuracy);
        Self {
            test_correct: test.correct,
            test_total: test.total,
            test_interval: test.interval(),
            chance_level: test.is_at_chance(),
            valid: Standing::on(&data.valid, trained.valid_accuracy),
            test,
            run: &trained.run,
            model: &trained.model,
            arc: &trained.arc,
            train_loss: trained.train_loss,
            valid_accuracy: trained.valid_accuracy,
            test_accuracy: trained.test_accuracy,
            test_macro_f1: trained.test_macro_f1,
            could_fold: !data.has_own_splits(),
            epochs: trained.epochs,
            ended: trained.ended,
            refit: trained.refit,
            seconds: trained.seconds,
            params: trained.params,
            macs: trained.macs,
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "test        {}", strong(&self.test.line()))?;
        writeln!(out, "            macro-F1 {}", percent(self.test_macro_f1))?;
        if let Some(warning) = self.test.warning() {
            writeln!(out, "{}", warned(&paragraph("            ", &warning, stdout_width())))?;
        }
        if self.test.total < FEW && self.could_fold {
            let advice =
                "few images to test with: enas train DATA --folds 5 tests on all of them, one fold at a time";
            writeln!(out, "{}", paragraph("            ", advice, stdout_width()))?;
        }
        writeln!(out, "validation  {}", self.valid.line())?;
        if let Some(Refit { images, fitted, .. }) = self.refit {
            let refit = standing::after_refit(&Refitted { images, fitted });
            writeln!(out, "{}", paragraph("refit       ", &refit, stdout_width()))?;
        }
        writeln!(out, "loss        {:.4} on the training split in the last epoch", self.train_loss)?;
        writeln!(out, "network     {}", cost(self.params, self.macs))?;
        let why = match self.ended {
            Ended::Epochs => "",
            Ended::Time => ", as many as there was time for",
            Ended::Patience => ", the last of them no better",
        };
        writeln!(out, "time        {} for {}{why}", duration(self.seconds), counted(self.epochs, "epoch"))?;
        writeln!(out, "model       {}\n", self.model.display())?;
        let model = shell_word(self.model);
        writeln!(out, "next: {}", command(&format!("enas eval --model {model}")))?;
        writeln!(out, "      {}", command(&format!("enas predict --model {model} IMAGE…")))
    }
}
