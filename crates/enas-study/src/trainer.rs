//! The operations that a study needs: sizes, trainings, searches. [`crate::ImageTrainer`] implements them for
//! images.

use std::path::Path;

use enas_arc::Arc;
use enas_search::{Observer, Result};

use crate::arcs::Size;
use crate::record::Measurements;

/// Trains architectures and runs searches. Equal seeds give equal results.
pub trait Trainer {
    /// Size and cost of the network that is trained for an architecture.
    ///
    /// # Errors
    /// If the architecture does not fit the settings.
    fn size(&self, arc: &Arc) -> Result<Size>;

    /// Trains an architecture alone and measures it. `goes_on` is called often, with the share of the training that
    /// is done. If it returns `false`, the training stops and the result is `None`.
    ///
    /// # Errors
    /// Errors of the training.
    fn train(
        &mut self,
        arc: &Arc,
        seed: u64,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Measurements>>;

    /// Searches in the directory `dir`; continues a search there that was interrupted.
    ///
    /// # Errors
    /// [`enas_search::Error::Interrupted`] if the observer asked to stop; other errors of the search.
    fn search(&mut self, seed: u64, dir: &Path, observer: &mut dyn Observer) -> Result<SearchResult>;
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult {
    /// The architecture found.
    pub arc: Arc,
    /// The small pick of the search; `None` if the search had no finals.
    pub small: Option<Arc>,
    /// The accuracy of `arc` on the validation images as the search measured it, 0 to 1.
    pub valid_accuracy: f64,
    /// The mean accuracy of the random architectures that the search measured in the same way.
    pub random_valid_accuracy: Option<f64>,
    /// Wall time in seconds, over all sessions of an interrupted search.
    pub seconds: f64,
}
