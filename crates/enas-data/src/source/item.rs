//! An image in a source: its file, its class and its split. No pixels.

use serde::{Deserialize, Serialize};

/// One of the three splits of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Training: images that weights are fitted to.
    Train,
    /// Validation: images that choices are made by.
    Valid,
    /// Test: images for the final accuracy only.
    Test,
}

impl Part {
    /// All parts in the usual order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// `train`, `valid` or `test`, which is also the name of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Part> {
        Part::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// An image with its class and, if the folders give it, its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Index into [`Source::files`](crate::source::files::Source::files).
    pub(crate) file: usize,
    /// Index of the class.
    pub(crate) class: usize,
    pub(crate) part: Option<Part>,
}

/// Whether a folder of this name counts as a split.
pub(crate) fn is_split_name(name: &str) -> bool {
    Part::from_name(name).is_some()
}
