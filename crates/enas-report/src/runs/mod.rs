//! Comparison of runs: the result of each with its confidence interval, its cost, and the settings in which runs
//! differ.
//!
//! [`Board::read`] finds the runs below some directories. Of each run it reads a few small files and the end of the
//! log. Runs that cannot be read are listed with the reason. Accuracies are compared only between runs on the same
//! images.

mod auto;
mod find;
mod order;
mod page;
mod read;
mod seeds;
mod tail;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use enas_run::interval;

pub use self::find::{Found, MOST as MOST_RUNS, folders, is_automatic, is_run, runs};
pub use self::order::{Difference, Sort};
pub use self::page::{STYLE, page, summary, table};
use crate::settings::Settings;

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
    pub state: State,
    /// For a run without a result: how far it came, or what is damaged.
    pub note: Option<String>,
    /// The images it uses.
    pub data: Option<Images>,
    /// The best known accuracy of its network: on the test split, else on the validation split.
    pub accuracy: Option<Accuracy>,
    /// Accuracy on the validation split, 0 to 1. A search measures it with shared weights.
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
    /// Number of parameters. For a search, those of all architectures together.
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
    pub settings: Settings,
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
pub enum State {
    /// It has a result.
    Finished,
    /// It has no result, and its log was written in the last minute.
    Running,
    /// It has no result and is not running.
    Unfinished,
    /// It cannot be read.
    Damaged,
}

impl State {
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
pub struct Images {
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
    pub split: Split,
    /// The number of images in that split, if known.
    pub images: Option<usize>,
    /// The bounds of the 95 % confidence interval, 0 to 1, if the number of images is known.
    pub interval: Option<(f64, f64)>,
}

/// The split that an accuracy was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Validation images, which choices depended on.
    Valid,
    /// Test images, which no choice depended on.
    Test,
}

impl Split {
    /// The name, as in the output of `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl Accuracy {
    fn new(value: f64, split: Split, images: Option<usize>) -> Self {
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

/// A leaderboard of runs, grouped by data set.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Runs on the same images, sorted by the name of the data set. Runs with unknown images come last.
    pub groups: Vec<Group>,
    /// Whether there are more runs than were read.
    pub more: bool,
}

/// Runs on the same images.
#[derive(Clone, Debug)]
pub struct Group {
    /// The images, if known.
    pub data: Option<Images>,
    /// The runs, best first.
    pub rows: Vec<Row>,
}

/// A run with its rank.
#[derive(Clone, Debug)]
pub struct Row {
    /// The run.
    pub entry: Entry,
    /// The rank, from 1.
    pub rank: usize,
    /// The settings in which it differs from the reference run.
    ///
    /// The reference is the first run of the group that is of the same kind: a search, or any training. The reference
    /// itself has none.
    pub differences: Vec<Difference>,
    /// The rank of the reference run.
    pub compared_with: Option<usize>,
}

impl Board {
    /// Reads the runs at or below some directories; missing directories contain none.
    ///
    /// With `data`, only runs on data sets of that name are kept.
    pub fn read(folders: &[&Path], data: Option<&str>) -> Self {
        let mut board = Self::default();
        let mut entries: Vec<Entry> = Vec::new();
        for folder in folders {
            let (found, more) = find::folders(folder);
            board.more |= more;
            for found in found {
                if !entries.iter().any(|known| known.dir == found.dir) {
                    entries.push(Entry::read(&found));
                }
            }
        }
        entries.retain(|entry| data.is_none_or(|name| entry.data.as_ref().is_some_and(|d| d.name == name)));
        board.groups = order::grouped(entries);
        board.sort(Sort::Accuracy);
        board
    }

    /// Sorts the runs of each group.
    pub fn sort(&mut self, by: Sort) {
        self.groups.iter_mut().for_each(|group| group.sort(by));
    }

    /// All runs, in order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// All runs, for adding measurements such as the latency.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.groups.iter_mut().flat_map(|group| &mut group.rows).map(|row| &mut row.entry)
    }
}
