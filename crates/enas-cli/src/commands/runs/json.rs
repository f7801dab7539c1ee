//! One run as one line of JSON.

use enas_report::runs::{RunRow, Seeds};
use serde::Serialize;

/// The facts about a run; unknown ones are null.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    run: String,
    name: &'a str,
    kind: Option<&'static str>,
    state: &'static str,
    note: Option<&'a str>,
    data: Option<&'a str>,
    images: Option<u64>,
    fingerprint: Option<&'a str>,
    rank: usize,
    accuracy: Option<f64>,
    /// The bounds of the 95 % confidence interval of the accuracy, 0 to 1.
    low: Option<f64>,
    high: Option<f64>,
    /// The split on which the accuracy was measured, and its number of images.
    split: Option<&'static str>,
    split_images: Option<usize>,
    metric: Option<&'a str>,
    valid_accuracy: Option<f64>,
    test_accuracy: Option<f64>,
    test_macro_f1: Option<f64>,
    seeds: Option<SeedsLine>,
    arc: Option<&'a str>,
    params: Option<u64>,
    macs: Option<u64>,
    latency_ms: Option<f64>,
    epochs: Option<u64>,
    seconds: Option<f64>,
    model: Option<String>,
    compared_with: Option<usize>,
    differences: Vec<Difference<'a>>,
}

#[derive(Serialize)]
struct SeedsLine {
    finished: u64,
    all: u64,
    test_accuracy_sd: f64,
}

#[derive(Serialize)]
struct Difference<'a> {
    key: &'a str,
    value: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn new(row: &'a RunRow) -> Self {
        let entry = &row.entry;
        let interval = entry.accuracy.and_then(|it| it.interval);
        Self {
            run: entry.dir.display().to_string(),
            name: &entry.name,
            kind: entry.kind.map(|kind| kind.name()),
            state: entry.state.name(),
            note: entry.note.as_deref(),
            data: entry.data.as_ref().map(|data| data.name.as_str()),
            images: entry.data.as_ref().map(|data| data.files),
            fingerprint: entry.data.as_ref().map(|data| data.sha256.as_str()),
            rank: row.rank,
            accuracy: entry.accuracy.map(|it| it.value),
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            split: entry.accuracy.map(|it| it.split.name()),
            split_images: entry.accuracy.and_then(|it| it.images),
            metric: entry.metric.as_deref(),
            valid_accuracy: entry.valid_accuracy,
            test_accuracy: entry.test_accuracy,
            test_macro_f1: entry.macro_f1,
            seeds: entry.seeds.map(SeedsLine::new),
            arc: entry.arc.as_deref(),
            params: entry.params,
            macs: entry.macs,
            latency_ms: entry.latency_ms,
            epochs: entry.epochs,
            seconds: entry.seconds,
            model: entry.model.as_ref().map(|path| path.display().to_string()),
            compared_with: row.compared_with,
            differences: row.differences.iter().map(Difference::new).collect(),
        }
    }
}

impl SeedsLine {
    fn new(seeds: Seeds) -> Self {
        let Seeds { finished, all, sd } = seeds;
        Self { finished, all, test_accuracy_sd: sd }
    }
}

impl<'a> Difference<'a> {
    fn new(it: &'a enas_report::runs::Difference) -> Self {
        Self { key: &it.key, value: it.value.as_deref(), reference: it.reference.as_deref() }
    }
}
