//! The arguments of `enas auto`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use enas_search::{SearchWhen, TimeLimit};

use crate::args::{Images, Machine, Memory, Settings, output_path, time_limit};

/// Turn a folder of images into a model: check, search, train, measure
///
/// Shows how long each phase is expected to take, measured on the first steps. Trains a small first model at once, so
/// that there is a usable model early. Then searches an architecture and trains it from scratch. Ctrl-C saves: the best
/// model so far stays, and --resume goes on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas auto photos --time 2h                   photos/<class>/*, everything within two hours
  enas auto photos                             as long as the preset's epochs take
  enas auto photos --cell wide-light           train this cell, without a search
  enas auto --time 3m                          a trial on the built-in digits
  enas auto --resume runs/photos-auto-1        go on after Ctrl-C
  enas predict --run runs/photos-auto-1 new/*.jpg

DATA is a folder DIR/<class>/* or DIR/{train,valid,test}/<class>/*, or either of them in a .zip, or a built-in
set: digits, fashion-small.
--set with keys of controller, reward and select is for the search; keys of keep, metric and refit are for the
trainings; all others are for both.")]
pub(crate) struct Auto {
    #[command(flatten)]
    pub(crate) images: Images,
    /// Be done after this time: 90s, 30m or 2h [default: as long as the preset's epochs take]
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    pub(crate) time: Option<TimeLimit>,
    /// The folder of this run; must not exist or be empty [default: runs/DATA-auto-N]
    #[arg(long, value_name = "DIR", value_parser = output_path(), conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Continue an interrupted run with its own settings; only settings that change no result may differ
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Search an architecture, or train a ready cell; auto: search if there are enough images and time.
    /// Not with --resume, which keeps that of the run
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        conflicts_with = "resume"
    )]
    pub(crate) search: Search,
    /// Train this cell instead of searching one: a ready cell (see `enas train --help`), an architecture, or a file
    /// that holds it. Not with --search or --resume; a resumed run keeps its cell
    #[arg(long, value_name = "NAME|ARC|FILE", conflicts_with_all = ["search", "resume"])]
    pub(crate) cell: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// Whether to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Search {
    /// If there are enough images and time for a meaningful search
    Auto,
    /// For any data and any time limit
    Always,
    /// A ready cell is trained
    Never,
}

impl Search {
    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl From<Search> for SearchWhen {
    fn from(search: Search) -> Self {
        match search {
            Search::Auto => Self::IfItPays,
            Search::Always => Self::Always,
            Search::Never => Self::Never,
        }
    }
}
