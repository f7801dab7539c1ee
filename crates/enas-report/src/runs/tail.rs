//! The end of a log, however long the log is.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Bytes from the end in which the last epoch is looked for.
const LOOKED_AT: u64 = 1 << 20;
/// How long after its log was written a run counts as being at work.
const AT_WORK: Duration = Duration::from_secs(60);

/// What the end of a log says.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last complete epoch.
    pub(super) epoch: Option<Value>,
    /// Wall time at the last event, in seconds.
    pub(super) seconds: Option<f64>,
    /// When the log was last written.
    pub(super) changed: Option<SystemTime>,
}

impl Tail {
    /// Reads the end of a log; nothing where there is none.
    pub(super) fn read(path: &Path) -> Self {
        // What is no file may never end.
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
        // The first line may have lost its beginning, which then is no JSON.
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

    /// Whether the log was written a moment ago.
    pub(super) fn is_at_work(&self) -> bool {
        // A clock that was set back makes it be written in the future: then it was just now.
        self.changed.is_some_and(|at| at.elapsed().unwrap_or_default() < AT_WORK)
    }
}
