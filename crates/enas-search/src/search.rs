//! The search loop (Pham et al., 2018, section 2.2 and algorithm of section 2.4).

use std::path::PathBuf;

use enas_arc::Arc;
use enas_data::Dataset;

use crate::config::SearchConfig;
use crate::error::Result;
use crate::observer::Observer;
use crate::run::Run;
use crate::select::Selection;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// The run directory.
    pub run: PathBuf,
    /// The best candidate of the policy.
    pub arc: Arc,
    /// Its accuracy with the shared weights on the whole validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Mean accuracy of the uniformly random arcs on the same pictures; `None` when none were asked for.
    pub random_valid_accuracy: Option<f64>,
    /// All scored arcs.
    pub selection: Selection,
    /// Epochs done.
    pub epochs: u64,
    /// Wall time, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights of the search network.
    pub params: usize,
    /// Multiply-adds per picture of the arc in the search network.
    pub macs: u64,
}

/// Searches for an arc: trains shared weights ω and a policy θ in turns, then chooses.
///
/// # Errors
/// [`crate::Error::Interrupted`] when the observer asked to stop; [`crate::Error::Diverged`]; and whatever data,
/// network, controller and disk report.
pub fn search(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome> {
    unimplemented!()
}
