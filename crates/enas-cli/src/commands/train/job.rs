//! What a training needs: settings, architecture and images, from the arguments or from a run to resume.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use enas_arc::{Arc, Arch};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{
    Choice, DEFAULT_CELL, Kind, MemoryPlan, ReadyCell, Run, RunReader, SearchConfig, TrainConfig,
    fit_network, ready_cells,
};

use super::args::Train;
use crate::commands::choices::{self, Asked, Followed};
use crate::commands::{Context, settings};
use crate::output::visible;
use crate::{arcs, locate};

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

    pub(super) fn from_args(
        context: &Context,
        args: &Train,
        gpu: Option<&Gpu>,
        began: Instant,
    ) -> Result<Self> {
        if let Some(dir) = &args.extent.resume {
            return Self::resumed(args, dir, gpu.is_some());
        }
        let job = match &args.run {
            Some(dir) => Self::after_search(context, args, &locate::search(dir)?, gpu.is_some())?,
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
        can_be_trained(args, &arc)?;
        let images = args.images.path();
        let extent = Some(&args.extent);
        let read = settings::train(&args.settings, images, extent)?;
        let standing = standing_for(&arc);
        let asked = Asked { extent, standing: &standing, ..Asked::of(&args.settings) };
        let Followed { settings, choices, prepared } =
            asked.follow(context, &read.data, read.run.seed(), Kind::Train);
        let config = settings::train(&settings, images, extent)?;
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = plan.load_prepared(&config.data, config.run.seed(), &prepared)?;
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
        let network = fit_network(&mut self.config, arc, &self.data, gpu, Some(&self.plan), seconds)?;
        let choice = |key: &str, value: usize| Choice {
            key: key.to_owned(),
            value: value.to_string(),
            reason: "the network that can be trained in the time, by the measured time of a few steps"
                .to_owned(),
            only: Some(Kind::Train),
        };
        let chosen = [choice("child.filters", network.filters), choice("child.layers", network.layers)];
        choices::announce(context, "settings that follow from the time limit", &chosen);
        self.choices.extend(chosen);
        self.plan = MemoryPlan::for_training(&self.config, &self.arc, gpu.is_some())?;
        Ok(self)
    }

    fn resumed(args: &Train, dir: &Path, on_gpu: bool) -> Result<Self> {
        locate::must_not_be_automatic(dir)?;
        let mut run = Run::resume(dir)?;
        let own = run.reader().config_builder::<TrainConfig>()?;
        let config: TrainConfig =
            settings::beside(own, &args.settings, args.images.path(), Some(&args.extent))?;
        let arc = run.arch().cloned().with_context(|| format!("{} does not name its arc", visible(&dir)))?;
        let config = settled(args, config, &arc);
        run.accepts(&config)?;
        run.find_images(&config.data)?;
        let plan = MemoryPlan::for_training(&config, &arc, on_gpu)?;
        let data = run.load_data(&config.data, config.run.seed(), Some(&plan))?;
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
        can_be_trained(args, &arc)?;
        let images = args.images.path();
        let extent = Some(&args.extent);
        let read = settings::train_after(&searched, &args.settings, images, extent)?;
        if images.is_none() {
            search.find_images(&read.data)?;
        }
        let mut standing = settings::inherited(&searched, &args.settings)?;
        standing.extend(standing_for(&arc));
        let asked = Asked { extent, standing: &standing, ..Asked::of(&args.settings) };
        let Followed { settings, choices, prepared } =
            asked.follow(context, &read.data, read.run.seed(), Kind::Train);
        let mut config = settings::train_after(&searched, &settings, images, extent)?;
        if arc.micro().is_none() {
            // The width is that of the search unless set otherwise.
            config.macro_net = config.macro_net.or_else(|| searched.macro_net.clone());
        }
        let (config, plan) = planned(args, config, &arc, on_gpu)?;
        let data = match images {
            Some(_) => plan.load_prepared(&config.data, config.run.seed(), &prepared)?,
            None => search.load_data(&config.data, config.run.seed(), Some(&plan))?,
        };
        Ok(Self { config, arc, data, plan, choices, run: None })
    }
}

/// Checks whether the flags are for cells only, before the images are read.
///
/// # Errors
/// A usage error for such a flag with an architecture of the macro search space.
fn can_be_trained(args: &Train, arch: &Arch) -> Result<()> {
    let flags = [
        ("--warm-start", args.warm_start.is_some()),
        ("--find-lr", args.find_lr),
        ("--seeds and --folds", args.seeds.is_some() || args.folds.is_some()),
    ];
    let for_cells = flags.iter().find(|(_, is_given)| *is_given);
    match for_cells {
        Some((flag, _)) if arch.micro().is_none() => Err(enas_search::Error::CellsOnly(flag).into()),
        _ => Ok(()),
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
