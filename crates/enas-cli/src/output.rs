//! Output of results on stdout, as text or JSON. Progress, warnings and errors go to stderr.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use enas_data::Dataset;
pub(crate) use enas_data::visible;
pub(crate) use enas_draw::grouped;
use enas_search::TimeLimit;
use serde::{Serialize, Serializer};

/// The format of results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Whether stdout receives only JSON.
    pub(crate) json: bool,
}

impl Output {
    /// Prints `document` as one line of JSON with `--json`, otherwise the text that `human` writes.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(crate) fn print(
        self,
        document: &impl Serialize,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut out, document).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            human(&mut out)
        };
        written.and_then(|()| out.flush()).context("cannot write to stdout")
    }
}

impl Output {
    /// Prints `document` as one line of JSON, with or without `--json`.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(crate) fn print_line(self, document: &impl Serialize) -> anyhow::Result<()> {
        Self { json: true }.print(document, |_| Ok(()))
    }
}

/// Serialises a path for JSON. Parts that are not UTF-8 are replaced (lossy conversion).
pub(crate) fn path<S: Serializer>(path: &impl AsRef<Path>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.as_ref().display())
}

/// The same for an optional path.
pub(crate) fn path_if_any<S: Serializer>(path: &Option<&Path>, to: S) -> Result<S::Ok, S::Error> {
    path.map(|path| path.display().to_string()).serialize(to)
}

/// The same for several paths.
pub(crate) fn paths<S: Serializer>(paths: &[impl AsRef<Path>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.as_ref().display().to_string()))
}

/// Formats a fraction of 1 as a percentage with two decimals.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Text with an upper-case first letter, as a sentence begins.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// The images of a run in words.
pub(crate) fn images(data: &Dataset) -> String {
    let Dataset { name, train, valid, test, classes, .. } = data;
    let a = train.len();
    let b = valid.len();
    let c = test.len();
    let [all, to_train, to_choose, to_test] = [a + b + c, a, b, c].map(|n| grouped(n as u64));
    format!(
        "{}: {all} images in {} classes; {to_train} for training, {to_choose} for validation, {to_test} for testing",
        visible(name),
        classes.len()
    )
}

/// The first line of a command that trains: the images, what is done, and how long.
pub(crate) fn opening(data: &Dataset, what: &str, time: TimeLimit, epochs: Option<u64>) -> String {
    format!("{}. {what}, {}", images(data), time_limit(time, epochs))
}

/// A time limit in words; without one the most epochs, if their number is known.
fn time_limit(time: TimeLimit, epochs: Option<u64>) -> String {
    match (time.0, epochs) {
        (Some(limit), _) => format!("time limit {}", duration(limit.as_secs_f64())),
        (None, Some(epochs)) => format!("{} at most, no time limit", counted(epochs, "epoch")),
        (None, None) => "no time limit".to_owned(),
    }
}

/// Size and cost of a network in words. The caller must say which network it is.
pub(crate) fn cost(params: usize, macs: u64) -> String {
    format!("{} parameters, {} multiply-adds per image", grouped(params as u64), grouped(macs))
}

/// Formats a count with its noun, as in `1 epoch`, `2 epochs` or `1 200 classes`.
pub(crate) fn counted(n: u64, name: &str) -> String {
    let ending = match n {
        1 => "",
        _ if name.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {name}{ending}", grouped(n))
}

/// Formats seconds as `42 s`, `3 min 05 s` or `2 h 07 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_time_or_the_epochs() {
        let limit = TimeLimit(Some(std::time::Duration::from_secs(1800)));
        assert_eq!(time_limit(limit, Some(30)), "time limit 30 min 00 s");
        assert_eq!(time_limit(TimeLimit(None), Some(30)), "30 epochs at most, no time limit");
        assert_eq!(time_limit(TimeLimit(None), None), "no time limit");
    }

    #[test]
    fn a_sentence_begins_with_a_capital() {
        assert_eq!(["all are kept", "", "Kept"].map(sentence), ["All are kept", "", "Kept"]);
    }

    #[test]
    fn one_thing_is_not_many() {
        let counts: Vec<String> = (0..3).map(|n| counted(n, "epoch")).collect();
        assert_eq!(counts, ["0 epochs", "1 epoch", "2 epochs"]);
        assert_eq!([counted(1, "class"), counted(2, "class")], ["1 class", "2 classes"]);
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(0.25), "0.2 s");
        assert_eq!(duration(59.0), "59 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7620.0), "2 h 07 min");
    }
}
