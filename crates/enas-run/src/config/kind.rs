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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "search",
            Self::Train => "train",
        })
    }
}
