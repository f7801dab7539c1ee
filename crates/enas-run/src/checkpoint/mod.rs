//! Checkpoints: everything that a run needs to continue exactly. A directory keeps the newest two, and the newest
//! that marks the end of an epoch.

pub mod interval;
mod numbered;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use enas_data::visible;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::numbered::{AT_END, Numbered, SUFFIX, not_kept, numbered};
use crate::error::{Error, Result};
use crate::files::checksum::Checksum;
use crate::files::safetensors::{self, NamedTensor};
use crate::log::tensorboard::EventsOffset;

/// Version of the file format; raised when the meaning of the content changes.
const FORMAT: u32 = 2;
/// The oldest version that can be read. It had no checksum.
const OLDEST: u32 = 1;
/// Key of the JSON text in the file's metadata.
const KEY: &str = "checkpoint";

/// The state of a run. `P` is the position type of its loop.
#[derive(Debug)]
pub struct Checkpoint<P> {
    /// Position of the run.
    pub progress: P,
    /// Length of `metrics.jsonl` at this checkpoint, in bytes.
    pub(crate) metrics_bytes: u64,
    /// Position in the TensorBoard log; `None` in checkpoints of early versions.
    pub events: Option<EventsOffset>,
    /// Wall time spent so far, in seconds.
    pub seconds: f64,
    /// Weights and optimiser states.
    pub tensors: Vec<NamedTensor>,
}

#[derive(Serialize, Deserialize)]
struct Header<P> {
    format: u32,
    /// Version of the program that wrote it; empty in checkpoints of early versions.
    #[serde(default)]
    version: String,
    metrics_bytes: u64,
    #[serde(default)]
    events: Option<EventsOffset>,
    seconds: f64,
    progress: P,
}

/// The fields that every format version has.
#[derive(Deserialize)]
struct Preamble {
    format: u32,
    /// Version of the program that wrote it.
    version: Option<String>,
}

/// A checkpoint that is ready to be written.
#[derive(Debug)]
pub(crate) struct Encoded {
    header: String,
    tensors: Vec<NamedTensor>,
    ends_epoch: bool,
}

/// Why a checkpoint cannot be used.
enum Unusable {
    /// The content is not what was written. The checkpoint before it may be intact.
    Damaged(Error),
    /// Intact, but not for this program. Using the checkpoint before it would lose work.
    Foreign(Error),
}

impl<P: Serialize + DeserializeOwned> Checkpoint<P> {
    /// Encodes the checkpoint. `ends_epoch` marks a state that a diverged run may go back to.
    pub(crate) fn encode(self, ends_epoch: bool) -> Encoded {
        let Self { progress, metrics_bytes, events, seconds, tensors } = self;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let header = Header { format: FORMAT, version, metrics_bytes, events, seconds, progress };
        let header = serde_json::to_string(&header).expect("progress is plain data");
        Encoded { header, tensors, ends_epoch }
    }

    /// Decodes an [`Encoded`] checkpoint.
    pub(crate) fn decode(encoded: Encoded) -> Self {
        let header = serde_json::from_str(&encoded.header).expect("it was written by `encode`");
        Self::new(header, encoded.tensors)
    }

    fn new(header: Header<P>, tensors: Vec<NamedTensor>) -> Self {
        let Header { progress, metrics_bytes, events, seconds, .. } = header;
        Self { progress, metrics_bytes, events, seconds, tensors }
    }

    /// The newest intact checkpoint; `None` if there are none at all. Newer damaged ones are removed, so that they do
    /// not count among those kept.
    ///
    /// # Errors
    /// The error of the newest one if none is intact; [`Error::File`] for a checkpoint of another version or kind of
    /// run.
    pub(crate) fn newest(dir: &Path) -> Result<Option<Self>> {
        Self::newest_of(dir, numbered(dir)?)
    }

