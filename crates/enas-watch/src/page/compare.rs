//! The page that compares runs: their results in tables, and the curves of the best ones in one chart.

use std::path::Path;

use askama::Template;
use enas_report::chart::{Chart, ChartAxis, ChartSeries, Format};
use enas_report::runs::{Board, Entry, Found, RunGroup, summary, table};
use enas_report::{Figure, Log};

use crate::error::Result;

/// Maximum number of runs of a data set whose curves are drawn; there are as many colours.
const CURVES: usize = 6;
/// Maximum number of rows of the table below a chart.
const ROWS: usize = 20;

#[derive(Template)]
#[template(path = "compare.html")]
struct Compare<'a> {
    folder: &'a str,
    summary: String,
    table: String,
    /// The heading and the figures of each data set.
    groups: Vec<(String, Vec<String>)>,
}

/// The comparison of all runs at or below a directory in their present state.
///
/// `has_page` tells whether there is a page for a run's URL name.
pub(crate) fn compared(root: &Path, has_page: impl Fn(&str) -> bool) -> Result<String> {
    let board = Board::read(&[root], None);
    let link = |entry: &Entry| {
        let slug = Found { name: entry.name.clone(), dir: entry.dir.clone() }.slug();
        has_page(&slug).then(|| format!("/run/{slug}"))
    };
    let mut groups = Vec::new();
    for (i, group) in board.groups.iter().enumerate() {
        let figures = figures(group, i).iter().map(Figure::html).collect::<enas_report::Result<Vec<_>>>()?;
        if let Some(data) = group.data.as_ref().filter(|_| !figures.is_empty()) {
            groups.push((data.name.clone(), figures));
        }
    }
    let table = table(&board, &link)?;
    let folder = &root.to_string_lossy();
    Ok(Compare { folder, summary: summary(&board), table, groups }.render()?)
}

/// The charts of the best runs of the `n`th data set of the page.
fn figures(group: &RunGroup, n: usize) -> Vec<Figure> {
    let logs: Vec<(usize, Log)> = group
        .rows
        .iter()
        .filter_map(|row| Some((row.rank, Log::read(row.entry.log.as_ref()?))))
        .filter(|(_, log)| log.last("epoch").is_some())
        .take(CURVES)
        .collect();
    let accuracy = figure(&logs, n, "accuracy", "/valid_accuracy", Format::Percent);
    let loss = figure(&logs, n, "loss", "/loss", Format::Number);
    accuracy.into_iter().chain(loss).collect()
}

fn figure(logs: &[(usize, Log)], n: usize, what: &str, pointer: &str, format: Format) -> Option<Figure> {
    let (title, unit, caption) = match format {
        Format::Percent => ("Validation accuracy", "accuracy", "Searches measure with shared weights."),
        _ => ("Training loss", "loss, nats", "The mean of each epoch, with regularisation."),
    };
    let series: Vec<ChartSeries> = logs
        .iter()
        .enumerate()
        .map(|(i, (rank, log))| {
            ChartSeries::line(&format!("run {rank}"), i + 1, log.curve("epoch", pointer, 1))
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    if series.is_empty() {
        return None;
    }
    let chart = Chart {
        title: title.into(),
        description: format!("{title} by epoch of {} runs.", series.len()),
        x: ChartAxis::new("epoch", Format::Whole),
        y: ChartAxis::new(unit, format),
        series,
        rules: Vec::new(),
    };
    let id = format!("compare-{what}-{n}");
    Some(Figure {
        svg: chart.svg(&id),
        title: title.into(),
        caption: caption.into(),
        table: chart.table(ROWS),
        id,
    })
}
