//! The training of one arc from scratch.

use std::path::PathBuf;

use enas_arc::Arc;
use enas_data::Dataset;

use crate::config::TrainConfig;
use crate::error::Result;
use crate::observer::Observer;
use crate::run::Run;

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome {
    /// The run directory.
    pub run: PathBuf,
    /// The model file.
    pub model: PathBuf,
    /// The arc.
    pub arc: Arc,
    /// Mean training loss of the last epoch, in nats.
    pub train_loss: f64,
    /// Accuracy of the kept weights on the validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Accuracy of the kept weights on the test split, which nothing else looks at; `None` without such a split.
    pub test_accuracy: Option<f64>,
    /// Epochs done.
    pub epochs: u64,
    /// Wall time, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per picture.
    pub macs: u64,
}

/// Trains a network of its own for `arc`, and writes `model.safetensors`.
///
/// # Errors
/// [`crate::Error::Interrupted`] when the observer asked to stop; [`crate::Error::Diverged`]; and whatever data,
/// network and disk report.
pub fn train(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome> {
    unimplemented!()
}
