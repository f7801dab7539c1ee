//! The facts about a run that a leaderboard shows.

use std::path::PathBuf;
use std::time::SystemTime;

use enas_run::interval;

use crate::settings::RunSettings;

/// The facts about a run, or about a directory of runs that belong together.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path below the directory that was searched, or its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its kind; `None` if it cannot be read.
    pub kind: Option<EntryKind>,
    /// Its progress.
    pub state: RunState,
    /// For a run without a result: how far it came, or what is damaged.
    pub note: Option<String>,
    /// The images it uses.
    pub data: Option<RunImages>,
    /// The best known accuracy of its network: on the test split, else on the validation split.
    pub accuracy: Option<Accuracy>,
    /// Accuracy on the validation split, 0 to 1. A search measures it with shared weights; after finals it is that of
    /// the network found, on the half that reports.
    pub valid_accuracy: Option<f64>,
    /// Accuracy on the test split, 0 to 1; for several seeds the mean.
    pub test_accuracy: Option<f64>,
    /// Macro-averaged F1 score on the test split, 0 to 1, if the run selected its model by it.
    pub macro_f1: Option<f64>,
    /// For trainings with several seeds: how many are finished, and the spread of their test accuracies.
    pub seeds: Option<Seeds>,
    /// The metric by which the run selected, according to its settings.
    pub metric: Option<String>,
    /// The architecture found or trained, as integers.
    pub arc: Option<String>,
    /// Whether this is a search with finals: its numbers are those of a network that was trained alone.
    pub of_finals: bool,
    /// Number of parameters. For a search without finals, those of all architectures together.
    pub params: Option<u64>,
    /// Multiply-adds per image.
    pub macs: Option<u64>,
    /// Latency in milliseconds for one image, if it was measured.
    pub latency_ms: Option<f64>,
    /// Wall time over all sessions, in seconds.
    pub seconds: Option<f64>,
    /// Number of finished epochs.
    pub epochs: Option<u64>,
    /// Its settings. For an automatic run, those of the training with the result.
    pub settings: RunSettings,
    /// Its event log. For several runs, that of the run with the result, or of the first one.
    pub log: Option<PathBuf>,
    /// The model file, if there is one.
    pub model: Option<PathBuf>,
    /// The time of the last change of its log.
    pub changed: Option<SystemTime>,
}

/// The kind of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// An automatic run, from images to model: `enas auto`.
    Auto,
    /// A training.
    Train,
    /// Trainings that differ in their seeds.
    Seeds,
    /// A search.
    Search,
}

impl EntryKind {
    /// The name, as in the output of `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Train => "train",
            Self::Seeds => "train-seeds",
            Self::Search => "search",
        }
    }
}

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It has a result.
    Finished,
    /// It has no result, and its log was written in the last minute.
    Running,
    /// It has no result and is not running.
    Unfinished,
    /// It cannot be read.
    Damaged,
}

impl RunState {
    /// The name, as in the output of `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
        }
    }
}

/// The data set of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunImages {
    /// Name of the data set.
    pub name: String,
    /// Number of files.
    pub files: u64,
    /// SHA-256 of the names and contents of the files. Equal hashes mean equal images.
    pub sha256: String,
}

/// An accuracy with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Fraction of right predictions, 0 to 1.
    pub value: f64,
    /// The split it was measured on.
    pub split: RunSplit,
    /// The number of images in that split, if known.
    pub images: Option<usize>,
    /// The bounds of the 95 % confidence interval, 0 to 1, if the number of images is known.
    pub interval: Option<(f64, f64)>,
}

/// The split that an accuracy was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunSplit {
    /// Validation images, which choices depended on.
    Valid,
    /// Test images, which no choice depended on.
    Test,
}

impl RunSplit {
    /// The name, as in the output of `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl Accuracy {
    pub(super) fn new(value: f64, split: RunSplit, images: Option<usize>) -> Self {
        let of = |n: usize| interval((value * n as f64).round() as u64, n as u64);
        Self { value, split, images, interval: images.filter(|n| *n > 0).map(of) }
    }
}

/// The state of trainings with several seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seeds {
    /// How many are finished.
    pub finished: u64,
    /// How many there are in total.
    pub all: u64,
    /// Sample standard deviation of their test accuracies, which are 0 to 1; 0 for a single training.
    pub sd: f64,
}
