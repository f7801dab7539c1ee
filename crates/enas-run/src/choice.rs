//! A setting that was derived from the images, with its reason.

use serde::{Deserialize, Serialize};

use crate::config::Kind;

/// A setting derived from the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The dotted key, as for `--set`.
    pub key: String,
    /// The value, as for `--set`.
    pub value: String,
    /// The reason.
    pub reason: String,
    /// The command that it applies to; `None` for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Kind>,
}

impl Choice {
    /// Whether it applies to a command of this kind.
    pub fn is_for(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}
