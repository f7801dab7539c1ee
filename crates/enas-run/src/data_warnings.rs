//! Warnings about the images before a run begins.

use enas_data::check::FindingKind;
use enas_data::{Dataset, Sampling};

use crate::config::{ClassWeights, RunConfig};

/// Logs a warning for each kind of problem that was found while the images were loaded.
pub fn warn_of(data: &Dataset, images: &enas_data::Config, run: &RunConfig) {
    let is_balanced = images.sampling == Sampling::Balanced || run.class_weights != ClassWeights::None;
    for concern in &data.warnings {
        if concern.kind != FindingKind::Imbalance || !is_balanced {
            tracing::warn!("{}", concern.line());
        }
    }
    if !data.warnings.is_empty() {
        tracing::info!("`enas data check` lists every case, and looks for more");
    }
}
