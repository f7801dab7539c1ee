//! The file `auto.json` of an automatic run, and the results of its phases.

use std::io::ErrorKind;
use std::path::Path;

use enas_arc::Arc;
use enas_data::Fingerprint;
use enas_run::auto::{AUTO, AutoPlan, Preparation, SearchWhen};
use enas_run::config::TimeLimit;
use enas_run::error::{Error, Result};
use enas_run::files::limited_read::{SMALL_FILE, read_plain_text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The contents of `auto.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AutoFile {
    pub(super) version: String,
    pub(super) data: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) time: TimeLimit,
    /// Seconds that the caller reserves for its own work at the end.
    pub(super) finish: f64,
    /// When the run searches. Absent in runs of early versions, which always did.
    #[serde(default)]
    pub(super) search_when: SearchWhen,
    /// The cell that was given instead of a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cell: Option<Arc>,
    /// Whether the size of the network is fitted to the time limit.
    #[serde(default)]
    pub(super) fits_network: bool,
    /// Wall time of earlier sessions, in seconds.
    pub(super) seconds: f64,
    pub(super) plan: Option<AutoPlan>,
    /// Wall time until the plan was made, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prepared_seconds: Option<f64>,
    /// What was done before the first phase, for readers of the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) preparation: Option<Preparation>,
    /// All settings, for the detection of changes of either file. Absent in runs of early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<StoredSettings>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredSettings {
    pub(super) search: Value,
    pub(super) train: Value,
}

/// Reads `auto.json` in `dir`.
pub(super) fn read(dir: &Path) -> Result<AutoFile> {
    let path = dir.join(AUTO);
    let text = match read_plain_text(&path, SMALL_FILE) {
        Ok(text) => text,
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
            ) =>
        {
            let problem = format!("this is not the folder of an automatic run: it has no {AUTO}");
            return Err(Error::RunDirectory { path: dir.to_owned(), problem });
        }
        Err(source) => return Err(Error::io("cannot read", &path, source)),
    };
    serde_json::from_str(&text).map_err(|e| Error::File {
        path,
        problem: if e.is_data() {
            format!("not of this version ({e}); resume with the version that started the run")
        } else {
            format!("damaged ({e}); its phases are whole runs of their own, or start a new one")
        },
    })
}

/// Reads the `best.arc.json` of a finished run.
pub(super) fn read_result<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_plain_text(path, SMALL_FILE).map_err(|source| Error::io("cannot read", path, source))?;
    serde_json::from_str(&text).map_err(|e| Error::File {
        path: path.to_owned(),
        problem: format!("not a result of this version: {e}"),
    })
}
