//! The report of the data check, as plain data for printing, storing or embedding.

use serde::{Deserialize, Serialize};

use super::sizes::Sizes;
use crate::finding::{ClassCount, Finding};
use crate::source::files::Source;
use crate::source::item::Part;

/// The report of one data set. Equal data and settings give equal reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The folder or zip that was checked.
    pub path: String,
    /// Whether a run could start: no finding is an error.
    pub can_start: bool,
    /// Number of files with the name of an image in a class folder.
    pub files: usize,
    /// Number of those files that can be read.
    pub usable: usize,
    /// Number of usable images with colours; 0 if images are read in grey (`data.channels = 1`).
    #[serde(default)]
    pub coloured: usize,
    /// Parts that are drawn with the seed, because the folders do not give them.
    pub drawn: Vec<Part>,
    /// Number of usable images per class, in label order.
    pub classes: Vec<ClassCount>,
    /// Sizes of the usable images; `None` if there are none.
    pub sizes: Option<Sizes>,
    /// Findings, the most serious first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The report on a source without a usable layout: its only finding is `why`.
    pub(super) fn refused(source: &Source, why: Finding) -> Self {
        Self {
            path: source.path.display().to_string(),
            can_start: false,
            files: 0,
            usable: 0,
            coloured: 0,
            drawn: Vec::new(),
            classes: Vec::new(),
            sizes: None,
            findings: vec![why],
        }
    }
}