    /// The newest intact checkpoint at the end of an epoch.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub(crate) fn newest_end_of_epoch(dir: &Path) -> Result<Option<Self>> {
        Self::newest_of(dir, numbered(dir)?.into_iter().filter(|file| file.ends_epoch).collect())
    }

    fn newest_of(dir: &Path, files: Vec<Numbered>) -> Result<Option<Self>> {
        let mut damaged: Vec<(PathBuf, Error)> = Vec::new();
        for Numbered { path, .. } in files.into_iter().rev() {
            match Self::read(&path) {
                Ok(checkpoint) => {
                    // A file that could not be read may still be intact, so it stays.
                    let torn = damaged.iter().filter(|(_, e)| !matches!(e, Error::Io { .. }));
                    torn.for_each(|(path, _)| remove_damaged(path));
                    return Ok(Some(checkpoint));
                }
                Err(Unusable::Foreign(e)) => return Err(e),
                Err(Unusable::Damaged(e)) => {
                    tracing::warn!("{e}; trying the checkpoint before it");
                    damaged.push((path, e));
                }
            }
        }
        damaged.into_iter().next().map_or(Ok(None), |(_, e)| Err(nothing_left(dir, &e)))
    }

    fn read(path: &Path) -> Result<Self, Unusable> {
        let contents = safetensors::read(path).map_err(Unusable::Damaged)?;
        let error = |problem: String| Error::File { path: path.to_owned(), problem };
        let damaged = |problem: &str| Unusable::Damaged(error(problem.to_owned()));
        if contents.checksum == Checksum::Broken {
            return Err(damaged("the checkpoint is damaged: its checksum is not that of its content"));
        }
        let text = contents
            .metadata
            .get(KEY)
            .ok_or_else(|| damaged("this is not a checkpoint of a run, or it is damaged"))?;
        let preamble: Preamble = serde_json::from_str(text)
            .map_err(|e| damaged(&format!("the checkpoint does not name its format ({e})")))?;
        preamble.check().map_err(|problem| Unusable::Foreign(error(problem)))?;
        if contents.checksum == Checksum::Missing && preamble.format > OLDEST {
            return Err(damaged("the checkpoint is damaged: its checksum is missing"));
        }
        let by = preamble.version.unwrap_or_else(|| "an early version".to_owned());
        let header: Header<P> = serde_json::from_str(text).map_err(|e| {
            let problem =
                format!("the checkpoint is of another kind of run or version ({e}); enas {by} wrote it");
            Unusable::Foreign(error(problem))
        })?;
        Ok(Self::new(header, contents.tensors))
    }
}

impl Preamble {
    fn check(&self) -> Result<(), String> {
        if (OLDEST..=FORMAT).contains(&self.format) {
            return Ok(());
        }
        let by = self.version.as_ref().map_or_else(|| "another version".to_owned(), |v| format!("enas {v}"));
        Err(format!(
            "the checkpoint has format {} and was written by {by}; this is enas {}, which reads formats {OLDEST} to \
             {FORMAT}; go on with the version that wrote it",
            self.format,
            env!("CARGO_PKG_VERSION"),
        ))
    }
}

impl Encoded {
    /// Writes the checkpoint into `dir` as the newest, and removes those that are no longer kept.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; all earlier checkpoints then still exist.
    pub(crate) fn write(&self, dir: &Path) -> Result<PathBuf> {
        fs::create_dir_all(dir).map_err(|source| Error::io("cannot create", dir, source))?;
        let older = numbered(dir)?;
        let number = older.last().map_or(1, |newest| newest.number + 1);
        let end = if self.ends_epoch { AT_END } else { "" };
        let path = dir.join(format!("{number:06}{end}{SUFFIX}"));
        safetensors::write(&path, &BTreeMap::from([(KEY.to_owned(), self.header.clone())]), &self.tensors)?;
        for old in not_kept(older, self.ends_epoch) {
            fs::remove_file(&old).map_err(|source| Error::io("cannot remove", &old, source))?;
        }
        Ok(path)
    }
}

fn remove_damaged(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => tracing::warn!("removed the damaged checkpoint {}", visible(&path)),
        Err(e) => tracing::warn!("cannot remove the damaged checkpoint {}: {e}", visible(&path)),
    }
}

