//! Searching, training, and using what came of it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::{cell, patience, whole};
use super::{Extent, Machine, Memory, Settings};

/// Find an architecture for a set of pictures
///
/// Trains the shared weights of all architectures and a controller that proposes them, in turns; then scores
/// proposals on the whole validation split beside as many random architectures and keeps the best.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas search                                    the built-in digits, a few minutes on two cores
  enas search --data photos --preset folder      your own pictures: photos/<class>/*.png
  enas search --data photos --time 30m --set child.filters=16
  enas search --resume runs/photos-search-1      go on after Ctrl-C
  enas search --resume runs/photos-search-1 --data /mnt/photos    the same, where the pictures were moved

DATA is a folder DIR/<class>/* or DIR/{train,valid,test}/<class>/*, or either of them in a .zip.")]
pub(crate) struct Search {
    /// Pictures in class folders, or a zip of them [default: the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-search-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// Train one architecture from scratch and save it as a model
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").args(["arc", "arc_file", "cell", "run", "resume"]),
    group = clap::ArgGroup::new("subject").multiple(true).required(true)
        .args(["arc", "arc_file", "cell", "run", "resume", "data"]),
    after_help = "\
Examples:
  enas train --run runs/digits-search-1                the best architecture of a search, on its pictures
  enas train --data photos --patience 20               a ready cell, without a search
  enas train --data photos --cell wide-light --seeds 5 five times, to see how much is chance
  enas train --data photos --find-lr                   which learning rate to try
  enas train --arc \"0 1 0 3 …\" --data photos --epochs 50
  enas train --arc-file my.arc --data photos.zip --time 2h
  enas train --resume runs/photos-train-1              go on after Ctrl-C")]
pub(crate) struct Train {
    /// The architecture, as integers or in readable form
    #[arg(long, value_name = "ARC")]
    pub(crate) arc: Option<String>,
    /// A file that holds the architecture (text, or a run's best.arc.json)
    #[arg(long, value_name = "FILE")]
    pub(crate) arc_file: Option<PathBuf>,
    /// A ready cell in the place of a search [default where only --data is given: wide]
    #[arg(long, value_name = "NAME", value_parser = cell())]
    pub(crate) cell: Option<String>,
    /// A finished search: takes its best architecture, and its pictures unless --data is given
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Begin with the weights of this model, as far as they fit, rather than at random
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) warm_start: Option<PathBuf>,
    /// Train so many times with seeds that follow each other; the median training is delivered
    #[arg(long, value_name = "N", conflicts_with = "resume", allow_negative_numbers = true, value_parser = whole(1, 1000))]
    pub(crate) seeds: Option<usize>,
    /// Train nothing: raise the learning rate over at most 100 steps, print the losses and suggest a rate
    #[arg(long, conflicts_with_all = ["resume", "seeds", "warm_start", "out"])]
    pub(crate) find_lr: bool,
    /// Pictures in class folders, or a zip of them [default: those of --run, else the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
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
  enas eval --model runs/photos-train-1/model.safetensors --data photos
  enas eval --model runs/photos-train-1/model.safetensors --data photos --split valid --json")]
pub(crate) struct Eval {
    /// A model.safetensors that `enas train` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Pictures in class folders, or a zip of them [default: the data the model was trained on]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
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
  enas predict --model model.safetensors photo.png holiday/
  enas predict --model model.safetensors --top 3 --json holiday/
  find . -name '*.jpg' | enas predict --model model.safetensors --csv -")]
pub(crate) struct Predict {
    /// A model.safetensors that `enas train` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Pictures or folders of pictures; - reads paths from stdin, one a line
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How many labels to give for each picture
    #[arg(long, value_name = "K", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) top: usize,
    /// Print comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Show what the trainer would see: originals and augmented copies on one sheet
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas augment --data photos --out sheet.png
  enas augment --data photos --out sheet.png --images 12 --copies 8 --config my.toml")]
pub(crate) struct Augment {
    /// Pictures in class folders, or a zip of them [default: the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The picture to write; its ending chooses the format
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// How many training pictures
    #[arg(long, value_name = "N", default_value = "8", value_parser = whole(1, 500))]
    pub(crate) images: usize,
    /// How many augmented copies of each
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 100))]
    pub(crate) copies: usize,
    #[command(flatten)]
    pub(crate) settings: Settings,
}
