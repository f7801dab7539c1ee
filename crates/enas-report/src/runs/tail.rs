//! The end of a log. The time to read it does not depend on the log's length.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Number of bytes at the end that are searched for the last epoch.
const LOOKED_AT: u64 = 1 << 20;
/// A run counts as running if its log was written within this time.
const AT_WORK: Duration = Duration::from_secs(60);

/// The facts in the end of a log.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last complete event `epoch`.
    pub(super) epoch: Option<Value>,
    /// Wall time at the last event, in seconds.
    pub(super) seconds: Option<f64>,
    /// When the log was last written.
    pub(super) changed: Option<SystemTime>,
}

impl Tail {
    /// Reads the end of a log; empty if there is none.
    pub(super) fn read(path: &Path) -> Self {
        // Only regular files: a pipe may never end.
        let Some(about) = path.metadata().ok().filter(std::fs::Metadata::is_file) else {
            return Self::default();
        };
        let mut tail = Self { changed: about.modified().ok(), ..Self::default() };
        let mut bytes = Vec::new();
        let start = about.len().saturating_sub(LOOKED_AT);
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.take(LOOKED_AT).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return tail;
        }
        // The first line may be cut at its start; then it is not valid JSON and is skipped.
        let events = bytes
            .split(|byte| *byte == b'\n')
            .rev()
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        for event in events {
            tail.seconds = tail.seconds.or_else(|| event["t"].as_f64().filter(|t| t.is_finite()));
            if event["kind"] == "epoch" {
                tail.epoch = Some(event);
                break;
            }
        }
        tail
    }

    /// Whether the log was written within the last minute.
    pub(super) fn is_at_work(&self) -> bool {
        // After the clock was set back, the time of writing lies in the future; that counts as just now.
        self.changed.is_some_and(|at| at.elapsed().unwrap_or_default() < AT_WORK)
    }
}
