//! The event log `metrics.jsonl`: append-only, one JSON object per event.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use enas_data::visible;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The open event log of a run.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens the log at its end, creating it if needed.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file =
            opened.map_err(|source| Error::Io { action: "cannot open", path: path.clone(), source })?;
        Ok(Self { path, file })
    }

    /// Appends one line: `{"t": seconds, "kind": kind, …fields}`.
    pub(crate) fn append(&mut self, seconds: f64, kind: &str, fields: &Map<String, Value>) -> Result<()> {
        let mut line = Map::new();
        line.insert("t".into(), ((seconds * 1e3).round() / 1e3).into());
        line.insert("kind".into(), kind.into());
        line.extend(fields.clone());
        let text = format!("{}\n", Value::Object(line));
        self.file.write_all(text.as_bytes()).map_err(|source| self.error(source))
    }

    /// Length of the log in bytes.
    pub(crate) fn len(&mut self) -> Result<u64> {
        self.file.seek(SeekFrom::End(0)).map_err(|source| self.error(source))
    }

    /// Flushes the log to the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| self.error(source))
    }

    /// Removes everything after a checkpoint, because it is about to be computed again.
    pub(crate) fn rewind(&mut self, length: u64) -> Result<()> {
        let length = if self.len()? < length {
            tracing::warn!("{} is shorter than when the checkpoint was written", visible(&self.path));
            self.whole_lines()?
        } else {
            length
        };
        self.file.set_len(length).map_err(|source| self.error(source))
    }

    /// Length up to the end of the last complete line, in bytes.
    fn whole_lines(&self) -> Result<u64> {
        let bytes = std::fs::read(&self.path).map_err(|source| self.error(source))?;
        Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last as u64 + 1))
    }

    fn error(&self, source: std::io::Error) -> Error {
        Error::Io { action: "cannot write", path: self.path.clone(), source }
    }
}

/// An event as JSON. A number that JSON cannot represent becomes null.
pub(crate) fn fields(event: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(event).expect("events are plain data") {
        Value::Object(fields) => fields,
        _ => unreachable!("events are structures"),
    }
}

/// The log in a run directory.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// The path of the log in a run directory.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(METRICS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fields {
        epoch: u64,
        loss: f64,
    }

    #[test]
    fn lines_are_json_and_rewinding_forgets_the_later_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(path(dir.path())).unwrap();
        metrics.append(0.1234, "step", &fields(&Fields { epoch: 1, loss: 0.5 })).unwrap();
        let length = metrics.len().unwrap();
        metrics.append(1.0, "step", &fields(&Fields { epoch: 1, loss: f64::NAN })).unwrap();
        metrics.rewind(length).unwrap();
        metrics.append(2.0, "epoch", &fields(&Fields { epoch: 1, loss: f64::NAN })).unwrap();
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0], serde_json::json!({"t": 0.123, "kind": "step", "epoch": 1, "loss": 0.5}));
        assert_eq!(lines[1], serde_json::json!({"t": 2.0, "kind": "epoch", "epoch": 1, "loss": null}));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_log_that_lost_its_end_goes_on_with_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(path(dir.path())).unwrap();
        for epoch in [1, 2] {
            metrics.append(0.5, "epoch", &fields(&Fields { epoch, loss: 0.5 })).unwrap();
        }
        let length = metrics.len().unwrap();
        metrics.file.set_len(length - 7).unwrap();
        metrics.rewind(length).unwrap();
        metrics.append(1.0, "epoch", &fields(&Fields { epoch: 3, loss: 0.5 })).unwrap();
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        let epochs: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["epoch"].clone()).collect();
        assert_eq!(epochs, [1, 3]);
    }
}
