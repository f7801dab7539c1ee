//! What reproduces a run: `manifest.json`.

use std::fmt;
use std::path::PathBuf;

use enas_arc::Arch;
use enas_data::Dataset;
use serde::{Deserialize, Serialize};

use crate::changes;
use crate::config::Settings;
use crate::memory::MemoryPlan;
use crate::recommend::Choice;

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
    pub arc: Option<Arch>,
    /// The run directory of the search that found the arc (training only), if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PathBuf>,
    /// Every setting, so that a change of `config.toml` is noticed. Runs of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
    /// What the run may take and will take of the machine's memory, as planned when it was last begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPlan>,
    /// The settings that were chosen for the images, with reasons; none where the user chose a preset or a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "search",
            Self::Train => "train",
        })
    }
}

impl Manifest {
    pub(super) fn new<C: Settings>(data: &Dataset, arc: Option<Arch>, config: &C) -> Self {
        Self {
            kind: C::KIND,
            version: env!("CARGO_PKG_VERSION").into(),
            revision: env!("ENAS_REVISION").into(),
            device: "cpu".into(),
            threads: rayon::current_num_threads(),
            data: data.name.clone(),
            fingerprint: data.fingerprint.clone(),
            arc,
            search: None,
            settings: Some(changes::plain(config)),
            memory: None,
            choices: Vec::new(),
        }
    }
}
