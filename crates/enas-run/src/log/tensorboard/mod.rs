//! The TensorBoard log `events.out.tfevents.*`: the scalars of `metrics.jsonl`.
//!
//! Every session of a run writes a new file, numbered so that readers take them in order. Events after the checkpoint
//! that a session resumes from are removed from the older files, so that no curve runs backwards.

mod record;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use enas_arc::{MacroOp, Op};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A position in the events of a run: all files before `file`, and `bytes` bytes of `file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsOffset {
    file: u64,
    bytes: u64,
}

impl EventsOffset {
    /// The start of the log.
    pub const START: Self = Self { file: 0, bytes: 0 };
}

/// The events file of a session.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    number: u64,
    bytes: u64,
    file: BufWriter<File>,
}

impl Events {
    /// Starts the next file in `dir`. Removes events after `known`; if it is `None`, removes nothing.
    pub(crate) fn begin(dir: &Path, known: Option<EventsOffset>) -> Result<Self> {
        let mut number = 1;
        for (older, path) in numbered(dir)? {
            match known {
                Some(mark) if older > mark.file => {
                    fs::remove_file(&path).map_err(|e| io("cannot remove", &path, e))?;
                    continue;
                }
                Some(mark) if older == mark.file => shorten(&path, mark.bytes)?,
                _ => {}
            }
            number = older + 1;
        }
        let path = dir.join(format!("{PREFIX}{number:010}{SUFFIX}"));
        let file = File::create(&path).map_err(|e| io("cannot create", &path, e))?;
        let mut events = Self { path, number, bytes: 0, file: BufWriter::new(file) };
        events.write(&record::version(now()))?;
        Ok(events)
    }

    /// Adds every number in `fields`; `step` counts the events of this kind.
    pub(crate) fn add(&mut self, kind: &str, step: u64, fields: &Map<String, Value>) -> Result<()> {
        let time = now();
        for (tag, value) in scalars(kind, fields) {
            self.write(&record::scalar(time, step, &tag, value as f32))?;
        }
        Ok(())
    }

    /// Flushes to the operating system; returns the position of the end.
    pub(crate) fn flush(&mut self) -> Result<EventsOffset> {
        self.file.flush().map_err(|e| io("cannot write", &self.path, e))?;
        Ok(EventsOffset { file: self.number, bytes: self.bytes })
    }

    fn write(&mut self, record: &[u8]) -> Result<()> {
        self.bytes += record.len() as u64;
        self.file.write_all(record).map_err(|e| io("cannot write", &self.path, e))
    }
}

const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".enas";

/// The events files of this program in a directory, in order.
fn numbered(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(dir).map_err(|e| io("cannot read", dir, e))?;
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        Some((name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?, path))
    };
    let mut found: Vec<_> = entries.filter_map(|entry| number(entry.ok()?.path())).collect();
    found.sort();
    Ok(found)
}

fn shorten(path: &Path, bytes: u64) -> Result<()> {
    let cut = |file: File| if file.metadata()?.len() > bytes { file.set_len(bytes) } else { Ok(()) };
    File::options().write(true).open(path).and_then(cut).map_err(|e| io("cannot shorten", path, e))
}

/// The numbers of an event by tag: `epoch/valid_accuracy`, `epoch/policy/entropy`, …
fn scalars(kind: &str, fields: &Map<String, Value>) -> Vec<(String, f64)> {
    // Candidates of the strategy and random ones form separate curves.
    let group = match fields.get("origin").and_then(Value::as_str) {
        Some(origin) => format!("{kind}/{origin}"),
        None => kind.to_owned(),
    };
    let mut found = Vec::new();
    for (key, value) in fields.iter().filter(|(key, _)| !matches!(key.as_str(), "epoch" | "step")) {
        collect(&format!("{group}/{key}"), value, &mut found);
    }
    found
}

fn collect(tag: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => found.extend(number.as_f64().map(|x| (tag.to_owned(), x))),
        Value::Object(fields) => fields.iter().for_each(|(k, v)| collect(&format!("{tag}/{k}"), v, found)),
        // The only arrays are shares of operations: one list for layers, or two for normal and reduction cells.
        Value::Array(layers) if layers.len() == 1 => {
            for (op, share) in MacroOp::ALL.iter().zip(layers[0].as_array().into_iter().flatten()) {
                collect(&format!("{tag}/{op}"), share, found);
            }
        }
        Value::Array(cells) => {
            for (cell, shares) in ["normal", "reduction"].iter().zip(cells) {
                for (op, share) in Op::ALL.iter().zip(shares.as_array().into_iter().flatten()) {
                    collect(&format!("{tag}/{cell}/{op}"), share, found);
                }
            }
        }
        _ => {}
    }
}

/// Seconds since 1970, the wall-time axis of TensorBoard.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn add(events: &mut Events, step: u64, loss: f64) {
        events.add("step", step, &fields(json!({"epoch": 1, "step": step, "loss": loss}))).unwrap();
    }

    /// Step and value of everything in the files of `dir`, in reading order.
    fn read_all(dir: &Path) -> Vec<(u64, f32)> {
        let files = numbered(dir).unwrap();
        let scalars = files.iter().flat_map(|(_, path)| record::read::scalars(&fs::read(path).unwrap()));
        scalars.map(|(step, _, value)| (step, value)).collect()
    }

    #[test]
    fn every_number_has_a_tag_that_says_where_it_belongs() {
        let event = fields(json!({
            "epoch": 3, "loss": 0.5, "lr": null,
            "policy": {"entropy": 1, "greedy": "0 1", "op_frequencies": [[1.0, 0, 0, 0, 0], [0, 0, 0, 0, 0.25]]},
        }));
        let found = scalars("epoch", &event);
        let value = |tag: &str| found.iter().find(|(t, _)| t == tag).map(|(_, x)| *x);
        assert_eq!(found.len(), 12);
        assert_eq!(value("epoch/loss"), Some(0.5));
        assert_eq!(value("epoch/policy/entropy"), Some(1.0));
        assert_eq!(value("epoch/policy/op_frequencies/normal/sep-conv-3x3"), Some(1.0));
        assert_eq!(value("epoch/policy/op_frequencies/reduction/identity"), Some(0.25));
        let candidate = fields(json!({"origin": "random", "valid_accuracy": 0.5}));
        assert_eq!(scalars("candidate", &candidate), [("candidate/random/valid_accuracy".to_owned(), 0.5)]);
    }

    #[test]
    fn a_new_session_goes_on_where_the_checkpoint_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Events::begin(dir.path(), Some(EventsOffset::START)).unwrap();
        add(&mut first, 1, 0.5);
        let mark = first.flush().unwrap();
        add(&mut first, 2, 0.25);
        first.flush().unwrap();
        // A session that never reached a checkpoint of its own.
        add(&mut Events::begin(dir.path(), None).unwrap(), 3, 7.0);

        let mut second = Events::begin(dir.path(), Some(mark)).unwrap();
        add(&mut second, 2, 0.125);
        second.flush().unwrap();
        assert_eq!(read_all(dir.path()), [(1, 0.5), (2, 0.125)]);
        assert_eq!(numbered(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn starting_anew_forgets_everything_and_without_a_mark_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        add(&mut Events::begin(dir.path(), Some(EventsOffset::START)).unwrap(), 1, 1.0);
        add(&mut Events::begin(dir.path(), None).unwrap(), 2, 2.0);
        assert_eq!(read_all(dir.path()), [(1, 1.0), (2, 2.0)]);
        add(&mut Events::begin(dir.path(), Some(EventsOffset::START)).unwrap(), 5, 5.0);
        assert_eq!(read_all(dir.path()), [(5, 5.0)]);
    }
}
