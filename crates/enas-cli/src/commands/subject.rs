//! The architectures that a command is about, and the final networks that `enas train` would build from them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enas_arc::{Arc, Arch, MacroArc};
use enas_child::{Child, InputShape, MacroChild, MacroConfig};
use enas_data::Dataset;
use enas_rng::Seed;
use enas_search::{Kind, RunReader, SearchConfig, TrainConfig};
use serde::Serialize;

use super::settings;
use crate::args::{ArcInput, Settings};
use crate::failure::{OrUsage, usage};
use crate::output::visible;
use crate::{arcs, locate};

/// Default number of classes.
const CLASSES: usize = 10;

/// Architectures, and the configuration of their networks.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) arches: Vec<Arch>,
    pub(crate) config: TrainConfig,
    pub(crate) classes: usize,
}

impl Subject {
    /// Resolves the arguments: a run with its own task, a file in the directory of a run, or any architecture with
    /// the settings and the number of classes given.
    ///
    /// # Errors
    /// A usage error for an invalid arc, invalid settings, or settings in addition to those of a training.
    pub(crate) fn new(input: &ArcInput, classes: Option<usize>, settings: &Settings) -> Result<Self> {
        if let Some(dir) = &input.run {
            let run = RunReader::open(&locate::reported(dir)?).context("--run")?;
            let arch = run.manifest().arc.clone().map_or_else(|| run.best_arch(), Ok).context("--run")?;
            return Self::of_run(&run, vec![arch], classes, settings).context("--run");
        }
        let arches = arcs::given(input)?;
        let is_bare = classes.is_none() && settings.is_empty();
        if let Some(run) = run_around(input).filter(|_| is_bare) {
            return Self::of_run(&run, arches, classes, settings);
        }
        let config = settings::train(settings, None, None)?;
        Ok(Self { arches, config, classes: classes.unwrap_or(CLASSES) })
    }

    fn of_run(
        run: &RunReader,
        arches: Vec<Arch>,
        classes: Option<usize>,
        settings: &Settings,
    ) -> Result<Self> {
        let of_run = run.split()?.classes.len();
        let config = match run.manifest().kind {
            Kind::Search => {
                let searched = run.config::<SearchConfig>()?;
                let mut config = settings::train_after(&searched, settings, None, None)?;
                config.macro_net = config.macro_net.or(searched.macro_net);
                config
            }
            Kind::Train if !settings.is_empty() || classes.is_some() => {
                let shown = visible(run.dir());
                let problem = "this training has settings and classes of its own; leave those flags out";
                return Err(usage(format!("{shown}: {problem}")));
            }
            Kind::Train => run.config()?,
        };
        Ok(Self { arches, config, classes: classes.unwrap_or(of_run) })
    }

    /// Channels, height and width of the images.
    pub(crate) fn input(&self) -> InputShape {
        let enas_data::Config { channels, image_size: size, .. } = self.config.data;
        InputShape { channels, height: size, width: size }
    }

    /// The final network of `arch`. The numbers of nodes per cell and of layers are those of the architecture, whatever
    /// the settings say.
    ///
    /// # Errors
    /// A usage error for settings that do not describe a network.
    pub(crate) fn network(&self, arch: &Arch) -> Result<FinalNetwork> {
        // The values of the weights are not used, so any seed will do.
        let input = self.input();
        let seed = Seed::new(0);
        Ok(match arch {
            Arch::Micro(arc) => {
                let config = enas_child::Config { nodes: arc.n_nodes(), ..self.config.child.clone() };
                let child = Child::fixed(&config, arc, input, self.classes, seed).or_usage()?;
                FinalNetwork::Cells(child, arc.clone())
            }
            Arch::Macro(arc) => {
                let config = self.config.macro_net.clone().unwrap_or_default();
                let config = MacroConfig { layers: arc.n_layers(), ..config };
                let child = MacroChild::fixed(&config, arc, input, self.classes, seed).or_usage()?;
                FinalNetwork::Layers(child, arc.clone())
            }
        })
    }
}

/// The network that `enas train` would build from an architecture, with the architecture.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum FinalNetwork {
    Cells(Child, Arc),
    Layers(MacroChild, MacroArc),
}

impl FinalNetwork {
    /// Number of parameters and multiply-adds of the network.
    ///
    /// # Errors
    /// None for networks of [`Subject::network`], because their architecture fits.
    pub(crate) fn size(&self) -> Result<FinalSize> {
        Ok(match self {
            Self::Cells(child, arc) => FinalSize { params: child.n_params(), macs: child.macs(arc)? },
            Self::Layers(child, arc) => FinalSize { params: child.n_params(), macs: child.macs(arc)? },
        })
    }

    /// Number of parameters of the auxiliary head. A macro network has none.
    pub(crate) fn n_aux_params(&self) -> usize {
        match self {
            Self::Cells(child, _) => child.n_aux_params(),
            Self::Layers(..) => 0,
        }
    }
}

/// Size and cost of the network that `enas train` would build from an architecture that a search found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FinalSize {
    pub(crate) params: usize,
    /// Multiply-adds per image.
    pub(crate) macs: u64,
}

impl FinalSize {
    /// Size and cost of the final network of `arch`, trained on the data of the search with this preset, or with the
    /// default one. `None` if the settings do not describe a network.
    pub(crate) fn of(
        searched: &SearchConfig,
        preset: Option<&str>,
        arch: &Arch,
        data: &Dataset,
    ) -> Option<Self> {
        let settings = Settings { preset: preset.map(str::to_owned), ..Settings::default() };
        let mut config = settings::train_after(searched, &settings, None, None).ok()?;
        config.macro_net = config.macro_net.or_else(|| searched.macro_net.clone());
        let subject = Subject { arches: Vec::new(), config, classes: data.classes.len() };
        subject.network(arch).ok()?.size().ok()
    }
}

/// The run whose directory contains the given file, if there is one.
fn run_around(input: &ArcInput) -> Option<RunReader> {
    let file = input.path()?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    RunReader::open(dir).ok()
}

impl ArcInput {
    /// The file with the architectures: that of `--file`, or an argument that is a file.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match (&self.file, self.arc.as_slice()) {
            (Some(file), _) => Some(file.clone()),
            (None, [word]) if Path::new(word).is_file() => Some(word.into()),
            _ => None,
        }
    }
}
