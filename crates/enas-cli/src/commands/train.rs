//! `enas train`: trains one architecture from scratch and says what it reached and what to type next.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enas_arc::Arc;
use enas_data::Dataset;
use enas_search::{Ended, Kind, MemoryPlan, Record, Run, SearchConfig, TrainConfig, TrainOutcome};
use serde::Serialize;

use super::{Context, interrupted, report, settings, shell_word, use_threads};
use crate::failure::{SUCCESS, usage};
use crate::interrupt::Interrupt;
use crate::output::{cost, counted, duration, images, path, percent};
use crate::progress::Watcher;
use crate::standing::Standing;
use crate::terminal::{command, paragraph, stdout_width, strong, warned};
use crate::{arcs, args, device, locate};

/// Runs `enas train`.
///
/// # Errors
/// Usage for bad settings or a bad arc; whatever data, network and disk report.
pub(crate) fn run(context: &Context, args: &args::Train) -> Result<u8> {
    use_threads(args.machine.threads)?;
    let gpu = device::open(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    let Job { config, arc, data, plan, run } = Job::from_args(args, gpu.is_some())?;
    config.run.check_device(gpu.as_ref())?;
    let mut run = match run {
        Some(run) => run,
        None => started(args, &config, &arc, &data)?,
    };
    run.set_memory(plan)?;
    if let Some(gpu) = &gpu {
        run.use_gpu(gpu.clone())?;
    }
    context.console.note(&images(&data));
    let mut watcher = Watcher::new(&context.console, &interrupt);
    match enas_search::train(&config, &arc, &data, &mut run, &mut watcher) {
        Ok(trained) => {
            // Whoever reads the result may be gone by now; the report is written all the same.
            let printed = print(context, &trained, &data);
            report::at_the_end(&trained.run, &data, gpu.as_ref());
            printed.map(|()| SUCCESS)
        }
        Err(error) => {
            drop(watcher);
            interrupted(error, Kind::Train, &interrupt)
        }
    }
}

fn started(args: &args::Train, config: &TrainConfig, arc: &Arc, data: &Dataset) -> Result<Run> {
    let mut run = Run::for_training(args.out.as_deref(), config, arc, data)?;
    if let Some(dir) = &args.run {
        run.set_search(&locate::search(dir))?;
    }
    Ok(run)
}

/// What is to be trained on what, with which settings, and the run to go on with.
struct Job {
    config: TrainConfig,
    arc: Arc,
    data: Dataset,
    plan: MemoryPlan,
    run: Option<Run>,
}

impl Job {
    fn from_args(args: &args::Train, on_gpu: bool) -> Result<Self> {
        if let Some(dir) = &args.extent.resume {
            return Self::resumed(args, dir, on_gpu);
        }
        if let Some(dir) = &args.run {
            return Self::after_search(args, &locate::search(dir), on_gpu);
        }
        let arc = match (&args.arc, &args.arc_file) {
            (Some(given), _) => arcs::one_given("--arc", given)?,
            (None, Some(file)) => arcs::one_in_file(file).context("--arc-file")?,
            (None, None) => return Err(usage("nothing to train: give --arc, --arc-file, --run or --resume")),
        };
        let config = settings::train(&args.settings, args.images.path(), Some(&args.extent))?;
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = plan.load(&config.data, config.run.seed(), None)?;
        Ok(Self { config, arc, data, plan, run: None })
    }

    fn resumed(args: &args::Train, dir: &Path, on_gpu: bool) -> Result<Self> {
        let mut run = Run::resume(dir)?;
        let own = run.record().layers::<TrainConfig>()?;
        let config: TrainConfig =
            settings::beside(own, &args.settings, args.images.path(), Some(&args.extent))?;
        let arc = run.arc().cloned().with_context(|| format!("{} does not name its arc", dir.display()))?;
        let config = settled(args, config, &arc);
        run.accepts(&config)?;
        run.find_pictures(&config.data)?;
        let plan = MemoryPlan::for_training(&config, &arc, on_gpu)?;
        let data = run.load_planned(&config.data, config.run.seed(), &plan)?;
        run.adopt(&config)?;
        Ok(Self { config, arc, data, plan, run: Some(run) })
    }

    /// The best arc of a search, on the pictures it was found with, in the same splits, unless DATA names others.
    fn after_search(args: &args::Train, dir: &Path, on_gpu: bool) -> Result<Self> {
        let search = Record::open(dir).context("--run")?;
        let searched: SearchConfig = search.config().context("--run")?;
        let arc = search.best_arc().context("--run")?;
        let config =
            settings::train_after(&searched, &args.settings, args.images.path(), Some(&args.extent))?;
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = match args.images.path() {
            Some(_) => plan.load(&config.data, config.run.seed(), None)?,
            None => search.load_planned(&config.data, config.run.seed(), &plan)?,
        };
        Ok(Self { config, arc, data, plan, run: None })
    }
}

/// Settings for this arc and with the memory that was asked for. Cells have as many nodes as the arc, whatever the
/// preset says.
fn settled(args: &args::Train, mut config: TrainConfig, arc: &Arc) -> TrainConfig {
    config.child.nodes = arc.n_nodes();
    config.run.patience = args.patience.unwrap_or(config.run.patience);
    settings::limit_memory(&mut config.run, args.memory);
    config
}

/// [`settled`], and what follows for the memory.
fn planned(
    args: &args::Train,
    config: TrainConfig,
    arc: &Arc,
    on_gpu: bool,
) -> Result<(TrainConfig, MemoryPlan)> {
    let config = settled(args, config, arc);
    let plan = MemoryPlan::for_training(&config, arc, on_gpu)?;
    Ok((config, plan))
}

/// The promised document.
#[derive(Serialize)]
struct Trained<'a> {
    #[serde(serialize_with = "path")]
    run: &'a PathBuf,
    #[serde(serialize_with = "path")]
    model: &'a PathBuf,
    arc: &'a Arc,
    train_loss: f64,
    valid_accuracy: f64,
    test_accuracy: f64,
    test_macro_f1: f64,
    test_correct: u64,
    test_total: u64,
    /// The 95 % interval of the test accuracy.
    test_interval: [f64; 2],
    /// Whether the test accuracy is not measurably above naming the most frequent class.
    chance_level: bool,
    epochs: u64,
    ended: Ended,
    seconds: f64,
    params: usize,
    macs: u64,
    #[serde(skip)]
    valid: Standing,
    #[serde(skip)]
    test: Standing,
}

fn print(context: &Context, trained: &TrainOutcome, data: &Dataset) -> Result<()> {
    let test = Standing::on(&data.test, trained.test_accuracy);
    let document = Trained {
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
        epochs: trained.epochs,
        ended: trained.ended,
        seconds: trained.seconds,
        params: trained.params,
        macs: trained.macs,
    };
    context.out.print(&document, |out| document.write(out))
}

impl Trained<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "test        {}", strong(&self.test.line()))?;
        writeln!(out, "            macro-F1 {}", percent(self.test_macro_f1))?;
        if let Some(warning) = self.test.warning() {
            writeln!(out, "{}", warned(&paragraph("            ", &warning, stdout_width())))?;
        }
        writeln!(out, "validation  {}", self.valid.line())?;
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
