//! The leaderboard as an HTML table, and as a self-contained page.

use std::path::Path;

use askama::Template;

use super::board::Board;
use super::entry::{Accuracy, Entry, EntryKind, RunSplit, RunState};
use super::order::{RunGroup, RunRow};
use crate::error::Result;
use crate::repeat::relative;
use crate::text::{counted, duration, grouped, now, percent};
use crate::{FILE_NAME, chart};

/// The style sheet of the tables, in addition to [`crate::STYLE`].
pub const STYLE: &str = include_str!("../../templates/runs.css");

/// Maximum number of differences shown per run. The number of further ones is stated.
const MOST_DIFFERENCES: usize = 12;

/// The leaderboard as a document.
#[derive(Template)]
#[template(path = "runs.html")]
struct Document {
    style: String,
    title: String,
    summary: String,
    table: String,
    written: String,
}

/// The leaderboard as a self-contained page with links to the reports of the runs.
///
/// The links are relative to `out`, the path at which the caller writes the page.
///
/// # Errors
/// [`crate::Error::Page`] if the page cannot be rendered.
pub fn page(board: &Board, title: &str, out: &Path) -> Result<String> {
    let link = |entry: &Entry| {
        let report = entry.dir.join(FILE_NAME);
        report.is_file().then(|| relative(out, &report)).flatten()
    };
    let page = Document {
        style: format!("{}\n{}\n{STYLE}", chart::STYLE, crate::STYLE),
        title: title.to_owned(),
        summary: summary(board),
        table: table(board, &link)?,
        written: now(),
    };
    Ok(page.render()?)
}

/// The number of runs in words.
pub fn summary(board: &Board) -> String {
    let finished = board.rows().filter(|row| row.entry.is_finished()).count();
    let all = counted(board.rows().count() as u64, "run", "runs");
    let more = if board.more { " There are more than are shown." } else { "" };
    format!("{all}, {finished} finished.{more}")
}

/// Returns the address that the name of a run links to.
type Link<'a> = &'a dyn Fn(&Entry) -> Option<String>;

/// The leaderboard as HTML tables, one for each data set. `link` returns the address that a run's name links to.
///
/// # Errors
/// [`crate::Error::Page`] if the tables cannot be rendered.
pub fn table(board: &Board, link: Link<'_>) -> Result<String> {
    let mut groups: Vec<Table> = board.groups.iter().map(|group| Table::new(group, link)).collect();
    // The explanations appear once, below the last table.
    if let Some(last) = groups.last_mut() {
        last.notes = notes(board);
    }
    Ok(Tables { groups }.render()?)
}

/// What the accuracies and sizes of searches mean.
pub fn search_notes(board: &Board) -> Vec<&'static str> {
    let any = |of_finals: bool| {
        let entries = board.rows().map(|row| &row.entry);
        entries
            .filter(|entry| entry.kind == Some(EntryKind::Search))
            .any(|entry| entry.of_finals == of_finals)
    };
    let shared = "A search measures with weights that all architectures share: its numbers are not those of a trained network.";
    let alone = "The finals of a search measure the network found after a short training alone, on the half of the \
                 validation images that no choice used: a whole training reaches other numbers.";
    [(false, shared), (true, alone)]
        .into_iter()
        .filter(|(of_finals, _)| any(*of_finals))
        .map(|(_, note)| note)
        .collect()
}

fn notes(board: &Board) -> Vec<&'static str> {
    let any = |test: fn(&Entry) -> bool| board.rows().any(|row| test(&row.entry));
    let mut notes = Vec::new();
    if any(|entry| entry.accuracy.is_some_and(|it| it.interval.is_some())) {
        notes.push(
            "Bars are 95 % intervals: two runs with widely overlapping bars may be equally good. All bars of a table \
             share one scale.",
        );
    }
    notes.extend(search_notes(board));
    if any(|entry| entry.seeds.is_some()) {
        notes
            .push("Trainings with several seeds show the mean, and ± the standard deviation over the seeds.");
    }
    notes
}

#[derive(Template)]
#[template(path = "runs-table.html")]
struct Tables {
    groups: Vec<Table>,
}

/// The runs on one data set.
struct Table {
    heading: String,
    has_latency: bool,
    rows: Vec<Line>,
    notes: Vec<&'static str>,
}

/// A row of the table.
struct Line {
    rank: usize,
    name: String,
    link: Option<String>,
    kind: &'static str,
    state: &'static str,
    note: String,
    accuracy: Cell,
    interval: String,
    bar: Option<Bar>,
    split: &'static str,
    metric: String,
    params: Cell,
    macs: Cell,
    latency: Cell,
    epochs: Cell,
    time: Cell,
    differences: Vec<(String, String)>,
    more: usize,
    compared_with: Option<usize>,
}

