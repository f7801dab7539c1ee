//! The setting of test-time augmentation.

use serde::{Deserialize, Serialize};

/// The views of test-time augmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tta {
    /// The image alone.
    #[default]
    None,
    /// The image and its mirror image.
    Flip,
}

impl Tta {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
