//! The order of runs, and the settings in which runs differ from the first one.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Entry, EntryKind, RunImages, RunSplit};
use crate::settings::RunSettings;

/// Runs on the same images.
#[derive(Clone, Debug)]
pub struct RunGroup {
    /// The images, if known.
    pub data: Option<RunImages>,
    /// The runs, best first.
    pub rows: Vec<RunRow>,
}

/// A run with its rank.
#[derive(Clone, Debug)]
pub struct RunRow {
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

/// The criterion of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Highest accuracy first: those on test images, then those on validation images.
    #[default]
    Accuracy,
    /// Fewest parameters first.
    Params,
    /// Fewest multiply-adds first.
    Macs,
    /// Lowest latency first.
    Latency,
    /// Shortest wall time first.
    Time,
    /// By name.
    Name,
    /// Most recently written first.
    Newest,
}

/// A setting in which a run differs from its reference run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, such as `child.filters`; `arc` for the architecture.
    pub key: String,
    /// The value in this run; `None` if it is not set.
    pub value: Option<String>,
    /// The value in the reference run; `None` if it is not set.
    pub reference: Option<String>,
}

/// Settings that do not influence results, and the path of the images, whose fingerprints are compared instead.
const WITHOUT_EFFECT: [&str; 5] =
    ["data.path", "run.checkpoint_seconds", "run.eval_batch", "run.log_every", "run.memory"];

/// Groups runs by their images.
pub(super) fn grouped(entries: Vec<Entry>) -> Vec<RunGroup> {
    let mut groups: BTreeMap<(bool, Option<RunImages>), Vec<RunRow>> = BTreeMap::new();
    for entry in entries {
        let row = RunRow { rank: 0, differences: Vec::new(), compared_with: None, entry };
        // `false < true`: runs with unknown images come last.
        groups.entry((row.entry.data.is_none(), row.entry.data.clone())).or_default().push(row);
    }
    groups.into_iter().map(|((_, data), rows)| RunGroup { data, rows }).collect()
}

impl RunGroup {
    pub(super) fn sort(&mut self, by: Sort) {
        self.rows
            .sort_by(|a, b| by.compare(&a.entry, &b.entry).then_with(|| a.entry.name.cmp(&b.entry.name)));
        let mut first: [Option<usize>; 2] = [None; 2];
        for i in 0..self.rows.len() {
            let entry = &self.rows[i].entry;
            let of_kind = |kind| *first[usize::from(kind == EntryKind::Search)].get_or_insert(i);
            let reference = entry.kind.map(of_kind).filter(|reference| *reference != i);
            let of = |reference: usize| differences(entry, &self.rows[reference].entry);
            let differences = reference.map_or_else(Vec::new, of);
            let row = &mut self.rows[i];
            (row.rank, row.differences) = (i + 1, differences);
            row.compared_with = reference.map(|reference| reference + 1);
        }
    }
}

impl Sort {
    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        // Runs without the number come last in every order.
        let smallest = |key: fn(&Entry) -> Option<f64>| {
            let of = |entry| key(entry).filter(|value| value.is_finite()).unwrap_or(f64::INFINITY);
            of(a).total_cmp(&of(b))
        };
        match self {
            Self::Accuracy => {
                let key = |entry: &Entry| entry.accuracy.map(|it| (it.split == RunSplit::Test, it.value));
                let a = key(a);
                let b = key(b);
                let split = b.map(|it| it.0).cmp(&a.map(|it| it.0));
                let value = |key: Option<(bool, f64)>| key.map_or(f64::NEG_INFINITY, |it| it.1);
                split.then_with(|| value(b).total_cmp(&value(a)))
            }
            Self::Params => smallest(|entry| entry.params.map(|n| n as f64)),
            Self::Macs => smallest(|entry| entry.macs.map(|n| n as f64)),
            Self::Latency => smallest(|entry| entry.latency_ms),
            Self::Time => smallest(|entry| entry.seconds),
            Self::Name => a.name.cmp(&b.name),
            Self::Newest => Reverse(a.changed).cmp(&Reverse(b.changed)),
        }
    }
}

/// The settings in which a run differs from a reference run, the architecture first.
fn differences(entry: &Entry, reference: &Entry) -> Vec<Difference> {
    let ours = by_key(&entry.settings);
    let theirs = by_key(&reference.settings);
    // Without settings a run would differ in every key, which says nothing.
    let comparable = !ours.is_empty() && !theirs.is_empty();
    let keys: BTreeSet<&str> = ours.keys().chain(theirs.keys()).copied().collect();
    let of = |settings: &BTreeMap<&str, &str>, key| settings.get(key).map(|value| (*value).to_owned());
    let differ = keys.into_iter().filter(|_| comparable).filter_map(|key| {
        let value = of(&ours, key);
        let reference = of(&theirs, key);
        let differs = value != reference && !WITHOUT_EFFECT.contains(&key);
        differs.then(|| Difference { key: key.to_owned(), value, reference })
    });
    let value = entry.arc.clone();
    let reference = reference.arc.clone();
    let arc = (value != reference && value.is_some() && reference.is_some()).then(|| Difference {
        key: "arc".into(),
        value,
        reference,
    });
    arc.into_iter().chain(differ).collect()
}

fn by_key(settings: &RunSettings) -> BTreeMap<&str, &str> {
    settings.all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