/// The error if no checkpoint is intact; `newest` is the error of the newest one.
fn nothing_left(dir: &Path, newest: &Error) -> Error {
    let problem = format!("no checkpoint is complete: {newest}; remove this folder to start the run again");
    Error::File { path: dir.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn encoded(progress: u64, ends_epoch: bool) -> Encoded {
        let tensors = vec![("w".into(), Tensor::new(&[progress as f32], &Device::Cpu).unwrap())];
        let events = Some(EventsOffset::START);
        let seconds = 0.1 + 0.2;
        Checkpoint { progress, metrics_bytes: 7, events, seconds, tensors }.encode(ends_epoch)
    }

    fn save(dir: &Path, progress: u64) -> PathBuf {
        encoded(progress, false).write(dir).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn newest(dir: &Path) -> Option<u64> {
        Checkpoint::<u64>::newest(dir).unwrap().map(|checkpoint| checkpoint.progress)
    }

    /// Writes a file with another header and a valid checksum.
    fn forge(path: &Path, header: &str) {
        let tensors = encoded(1, false).tensors;
        safetensors::write(path, &BTreeMap::from([(KEY.to_owned(), header.to_owned())]), &tensors).unwrap();
    }

    #[test]
    fn the_newest_two_are_kept_and_the_newest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(&dir.path().join("not/there")), None);
        (1..=4).for_each(|n| drop(save(dir.path(), n)));
        assert_eq!(names(dir.path()).len(), 2);
        let newest = Checkpoint::<u64>::newest(dir.path()).unwrap().unwrap();
        assert_eq!((newest.progress, newest.metrics_bytes, newest.seconds), (4, 7, 0.1 + 0.2));
        assert_eq!(newest.tensors[0].1.to_vec1::<f32>().unwrap(), [4.0]);
    }

    #[test]
    fn the_last_end_of_an_epoch_is_kept_as_well() {
        let dir = tempfile::tempdir().unwrap();
        for (progress, ends_epoch) in [(1, true), (2, true), (3, false), (4, false), (5, false)] {
            encoded(progress, ends_epoch).write(dir.path()).unwrap();
        }
        assert_eq!(
            names(dir.path()),
            ["000002-epoch.safetensors", "000004.safetensors", "000005.safetensors"]
        );
        let end = Checkpoint::<u64>::newest_end_of_epoch(dir.path()).unwrap().unwrap();
        assert_eq!((end.progress, newest(dir.path())), (2, Some(5)));
        encoded(6, true).write(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["000005.safetensors", "000006-epoch.safetensors"]);
    }

    #[test]
    fn a_damaged_newest_falls_back_to_the_one_before_and_is_not_counted_any_more() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        let path = save(dir.path(), 2);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [b"torn".to_vec(), whole[..whole.len() - 1].to_vec(), Vec::new(), flipped] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(newest(dir.path()), Some(1));
            assert_eq!(names(dir.path()), ["000001.safetensors"]);
        }
        save(dir.path(), 3);
        assert_eq!(names(dir.path()), ["000001.safetensors", "000002.safetensors"]);
    }

    #[test]
    fn a_checkpoint_without_its_checksum_is_damaged_unless_it_never_had_one() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        let path = save(dir.path(), 2);
        let text = String::from_utf8(fs::read(&path).unwrap().split_off(8)).unwrap();
        let rename = |text: &str| text.replacen("\"sha256\"", "\"sha-26\"", 1);
        let write = |text: &str| {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, [&bytes[..8], text.as_bytes()].concat()).unwrap();
        };
        write(&rename(&text));
        assert_eq!(newest(dir.path()), Some(1));
        save(dir.path(), 2);
        write(&rename(&text).replacen("format\\\":2", "format\\\":1", 1));
        assert_eq!(newest(dir.path()), Some(2), "of an earlier version");
    }

    #[test]
    fn when_none_reads_the_error_names_the_newest_and_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let only = save(dir.path(), 1);
        fs::write(&only, "torn").unwrap();
        let error = Checkpoint::<u64>::newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("000001.safetensors") && error.contains("remove this folder"), "{error}");
        assert!(only.exists(), "nothing is removed where nothing better is left");
    }

    #[test]
    fn a_checkpoint_of_another_kind_of_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        let error = Checkpoint::<Vec<String>>::newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another kind of run"), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused_rather_than_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 1);
        forge(&dir.path().join("000002.safetensors"), r#"{"format":3,"version":"9.8.7","progress":[]}"#);
        let error = Checkpoint::<u64>::newest(dir.path()).unwrap_err().to_string();
        for part in ["000002.safetensors", "format 3", "written by enas 9.8.7", "go on with the version"] {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
        assert_eq!(names(dir.path()).len(), 2, "nothing is removed");
    }

    #[test]
    fn a_held_one_comes_back_as_it_was() {
        let back = Checkpoint::<u64>::decode(encoded(9, true));
        assert_eq!((back.progress, back.metrics_bytes, back.seconds), (9, 7, 0.1 + 0.2));
        assert_eq!(back.tensors[0].1.to_vec1::<f32>().unwrap(), [9.0]);
    }
}
