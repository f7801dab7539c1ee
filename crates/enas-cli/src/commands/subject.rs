//! The architectures that a command is about, and the final networks that `enas train` would build from them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enas_arc::{Arc, Arch};
use enas_child::{Child, InputShape, MacroChild, MacroConfig};
use enas_data::Dataset;
use enas_rng::Seed;
use enas_search::{Kind, Record, SearchConfig, TrainConfig};
use serde::Serialize;

use super::settings;
use crate::args::{ArcInput, Settings};
use crate::failure::{OrUsage, usage};
use crate::{arcs, locate};

/// Default number of classes.
const CLASSES: usize = 10;

/// Architectures, and the configuration of their networks.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) arcs: Vec<Arc>,
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
            let run = Record::open(&locate::reported(dir)?).context("--run")?;
            let arcs = vec![arc_of(&run).context("--run")?];
            return Self::of_run(&run, arcs, classes, settings).context("--run");
        }
        let arcs = arcs::given(input)?;
        let is_bare = classes.is_none() && settings.is_empty();
        if let Some(run) = run_around(input).filter(|_| is_bare) {
            return Self::of_run(&run, arcs, classes, settings);
        }
        let config = settings::train(settings, None, None)?;
        Ok(Self { arcs, config, classes: classes.unwrap_or(CLASSES) })
    }

    fn of_run(run: &Record, arcs: Vec<Arc>, classes: Option<usize>, settings: &Settings) -> Result<Self> {
        let of_run = run.split()?.classes.len();
        let config = match run.manifest().kind {
            Kind::Search => settings::train_after(&run.config::<SearchConfig>()?, settings, None, None)?,
            Kind::Train if !settings.is_empty() || classes.is_some() => {
                let shown = run.dir().display();
                let problem = "this training has settings and classes of its own; leave those flags out";
                return Err(usage(format!("{shown}: {problem}")));
            }
            Kind::Train => run.config()?,
        };
        Ok(Self { arcs, config, classes: classes.unwrap_or(of_run) })
    }

    /// Channels, height and width of the images.
    pub(crate) fn input(&self) -> InputShape {
        let enas_data::Config { channels, image_size: size, .. } = self.config.data;
        InputShape { channels, height: size, width: size }
    }

    /// The final network of `arc`. It has as many nodes per cell as the arc, whatever the settings say.
    ///
    /// # Errors
    /// A usage error for settings that do not describe a network.
    pub(crate) fn child(&self, arc: &Arc) -> Result<Child> {
        let config = enas_child::Config { nodes: arc.n_nodes(), ..self.config.child.clone() };
        // The values of the weights are not used, so any seed will do.
        Child::fixed(&config, arc, self.input(), self.classes, Seed::new(0)).or_usage()
    }
}

/// Size and cost of the network that `enas train` would build from an architecture that a search found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct FinalNetwork {
    pub(crate) params: usize,
    /// Multiply-adds per image.
    pub(crate) macs: u64,
}

impl FinalNetwork {
    /// The final network of `arch`, trained on the data of the search with this preset, or with the default one.
    pub(crate) fn of(
        searched: &SearchConfig,
        preset: Option<&str>,
        arch: &Arch,
        data: &Dataset,
    ) -> Option<Self> {
        let settings = Settings { preset: preset.map(str::to_owned), ..Settings::default() };
        let config = settings::train_after(searched, &settings, None, None).ok()?;
        let arc = match arch {
            Arch::Micro(arc) => arc,
            Arch::Macro(arc) => {
                let network = config.macro_net.or_else(|| searched.macro_net.clone()).unwrap_or_default();
                let network = MacroConfig { layers: arc.n_layers(), ..network };
                let input = InputShape { channels: data.channels, height: data.height, width: data.width };
                let seed = Seed::new(0);
                let child = MacroChild::fixed(&network, arc, input, data.classes.len(), seed).ok()?;
                return Some(Self { params: child.n_params(), macs: child.macs(arc).ok()? });
            }
        };
        let subject = Subject { arcs: Vec::new(), config, classes: data.classes.len() };
        let child = subject.child(arc).ok()?;
        Some(Self { params: child.n_params(), macs: child.macs(arc).ok()? })
    }
}

fn arc_of(run: &Record) -> Result<Arc> {
    match run.manifest().arc.as_ref().and_then(Arch::micro) {
        Some(arc) => Ok(arc.clone()),
        // Fails with a message if the architecture is of the macro search space.
        None => Ok(run.best_arc()?),
    }
}

/// The run whose directory contains the given file, if there is one.
fn run_around(input: &ArcInput) -> Option<Record> {
    let file = input.path()?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Record::open(dir).ok()
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
