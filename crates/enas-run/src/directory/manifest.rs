//! The manifest of a run, `manifest.json`.

use std::path::PathBuf;

use enas_arc::Arch;
use enas_data::Dataset;
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::config::{Kind, Settings};
use crate::directory::settings_diff;
use crate::memory::MemoryPlan;

/// What reproduces a run in addition to its configuration, and the machine it ran on: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Search or training.
    pub kind: Kind,
    /// Version of the program.
    pub version: String,
    /// Git revision of the program, or `unknown`.
    pub revision: String,
    /// The device that computed: `cpu` or the name of a GPU.
    pub device: String,
    /// Threads of the CPU thread pool at the start.
    pub threads: usize,
    /// Name of the data set.
    pub data: String,
    /// Number and hash of the image files.
    pub fingerprint: enas_data::Fingerprint,
    /// The arc that is trained (training only).
    pub arc: Option<Arch>,
    /// The run directory of the search that found the arc (training only), if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PathBuf>,
    /// All settings, for the detection of changes of `config.toml`. Absent in runs of early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
    /// The plan of the run's memory, as of its last session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPlan>,
    /// The settings chosen for the images, with reasons; empty if the user chose a preset or a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

impl Manifest {
    pub(crate) fn new<C: Settings>(data: &Dataset, arc: Option<Arch>, config: &C) -> Self {
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
            settings: Some(settings_diff::plain(config)),
            memory: None,
            choices: Vec::new(),
        }
    }
}
