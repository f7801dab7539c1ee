//! The arguments of the commands that search, train and use models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::{cell, patience, whole};
use super::{Extent, Images, Machine, Memory, ModelPlace, Settings};

/// Find an architecture for a set of pictures
///
/// Trains the shared weights of all architectures, then a policy that proposes architectures; trains the best proposals
/// and random architectures alone for a short time, keeps the best, and says what searching brought.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enas search                                    the built-in digits, about a minute on two cores
  enas search photos                             your own images: photos/<class>/*.png
  enas search photos --time 30m --set child.filters=16
  enas search photos --max-params 100000         no network has more trained weights
  enas search photos --strategy evolution        a population instead of a policy
  enas search photos --space macro               whole networks, layer by layer, instead of cells
  enas search photos --repeat 3                  three seeds: do the results agree?
  enas search --resume runs/photos-search-1      go on after Ctrl-C
  enas search photos --resume runs/photos-search-1    the same, where the images are now

DATA is a folder DIR/<class>/* or DIR/{train,valid,test}/<class>/*, or either of them in a .zip.
digits and fashion-small are built in. A folder of that name wins, and ./digits is always a folder.")]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) images: Images,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-search-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    /// Search so many times with seeds that follow each other, and say whether the results agree
    #[arg(long, value_name = "N", conflicts_with = "resume", allow_negative_numbers = true, value_parser = whole(2, 100))]
    pub(crate) repeat: Option<usize>,
    /// What is searched [default: micro, unless --config or --set space says otherwise]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<Space>,
    /// What proposes architectures [default: reinforce, unless --config or --set strategy.kind says otherwise]
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: Option<Strategy>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Space {
    /// Two cells, of which networks are stacked
    Micro,
    /// Whole networks, layer by layer, on the CPU and without finals: the authors' macro search
    Macro,
}

/// Defaults of a search in the macro space: no finals, and the published penalty on skip connections.
const MACRO: [&str; 4] =
    ["space=macro", "finals.steps=0", "controller.skip.weight=0.8", "controller.skip.target=0.4"];

/// What proposes the architectures of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// An LSTM policy that learns from rewards, as published
    Reinforce,
    /// Regularised evolution: mutants of the best, the oldest dies
    Evolution,
    /// Draws uniformly: random search with shared weights
    Uniform,
    /// Draws among cells that read only their inputs
    Wide,
}

impl Search {
    fn names_settings(&self) -> bool {
        let of_macro = |name: &String| name.starts_with("reference-macro");
        self.settings.config.is_some() || self.settings.preset.as_ref().is_some_and(of_macro)
    }

    /// The settings, including those from the flags for space, strategy and limits.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.limits.within(&self.settings);
        let of_space: &[&str] = match self.space {
            None => &[],
            Some(Space::Micro) => &["space=micro"],
            // The other values of a file or preset of the macro space stay.
            Some(Space::Macro) if self.names_settings() => &MACRO[..1],
            Some(Space::Macro) => &MACRO,
        };
        if !of_space.is_empty() {
            settings.set.retain(|set| !set.starts_with("space="));
            // First in the list, so that values set by the user win.
            settings.set.splice(..0, of_space.iter().map(|&set| set.to_owned()));
        }
        let Some(strategy) = self.strategy else { return settings };
        let name = strategy.to_possible_value().expect("no strategy is hidden");
        // Before the keys of the strategy: a change of the kind drops the keys of the previous kind.
        let kind = format!("strategy.kind={}", name.get_name());
        let others = settings.set.into_iter().filter(|set| !set.starts_with("strategy.kind="));
        Settings { set: std::iter::once(kind).chain(others).collect(), ..settings }
    }
}

/// What every architecture keeps to that a search proposes: of the network that its finals train
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Most trained weights of a network
    #[arg(long, value_name = "N")]
    pub(crate) max_params: Option<std::num::NonZeroU64>,
    /// Most multiply-adds per image
    #[arg(long, value_name = "N")]
    pub(crate) max_macs: Option<std::num::NonZeroU64>,
    /// Most time for one image alone on this machine, such as 5ms
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) max_latency: Option<f64>,
}

impl Limits {
    /// The settings with these limits, which win over `--set` for the same keys.
    pub(crate) fn within(&self, settings: &Settings) -> Settings {
        let mut set = settings.set.clone();
        set.extend(self.max_params.map(|n| format!("limits.params={n}")));
        set.extend(self.max_macs.map(|n| format!("limits.macs={n}")));
        set.extend(self.max_latency.map(|ms| format!("limits.latency_ms={ms:?}")));
        Settings { set, ..settings.clone() }
    }
}

/// Parses a latency in milliseconds: `5ms`, `0.8ms`, `5`.
///
/// # Errors
/// A message that says what to write.
fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("ms").unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(ms) if ms > 0.0 && ms.is_finite() => Ok(ms),
        _ => Err("write a number above 0 and its unit, such as 5ms or 0.8ms".into()),
    }
}

/// One of the networks that a search offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pick {
    /// The best with at most half the multiply-adds of a usual random one
    Small,
    /// The cheapest of those that are measurably as good as the best
    Balanced,
    /// The best, whatever it costs
    Accurate,
}

impl From<Pick> for enas_search::Pick {
    fn from(pick: Pick) -> Self {
        match pick {
            Pick::Small => Self::Small,
            Pick::Balanced => Self::Balanced,
            Pick::Accurate => Self::Accurate,
        }
    }
}

/// Train one architecture from scratch and save it as a model
#[derive(Clone, Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").args(["arc", "arc_file", "cell", "run", "resume"]),
    group = clap::ArgGroup::new("subject").multiple(true).required(true)
        .args(["arc", "arc_file", "cell", "run", "resume", "data", "data_flag"]),
    after_help = "\
Examples:
  enas train --run runs/digits-search-1                the best architecture of a search, on its pictures
  enas train --run runs/photos-search-1 --pick small   the smallest of its good networks
  enas train photos --patience 20                      a ready cell, without a search
  enas train photos --cell wide-light --seeds 5        five times, to see how much is chance
  enas train photos --folds 3                          every image is a test image once: for few images
  enas train photos --find-lr                          which learning rate to try
  enas train photos --arc \"0 1 0 3 …\" --epochs 50
  enas train photos.zip --arc my.arc --time 2h
  enas train --resume runs/photos-train-1              go on after Ctrl-C")]
pub(crate) struct Train {
    /// The architecture: integers or the readable form in quotes, or a file that holds it (a run's best.arc.json)
    #[arg(long, value_name = "ARC|FILE")]
    pub(crate) arc: Option<String>,
    /// A file that holds the architecture
    #[arg(long, value_name = "FILE")]
    pub(crate) arc_file: Option<PathBuf>,
    /// A ready cell in the place of a search [default where only DATA is given: wide]
    #[arg(long, value_name = "NAME", value_parser = cell())]
    pub(crate) cell: Option<String>,
    /// A finished search or `enas auto`: takes the best architecture found, and its images unless DATA is given
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// With --run: which of the networks that the search offers [default: balanced]
    #[arg(long, value_enum, requires = "run")]
    pub(crate) pick: Option<Pick>,
    /// Begin with the weights of this model, or of a run's, as far as they fit, rather than at random
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "resume")]
    pub(crate) warm_start: Option<PathBuf>,
    /// Train so many times with seeds that follow each other; the median training is delivered
    #[arg(long, value_name = "N", conflicts_with = "resume", allow_negative_numbers = true, value_parser = whole(1, 1000))]
    pub(crate) seeds: Option<usize>,
    /// Cross-validate: train K times, each time testing on another K-th of the images; the median training is delivered
    #[arg(long, value_name = "K", conflicts_with_all = ["resume", "seeds"], allow_negative_numbers = true, value_parser = whole(2, 100))]
    pub(crate) folds: Option<usize>,
    /// How many of the trainings of --seeds or --folds to do at a time, as far as memory allows; results stay the same
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = whole(1, 1024))]
    pub(crate) jobs: usize,
    /// Train nothing: raise the learning rate over at most 100 steps, print the losses and suggest a rate
    #[arg(long, conflicts_with_all = ["resume", "seeds", "folds", "warm_start", "out"])]
    pub(crate) find_lr: bool,
    #[command(flatten)]
    pub(crate) images: Images,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-train-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// End after so many epochs without a better one; 0 for all epochs [default: run.patience]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = patience)]
    pub(crate) patience: Option<u64>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// Measure a model: accuracy, precision and recall per class, confusion matrix
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas eval --run runs/photos-train-1
  enas eval --model runs/photos-train-1/model.safetensors photos --split valid --json")]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) place: ModelPlace,
    #[command(flatten)]
    pub(crate) images: Images,
    /// Which part of the data
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub(crate) split: Split,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    Train,
    Valid,
    Test,
}

/// Label pictures with a model
///
/// Prints one line per picture. A file that cannot be read gets a line with the reason; the others go on, and the
/// exit code is 1 at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas predict --run runs/photos-train-1 photo.png
  enas predict --model model.safetensors photo.png holiday/
  enas predict --model model.safetensors --top 3 --json holiday/
  find . -name '*.jpg' | enas predict --model model.safetensors --csv -")]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) place: ModelPlace,
    /// Images, folders or zips of images; - reads paths from stdin, one a line
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How many labels to give for each picture
    #[arg(long, value_name = "K", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) top: usize,
    /// Give the probabilities as the network was trained to, not calibrated on its validation images
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Show what the trainer would see: originals and augmented copies on one sheet
///
/// Originals have a blue frame, and each row of images has its class above it. Class names are written with Latin, Greek and
/// Cyrillic letters; other characters appear as their code, such as \u{82f9}. Names that are too long end in "…".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas augment photos
  enas augment photos --out sheet.png --images 12 --copies 8
  enas augment photos --out sheet.png --force --config my.toml")]
pub(crate) struct Augment {
    #[command(flatten)]
    pub(crate) images: Images,
    /// The file to write; its ending chooses the format [default: DATA-augment-N.png]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a file that exists, or write among the images
    #[arg(long)]
    pub(crate) force: bool,
    /// How many training images
    #[arg(long = "images", value_name = "N", default_value = "8", value_parser = whole(1, 500))]
    pub(crate) n_images: usize,
    /// How many augmented copies of each
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 100))]
    pub(crate) copies: usize,
    #[command(flatten)]
    pub(crate) settings: Settings,
}
