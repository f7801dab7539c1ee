//! The leaderboard: reads all runs below directories, and groups them by their images.

use std::path::Path;

use super::entry::Entry;
use super::find::{self, Found};
use super::order::{self, RunGroup, RunRow, Sort};
use super::read::single;
use super::{auto, seeds};

impl Entry {
    /// Reads a run. A damaged run is returned with [`RunState::Damaged`](super::RunState::Damaged) and the reason.
    pub fn read(found: &Found) -> Self {
        if find::is_automatic(&found.dir) {
            auto::read(found)
        } else if find::is_several_seeds(&found.dir) {
            seeds::read(found)
        } else {
            single(&found.name, &found.dir)
        }
    }
}

/// A leaderboard of runs, grouped by data set.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Runs on the same images, sorted by the name of the data set. Runs with unknown images come last.
    pub groups: Vec<RunGroup>,
    /// Whether there are more runs than were read.
    pub more: bool,
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
    pub fn rows(&self) -> impl Iterator<Item = &RunRow> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// All runs, for adding measurements such as the latency.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.groups.iter_mut().flat_map(|group| &mut group.rows).map(|row| &mut row.entry)
    }
}
