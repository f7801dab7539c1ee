//! The directory of a run: created once, never overwritten, resumable at any time.
//!
//! ```text
//! runs/<data>-search-<n>/
//!   config.toml        every setting, with the version that wrote it
//!   manifest.json      version, revision, device, threads, data fingerprint
//!   split.tsv          which file was in which split
//!   metrics.jsonl      one JSON object per event
//!   checkpoints/       the newest two
//!   best.arc.json      the arc found or trained
//!   model.safetensors  the trained network (training only)
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use enas_arc::Arc;
use enas_data::Dataset;
use serde::{Deserialize, Serialize};

use crate::config::{SearchConfig, Settings, TrainConfig};
use crate::error::Result;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Searches for an arc.
    Search,
    /// Trains one arc from scratch.
    Train,
}

/// What reproduces a run beside its configuration, and what it ran on: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Search or training.
    pub kind: Kind,
    /// Version of the program.
    pub version: String,
    /// Git revision of the program, or `unknown`.
    pub revision: String,
    /// What computed: `cpu`.
    pub device: String,
    /// Threads of the pool at the start.
    pub threads: usize,
    /// Name of the data set.
    pub data: String,
    /// Number and hash of the picture files.
    pub fingerprint: enas_data::Fingerprint,
    /// The arc that is trained (training only).
    pub arc: Option<Arc>,
}

/// An open run directory.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
}

impl Run {
    /// Creates the directory of a new search.
    ///
    /// `out` is the directory, which must not exist or be empty; without it, `runs/<data>-search-<n>` with the
    /// first free `n`.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] when `out` holds something, [`crate::Error::Io`] when it cannot be written.
    pub fn for_search(out: Option<&Path>, config: &SearchConfig, data: &Dataset) -> Result<Self> {
        unimplemented!()
    }

    /// Creates the directory of a new training of `arc`: `out`, or `runs/<data>-train-<n>`.
    ///
    /// # Errors
    /// As [`Run::for_search`].
    pub fn for_training(out: Option<&Path>, config: &TrainConfig, arc: &Arc, data: &Dataset) -> Result<Self> {
        unimplemented!()
    }

    /// Opens a run to go on with it: give it to [`crate::search()`] or [`crate::train()`] with its own
    /// [`Run::config`] (and [`Run::arc`]) and the same data.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] when `dir` is no run directory.
    pub fn resume(dir: &Path) -> Result<Self> {
        unimplemented!()
    }

    /// The configuration the run was started with.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] when the run is of the other kind, [`crate::Error::Config`] when the file
    /// was edited into something invalid.
    pub fn config<C: Settings>(&self) -> Result<C> {
        unimplemented!()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Search or training.
    pub fn kind(&self) -> Kind {
        self.manifest.kind
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The arc that this training trains; `None` for a search.
    pub fn arc(&self) -> Option<&Arc> {
        self.manifest.arc.as_ref()
    }

    /// The arc in `best.arc.json`: the result of a finished search or training.
    ///
    /// # Errors
    /// Says how to finish the run when the file is not there yet.
    pub fn best_arc(&self) -> Result<Arc> {
        unimplemented!()
    }

    /// Where the trained network is, or will be.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join("model.safetensors")
    }
}

/// Reads an arc from a file: a `best.arc.json`, or text in either form of an arc with `#` comments.
///
/// # Errors
/// [`crate::Error::File`] names the file and what is wrong with the arc in it.
pub fn read_arc(path: &Path) -> Result<Arc> {
    unimplemented!()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "search",
            Self::Train => "train",
        })
    }
}