/// The text of a cell and the number that it is sorted by, which is empty if there is none.
struct Cell {
    text: String,
    sort: String,
}

/// An interval in percent of the table's scale, in CSS notation.
struct Bar {
    low: String,
    value: String,
    width: String,
}

impl Cell {
    fn new(value: Option<f64>, shown: impl FnOnce(f64) -> String) -> Self {
        match value {
            Some(value) => Self { text: shown(value), sort: value.to_string() },
            None => Self { text: "–".into(), sort: String::new() },
        }
    }
}

impl Table {
    fn new(group: &RunGroup, link: Link<'_>) -> Self {
        let heading = match &group.data {
            Some(data) => format!("{}, {}", data.name, counted(data.files, "image", "images")),
            None => "Runs that cannot be read".into(),
        };
        let scale = scale(group);
        Self {
            heading,
            has_latency: group.rows.iter().any(|row| row.entry.latency_ms.is_some()),
            rows: group.rows.iter().map(|row| Line::new(row, link, scale)).collect(),
            notes: Vec::new(),
        }
    }
}

/// The smallest range that contains all confidence intervals of a group.
fn scale(group: &RunGroup) -> (f64, f64) {
    let intervals = group.rows.iter().filter_map(|row| row.entry.accuracy?.interval);
    intervals.fold((1.0, 0.0), |(low, high), (a, b)| (a.min(low), b.max(high)))
}

impl Line {
    fn new(row: &RunRow, link: Link<'_>, scale: (f64, f64)) -> Self {
        let entry = &row.entry;
        let n = |value: Option<u64>| Cell::new(value.map(|n| n as f64), |n| grouped(n as u64));
        let mut differences: Vec<(String, String)> = row.differences.iter().map(|it| it.words()).collect();
        let more = differences.len().saturating_sub(MOST_DIFFERENCES);
        differences.truncate(MOST_DIFFERENCES);
        let spread = entry.seeds.map_or(String::new(), |seeds| format!(" ± {:.2}", 100.0 * seeds.sd));
        Self {
            rank: row.rank,
            name: entry.name.clone(),
            link: link(entry),
            kind: entry.kind.map_or("unknown", EntryKind::name),
            state: entry.state.name(),
            note: if entry.state == RunState::Finished {
                String::new()
            } else {
                entry.note.clone().unwrap_or_default()
            },
            accuracy: Cell::new(entry.accuracy.map(|it| it.value), |value| percent(value) + &spread),
            interval: entry.accuracy.and_then(Accuracy::bounds).unwrap_or_default(),
            bar: entry.accuracy.and_then(|it| Bar::new(it, scale)),
            split: entry.accuracy.map_or("", |it| it.split.images()),
            metric: entry.metric.clone().unwrap_or_default(),
            params: n(entry.params),
            macs: n(entry.macs),
            latency: Cell::new(entry.latency_ms, |ms| format!("{ms:.2}\u{a0}ms")),
            epochs: n(entry.epochs),
            time: Cell::new(entry.seconds, duration),
            differences,
            more,
            compared_with: row.compared_with,
        }
    }
}

impl Bar {
    fn new(accuracy: Accuracy, (from, to): (f64, f64)) -> Option<Self> {
        let (low, high) = accuracy.interval?;
        let place = |value: f64| 100.0 * (value - from) / (to - from).max(f64::MIN_POSITIVE);
        let css = |value: f64| format!("{:.2}", value.clamp(0.0, 100.0));
        Some(Self {
            low: css(place(low)),
            value: css(place(accuracy.value)),
            width: css(place(high) - place(low)),
        })
    }
}

impl Accuracy {
    /// The 95 % confidence interval in percent, as in `96.0 to 99.7`.
    pub fn bounds(self) -> Option<String> {
        self.interval.map(|(low, high)| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high))
    }
}

impl RunSplit {
    /// The name of the split in words.
    pub fn images(self) -> &'static str {
        match self {
            Self::Valid => "validation",
            Self::Test => "test",
        }
    }
}

impl super::Difference {
    /// The key and the value in this run, in words for a table.
    pub fn words(&self) -> (String, String) {
        let value =
            if self.key == "arc" { "another one" } else { self.value.as_deref().unwrap_or("not set") };
        let key = if self.key == "arc" { "architecture" } else { &self.key };
        (key.to_owned(), value.to_owned())
    }
}
