//! Checkpoints: all that a run needs to go on as if it had never stopped. The newest two are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use enas_child::Named;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tensorboard::Mark;
use crate::tensors;

/// Counts changes of the meaning of what is stored.
const FORMAT: u32 = 1;
/// How many are kept: the newest may be damaged by a full disk or a power cut.
const KEPT: usize = 2;
/// The one line of text in the file.
const KEY: &str = "checkpoint";

/// A state of a run. `P` is where the run stands, in the words of its loop.
#[derive(Debug)]
pub(crate) struct Checkpoint<P> {
    /// Where the run stands.
    pub(crate) progress: P,
    /// Bytes of `metrics.jsonl` that belong to it.
    pub(crate) metrics_bytes: u64,
    /// How much of the events files belongs to it; unknown in those of early versions.
    pub(crate) events: Option<Mark>,
    /// Wall time spent so far, in seconds.
    pub(crate) seconds: f64,
    /// Weights and optimiser states.
    pub(crate) tensors: Vec<Named>,
}

#[derive(Serialize, Deserialize)]
struct Header<P> {
    format: u32,
    metrics_bytes: u64,
    #[serde(default)]
    events: Option<Mark>,
    seconds: f64,
    progress: P,
}

impl<P: Serialize + DeserializeOwned> Checkpoint<P> {
    /// Writes it into `dir` as the newest and removes all but two.
    pub(crate) fn save(self, dir: &Path) -> Result<PathBuf> {
        let older = numbered(dir)?;
        let number = older.last().map_or(1, |(n, _)| n + 1);
        let path = dir.join(format!("{number:06}.safetensors"));
        let Self { progress, metrics_bytes, events, seconds, tensors } = self;
        let header = Header { format: FORMAT, metrics_bytes, events, seconds, progress };
        let text = serde_json::to_string(&header).expect("progress is plain data");
        tensors::write(&path, &BTreeMap::from([(KEY.to_owned(), text)]), &tensors)?;
        for (_, old) in older.iter().rev().skip(KEPT - 1) {
            fs::remove_file(old).map_err(|source| io("cannot remove", old, source))?;
        }
        Ok(path)
    }

    /// The newest that reads; `None` when there is none at all.
    ///
    /// # Errors
    /// That of the newest when none reads.
    pub(crate) fn newest(dir: &Path) -> Result<Option<Self>> {
        let mut first_error = None;
        for (_, path) in numbered(dir)?.iter().rev() {
            match Self::read(path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(e) => {
                    tracing::warn!("{e}; trying the checkpoint before it");
                    first_error.get_or_insert(e);
                }
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    fn read(path: &Path) -> Result<Self> {
        let contents = tensors::read(path)?;
        let broken = |problem: String| Error::File { path: path.to_owned(), problem };
        let text =
            contents.metadata.get(KEY).ok_or_else(|| broken("this is no checkpoint of a run".into()))?;
        let header: Header<P> = serde_json::from_str(text)
            .map_err(|e| broken(format!("the checkpoint is of another kind of run or version ({e})")))?;
        if header.format != FORMAT {
            let problem = format!(
                "the checkpoint has format {}, this program reads {FORMAT}; resume with the version in manifest.json",
                header.format
            );
            return Err(broken(problem));
        }
        let Header { metrics_bytes, events, seconds, progress, .. } = header;
        Ok(Self { progress, metrics_bytes, events, seconds, tensors: contents.tensors })
    }
}

/// The checkpoints in a directory, oldest first.
fn numbered(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(dir).map_err(|source| io("cannot read", dir, source))?;
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
        Some((name.parse().ok()?, path))
    };
    let mut found: Vec<_> = entries.filter_map(|entry| number(entry.ok()?.path())).collect();
    found.sort();
    Ok(found)
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(dir: &Path, progress: u64) -> PathBuf {
        let tensors = vec![Named { name: "w".into(), shape: vec![1], data: vec![progress as f32] }];
        Checkpoint { progress, metrics_bytes: 7, events: Some(Mark::START), seconds: 0.1 + 0.2, tensors }
            .save(dir)
            .unwrap()
    }

    #[test]
    fn the_newest_two_are_kept_and_the_newest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Checkpoint::<u64>::newest(dir.path()).unwrap().is_none());
        (1..=4).for_each(|n| drop(save(dir.path(), n)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let newest = Checkpoint::<u64>::newest(dir.path()).unwrap().unwrap();
        assert_eq!((newest.progress, newest.metrics_bytes, newest.seconds), (4, 7, 0.1 + 0.2));
        assert_eq!(newest.tensors[0].data, [4.0]);
    }

    #[test]
    fn a_damaged_newest_falls_back_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        let newest = save(dir.path(), 2);
        fs::write(&newest, "torn").unwrap();
        assert_eq!(Checkpoint::<u64>::newest(dir.path()).unwrap().unwrap().progress, 1);
    }

    #[test]
    fn when_none_reads_the_error_names_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let only = save(dir.path(), 1);
        fs::write(&only, "torn").unwrap();
        let error = Checkpoint::<u64>::newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("000001.safetensors"), "{error}");
    }

    #[test]
    fn a_checkpoint_of_another_kind_of_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        let error = Checkpoint::<Vec<String>>::newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another kind of run"), "{error}");
    }
}
