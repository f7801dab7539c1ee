//! The estimate of a run's memory, by purpose.

use serde::{Deserialize, Serialize};

/// Estimated bytes by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryParts {
    /// The program itself.
    pub base: u64,
    /// The images and their metadata.
    #[serde(rename = "pictures")]
    pub images: u64,
    /// Temporary memory for reading the images, before the network exists.
    pub reading: u64,
    /// Batches that are ready or in preparation.
    pub loading: u64,
    /// Weights and momentum.
    pub weights: u64,
    /// Peak of activations, gradients, evaluations and checkpoint writing.
    pub work: u64,
}

impl MemoryParts {
    /// The estimated peak.
    pub fn total(&self) -> u64 {
        let Self { base, images, reading, loading, weights, work } = *self;
        base + images + reading.max(loading + weights + work)
    }
}
