//! Runs side by side: what each came to, how sure that is, what it costs, and in which settings they differ.
//!
//! [`Board::read`] finds the runs of some folders and reads what they say about themselves: a few small files each, and
//! the end of the log. What cannot be read is listed with the reason. Accuracies are compared only among runs on the
//! same images.

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

use enas_search::interval;

pub use self::find::{Found, MOST as MOST_RUNS, folders, is_automatic, is_run, runs};
pub use self::order::{Difference, Sort};
pub use self::page::{STYLE, page, summary, table};
use crate::settings::Settings;

/// What a run, or a folder of runs that belong together, says about itself.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its path below the folder that was searched, or its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// What it does; `None` where that cannot be read.
    pub kind: Option<EntryKind>,
    /// How far it is.
    pub state: State,
    /// What stands against a result: how far it came, or what is damaged.
    pub note: Option<String>,
    /// The images it works on.
    pub data: Option<Images>,
    /// The best known accuracy of its network.
    pub accuracy: Option<Accuracy>,
    /// Accuracy on the validation split, 0 to 1. That of a search was reached with shared weights.
    pub valid_accuracy: Option<f64>,
    /// Accuracy on the test split, 0 to 1; of several seeds the mean.
    pub test_accuracy: Option<f64>,
    /// Macro-F1 on the test split, where the run chose by it.
    pub macro_f1: Option<f64>,
    /// Trainings that are finished, and the standard deviation of their test accuracies, where the seeds are several.
    pub seeds: Option<Seeds>,
    /// What the run chose by, as its settings say.
    pub metric: Option<String>,
    /// The architecture found or trained, as integers.
    pub arc: Option<String>,
    /// Trained weights. Those of a search belong to all architectures together.
    pub params: Option<u64>,
    /// Multiply-adds per image.
    pub macs: Option<u64>,
    /// Milliseconds for one image, where somebody measured.
    pub latency_ms: Option<f64>,
    /// Wall time over all sessions, in seconds.
    pub seconds: Option<f64>,
    /// Epochs done.
    pub epochs: Option<u64>,
    /// Its settings; those of the training whose model lies on top, if there are several.
    pub settings: Settings,
    /// Its event log; of several runs that of the one whose result this is, or of the first.
    pub log: Option<PathBuf>,
    /// The model file, if there is one.
    pub model: Option<PathBuf>,
    /// When its log was last written.
    pub changed: Option<SystemTime>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// Images in, model out: `enas auto`.
    Auto,
    /// A training.
    Train,
    /// Trainings that differ in their seed.
    Seeds,
    /// A search.
    Search,
}

impl EntryKind {
    /// Its name, as in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Train => "train",
            Self::Seeds => "train-seeds",
            Self::Search => "search",
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has a result.
    Finished,
    /// It has none, and its log was written a moment ago.
    Running,
    /// It has none, and is not at work.
    Unfinished,
    /// What it says cannot be read.
    Damaged,
}

impl State {
    /// Its name, as in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
        }
    }
}

/// The images of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Images {
    /// Name of the data set.
    pub name: String,
    /// Number of files.
    pub files: u64,
    /// Hash of their names and contents: equal ones are the same images.
    pub sha256: String,
}

/// An accuracy and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Share of right answers, 0 to 1.
    pub value: f64,
    /// On which images.
    pub split: Split,
    /// How many they are, where that is known.
    pub images: Option<usize>,
    /// The 95 % interval, where the number of images is known.
    pub interval: Option<(f64, f64)>,
}

/// Images that an accuracy was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Those that choices were made by.
    Valid,
    /// Those that nothing else looked at.
    Test,
}

impl Split {
    /// Its name, as in `--json`.
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

/// Trainings with several seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seeds {
    /// Those that are finished.
    pub finished: u64,
    /// All of them.
    pub all: u64,
    /// Standard deviation of their test accuracies; 0 for one.
    pub sd: f64,
}

/// Runs in the order of how good they are.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Runs on the same images, by the name of the data set; last those of which that is not known.
    pub groups: Vec<Group>,
    /// Whether there are more runs than are read.
    pub more: bool,
}

/// Runs on the same images.
#[derive(Clone, Debug)]
pub struct Group {
    /// The images, where they are known.
    pub data: Option<Images>,
    /// The runs, the first one first.
    pub rows: Vec<Row>,
}

/// A run and its place.
#[derive(Clone, Debug)]
pub struct Row {
    /// The run.
    pub entry: Entry,
    /// Its place, from 1.
    pub rank: usize,
    /// Where its settings differ from those of the first run of the same group that has the same settings: one of a
    /// search, or of a training. Empty for that run itself.
    pub differences: Vec<Difference>,
    /// Place of the run that its settings are compared with.
    pub compared_with: Option<usize>,
}

impl Board {
    /// The runs at or below some folders; those that are missing hold none.
    ///
    /// With `data`, only runs on data sets of that name are read.
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

    /// Puts the runs of each group in an order.
    pub fn sort(&mut self, by: Sort) {
        self.groups.iter_mut().for_each(|group| group.sort(by));
    }

    /// All runs.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// All runs, to add what is measured.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.groups.iter_mut().flat_map(|group| &mut group.rows).map(|row| &mut row.entry)
    }
}
