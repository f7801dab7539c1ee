//! The arguments of `enas train`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{Extent, Images, Machine, Memory, Settings, cell, output_path, patience, whole};

/// One of the networks that a search offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pick {
    /// The best with at most half the multiply-adds of a usual random one
    Small,
    /// The cheapest of those that are measurably as good as the best
    Balanced,
    /// The best, at any cost
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
  enas train --run runs/digits-search-1                the best architecture of a search, on its images
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
    /// A ready cell instead of a search [default where only DATA is given: wide]
    #[arg(long, value_name = "NAME", value_parser = cell())]
    pub(crate) cell: Option<String>,
    /// A finished search or `enas auto`: takes the best architecture found, and its images unless DATA is given
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// With --run: which of the networks that the search offers [default: balanced]
    #[arg(long, value_enum, requires = "run")]
    pub(crate) pick: Option<Pick>,
    /// Start from the weights of this model or run where they fit, not from random ones
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "resume")]
    pub(crate) warm_start: Option<PathBuf>,
    /// Train N times with consecutive seeds; the result is the median training
    #[arg(long, value_name = "N", conflicts_with = "resume", allow_negative_numbers = true, value_parser = whole(1, 1000))]
    pub(crate) seeds: Option<usize>,
    /// Cross-validate: train K times, each time testing on another K-th of the images; the result is the median
    /// training
    #[arg(long, value_name = "K", conflicts_with_all = ["resume", "seeds"], allow_negative_numbers = true, value_parser = whole(2, 100))]
    pub(crate) folds: Option<usize>,
    /// How many trainings of --seeds or --folds to run at a time, as far as memory allows; results stay the same
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = whole(1, 1024))]
    pub(crate) jobs: usize,
    /// Do not train: raise the learning rate over at most 100 steps, print the losses and suggest a rate
    #[arg(long, conflicts_with_all = ["resume", "seeds", "folds", "warm_start", "out"])]
    pub(crate) find_lr: bool,
    #[command(flatten)]
    pub(crate) images: Images,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-train-N]
    #[arg(long, value_name = "DIR", value_parser = output_path(), conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// End after N epochs without improvement; 0 for all epochs [default: run.patience]
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
