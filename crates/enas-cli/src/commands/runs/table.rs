//! Runs as tables for the terminal. If a table is too wide, the least important columns are left out.

use std::fmt::Write as _;

use console::measure_text_width;
use enas_report::runs::{Accuracy, Board, RunGroup, RunRow, RunState, search_notes};

use crate::output::{counted, duration, grouped, percent, visible};
use crate::terminal::{paragraph, strong, warned};

/// Maximum number of differences in settings shown per run. The number of further ones is stated.
const MOST_DIFFERENCES: usize = 8;

/// A column. The one with the highest `spare` is left out first, one with 0 never. `right` aligns it to the right.
struct Column {
    heading: &'static str,
    spare: u8,
    right: bool,
    value: fn(&RunRow) -> String,
}

const COLUMNS: [Column; 12] = [
    Column { heading: "#", spare: 0, right: true, value: |row| row.rank.to_string() },
    Column { heading: "run", spare: 0, right: false, value: name },
    Column { heading: "accuracy", spare: 0, right: true, value: accuracy },
    Column { heading: "95 % interval", spare: 1, right: false, value: interval },
    Column { heading: "images", spare: 3, right: false, value: images },
    Column { heading: "parameters", spare: 2, right: true, value: |row| whole(row.entry.params) },
    Column { heading: "mult-adds", spare: 5, right: true, value: |row| whole(row.entry.macs) },
    Column { heading: "one image", spare: 4, right: true, value: latency },
    Column { heading: "wall time", spare: 4, right: true, value: time },
    Column { heading: "epochs", spare: 7, right: true, value: |row| whole(row.entry.epochs) },
    Column { heading: "kind", spare: 6, right: false, value: kind },
    Column { heading: "chosen by", spare: 8, right: false, value: metric },
];

/// All tables, for a terminal of `width` columns.
pub(super) fn text(board: &Board, width: Option<usize>) -> String {
    let mut text = String::new();
    for (i, group) in board.groups.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        table(&mut text, group, width);
    }
    for note in notes(board) {
        let _ = write!(text, "\n{}", paragraph("", note, width));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Explanations that appear once, below all tables.
fn notes(board: &Board) -> Vec<&'static str> {
    let any = |test: fn(&RunRow) -> bool| board.rows().any(test);
    let mut notes = search_notes(board);
    if any(|row| row.entry.seeds.is_some()) {
        notes.push("Several seeds: the mean, and ± the standard deviation over the seeds.");
    }
    notes
}

fn table(text: &mut String, group: &RunGroup, width: Option<usize>) {
    let heading = match &group.data {
        Some(data) => format!("{}: {}", visible(&data.name), counted(data.files, "image")),
        None => "Not readable".to_owned(),
    };
    let _ = writeln!(text, "{heading}");
    let columns = columns(group, width);
    let cells: Vec<String> =
        columns.iter().map(|(column, n)| padded(column.heading, *n, column.right)).collect();
    let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    for row in &group.rows {
        let cells: Vec<String> = columns
            .iter()
            .map(|(column, n)| coloured(row, column, padded(&(column.value)(row), *n, column.right)))
            .collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
        remarks(text, row, columns[0].1 + 4, width);
    }
}

/// The columns that fit and contain known values, with their widths.
fn columns(group: &RunGroup, width: Option<usize>) -> Vec<(&'static Column, usize)> {
    let wide = |column: &Column| {
        let cells = group.rows.iter().map(|row| measure_text_width(&(column.value)(row)));
        cells.chain([measure_text_width(column.heading)]).max().unwrap_or(0)
    };
    let told = |column: &&Column| group.rows.iter().any(|row| (column.value)(row) != "–");
    let mut columns: Vec<(&Column, usize)> =
        COLUMNS.iter().filter(told).map(|column| (column, wide(column))).collect();
    while let Some(width) = width {
        let all: usize = columns.iter().map(|(_, n)| n + 2).sum();
        let most = columns.iter().map(|(column, _)| column.spare).max().unwrap_or(0);
        if all <= width || most == 0 {
            break;
        }
        columns.retain(|(column, _)| column.spare != most);
    }
    columns
}

/// Writes the remarks below the line of a run.
fn remarks(text: &mut String, row: &RunRow, indent: usize, width: Option<usize>) {
    let indent = " ".repeat(indent);
    if row.entry.state != RunState::Finished {
        let note = row.entry.note.as_deref().unwrap_or_default();
        let state = format!("{}: {}", row.entry.state.name(), visible(note));
        let _ = writeln!(text, "{}", paragraph(&indent, &state, width));
    }
    let Some(other) = row.compared_with.filter(|_| !row.differences.is_empty()) else { return };
    let words = row.differences.iter().take(MOST_DIFFERENCES).map(|difference| {
        let (key, value) = difference.words();
        format!("{key} {}", visible(&value))
    });
    let mut words: Vec<String> = words.collect();
    if row.differences.len() > MOST_DIFFERENCES {
        words.push(format!("and {} more", row.differences.len() - MOST_DIFFERENCES));
    }
    let _ = writeln!(
        text,
        "{}",
        paragraph(&format!("{indent}compared with {other}: "), &words.join(", "), width)
    );
}

fn padded(cell: &str, width: usize, right: bool) -> String {
    let room = " ".repeat(width.saturating_sub(measure_text_width(cell)));
    if right { room + cell } else { cell.to_owned() + &room }
}

fn coloured(row: &RunRow, column: &Column, cell: String) -> String {
    match (column.heading, row.entry.state) {
        ("accuracy", RunState::Finished) if row.rank == 1 => strong(&cell),
        ("run", RunState::Damaged | RunState::Unfinished) => warned(&cell),
        _ => cell,
    }
}

fn name(row: &RunRow) -> String {
    visible(&row.entry.dir).into_owned()
}

fn accuracy(row: &RunRow) -> String {
    let Some(accuracy) = row.entry.accuracy else { return nothing() };
    let spread = row.entry.seeds.map_or(String::new(), |seeds| format!(" ± {:.2}", 100.0 * seeds.sd));
    percent(accuracy.value) + &spread
}

fn interval(row: &RunRow) -> String {
    row.entry.accuracy.and_then(Accuracy::bounds).unwrap_or_else(nothing)
}

fn images(row: &RunRow) -> String {
    let Some(accuracy) = row.entry.accuracy else { return nothing() };
    let n = accuracy.images.map_or(String::new(), |n| format!("{} ", grouped(n as u64)));
    n + accuracy.split.name()
}

fn latency(row: &RunRow) -> String {
    row.entry.latency_ms.map_or_else(nothing, |ms| format!("{ms:.2} ms"))
}

fn time(row: &RunRow) -> String {
    row.entry.seconds.map_or_else(nothing, duration)
}

fn kind(row: &RunRow) -> String {
    row.entry.kind.map_or_else(nothing, |kind| kind.name().to_owned())
}

fn metric(row: &RunRow) -> String {
    row.entry.metric.as_deref().map_or_else(nothing, |metric| visible(metric).into_owned())
}

fn whole(n: Option<u64>) -> String {
    n.map_or_else(nothing, grouped)
}

/// The symbol for unknown values.
fn nothing() -> String {
    "–".to_owned()
}
