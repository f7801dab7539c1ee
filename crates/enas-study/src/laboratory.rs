//! What a study has done for it: sizes, trainings, searches. [`crate::ImageLaboratory`] does it with images.

use std::path::Path;

use enas_arc::Arc;
use enas_search::{Observer, Result};

use crate::arcs::Size;
use crate::record::Measured;

/// Where architectures are trained and searches run. Equal seeds give equal results.
pub trait Laboratory {
    /// Size and cost of the network that is trained for an architecture.
    ///
    /// # Errors
    /// If there is no such network.
    fn size(&self, arc: &Arc) -> Result<Size>;

    /// Trains an architecture alone and measures it. `goes_on` is asked often, with the share of the training that is done;
    /// where it says no, the training is given up and there is no result.
    ///
    /// # Errors
    /// Whatever the training reports.
    fn train(
        &mut self,
        arc: &Arc,
        seed: u64,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Measured>>;

    /// Searches in the directory `dir`, and goes on there with a search that was interrupted.
    ///
    /// # Errors
    /// [`enas_search::Error::Interrupted`] when the observer asked to stop; whatever the search reports.
    fn search(&mut self, seed: u64, dir: &Path, observer: &mut dyn Observer) -> Result<Found>;
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The architecture found.
    pub arc: Arc,
    /// The small one of its picks, if the search has such.
    pub small: Option<Arc>,
    /// Its accuracy on the validation images as the search measured it, 0 to 1.
    pub valid_accuracy: f64,
    /// The mean of the random architectures that the search measured alike.
    pub random_valid_accuracy: Option<f64>,
    /// Wall time, over all sessions of a search that was interrupted.
    pub seconds: f64,
}
