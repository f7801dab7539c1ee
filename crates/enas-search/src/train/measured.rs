//! The measured network at the end of the first part of a training, and the images that the second part adds.

use enas_data::Split;
use enas_run::config::RefitImages;
use enas_run::error::{Error, Result};
use enas_run::evaluation::BalancedAccuracy;
use enas_run::model::Accuracies;
use serde::{Deserialize, Serialize};

/// The measured network at the end of the first part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Epochs of the first part.
    pub(super) epochs: u64,
    /// Steps of the first part.
    pub(super) steps: u64,
    /// Wall time of the run at its end, in seconds.
    pub(super) seconds: f64,
    pub(super) accuracy: Accuracies,
    /// Macro-F1 on the test split.
    pub(super) test_macro_f1: f64,
    /// Balanced accuracy on the test split; earlier versions did not store it.
    #[serde(default)]
    pub(super) test_balanced: Option<BalancedAccuracy>,
    /// Temperature for calibrated probabilities: logits are divided by it (Guo et al., ICML 2017).
    pub(super) temperature: Option<f64>,
}

/// The images that the weights are fitted to: the training split, joined by others after the measurement.
///
/// # Errors
/// [`Error::Mismatch`] if the images cannot be joined because their augmented copies were made in advance.
pub(super) fn fitted_images(
    data: &enas_data::Dataset,
    images: RefitImages,
    is_measured: bool,
) -> Result<Split> {
    if !is_measured {
        return Ok(data.train.clone());
    }
    data.train_with(images.parts()).ok_or_else(|| {
        Error::Mismatch(
            "augmented copies that were made once cannot be combined with other images: set refit.images = \"none\""
                .into(),
        )
    })
}
