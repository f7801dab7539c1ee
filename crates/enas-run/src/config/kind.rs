//! The kind of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Searches for an arc.
    Search,
    /// Trains one arc from scratch.
    Train,
}

impl Kind {
    /// What such a run is, in a word.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Train => "training",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "search",
            Self::Train => "train",
        })
    }
}
