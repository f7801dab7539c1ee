//! The settings of a study, in the file that marks its directory.

use std::path::Path;

use enas_data::{Dataset, Fingerprint};
use enas_search::{Error, Result, read_plain_text, write_file};
use serde::{Deserialize, Serialize};

use crate::config::StudyConfig;

/// The name of the file. It is written last when a study is created.
pub(crate) const CONFIG: &str = "study.config.json";

/// Largest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// The settings and data of a study.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StudyManifest {
    pub(crate) version: String,
    pub(crate) data: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) settings: StudyConfig,
}

impl StudyManifest {
    pub(crate) fn new(config: &StudyConfig, data: &Dataset) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            data: data.name.clone(),
            fingerprint: data.fingerprint.clone(),
            settings: config.clone(),
        }
    }

    /// Writes the file into a directory.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("settings are plain data");
        write_file(&dir.join(CONFIG), format!("{text}\n").as_bytes())
    }

    /// Reads the file of a directory.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `dir` is not the directory of a study; [`Error::File`] if the file cannot be read.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        if !path.is_file() {
            let problem = "this is not the directory of a study; `enas study DATA` begins one".to_owned();
            return Err(Error::RunDirectory { path: dir.to_owned(), problem });
        }
        let text = read_plain_text(&path, MOST).map_err(|source| Error::Io {
            action: "cannot read",
            path: path.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|error| Error::File {
            path,
            problem: format!("these are not the settings of a study ({error}); begin another study"),
        })
    }
}
