//! Warnings about the images before a run begins.

use enas_data::check::FindingKind;
use enas_data::{Dataset, visible};

use crate::config::RunConfig;

/// Logs a warning for each kind of problem that was found while the images were loaded.
pub fn warn_of(data: &Dataset, pictures: &enas_data::Config, run: &RunConfig) {
    let is_balanced = run.balances_classes(pictures);
    for concern in &data.warnings {
        if concern.kind != FindingKind::Imbalance || !is_balanced {
            tracing::warn!("{}", visible(&concern.line()));
        }
    }
    if !data.warnings.is_empty() {
        tracing::info!("`enas data check` lists every case, and looks for more");
    }
}
