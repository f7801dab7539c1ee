//! Position of a training, as a checkpoint stores it.

use enas_run::config::{RunConfig, TrainConfig};
use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::outcome::Ended;
use crate::child_epoch::full_lr;
use crate::observer::Position;
use crate::session::RunningMean;

/// Position of a training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs planned, including those of the refit.
    pub(super) epochs: u64,
    /// Epochs of a refit that is still to come.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) refit_epochs: u64,
    /// The network measured before the refit; `Some` once the refit has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) measured: Option<Measured>,
    /// Epochs completed.
    pub(super) epoch: u64,
    /// Steps completed in this epoch.
    pub(super) step: u64,
    /// Wall time of the run when the epoch began, in seconds.
    pub(super) epoch_began: f64,
    pub(super) tally: RunningMean,
    pub(super) best_valid_accuracy: f64,
    /// The best macro-F1 so far, if it decides which epoch is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) best_macro_f1: Option<f64>,
    /// Mean loss of the last complete epoch, in nats.
    pub(super) train_loss: f64,
    /// Epochs since the best one.
    #[serde(default)]
    pub(super) since_best: u64,
    /// Factor on the learning rate: 1, or [`LOWERED`](crate::divergence::LOWERED) after the run went back.
    #[serde(default = "full_lr")]
    pub(super) lr_factor: f32,
}

fn is_zero(epochs: &u64) -> bool {
    *epochs == 0
}

impl Progress {
    pub(super) fn start(config: &TrainConfig) -> Self {
        let epochs = config.run.epochs;
        let (_, refit_epochs) = config.refit.divide(epochs);
        Self {
            epochs,
            refit_epochs,
            measured: None,
            epoch: 0,
            step: 0,
            epoch_began: 0.0,
            tally: RunningMean::default(),
            best_valid_accuracy: 0.0,
            best_macro_f1: None,
            train_loss: 0.0,
            since_best: 0,
            lr_factor: full_lr(),
        }
    }

    /// Why the training has no more epochs.
    pub(super) fn ended(&self, config: &RunConfig) -> Ended {
        match self.epoch >= config.epochs {
            true => Ended::Epochs,
            false if config.patience > 0 && self.since_best >= config.patience => Ended::Patience,
            false => Ended::Time,
        }
    }

    pub(super) fn next_epoch(&mut self, epochs: u64, seconds: f64) {
        (self.epochs, self.epoch, self.step, self.epoch_began) = (epochs, self.epoch + 1, 0, seconds);
        self.tally = RunningMean::default();
    }

    /// The step just completed, counted for display; `steps` is the length of the epoch.
    pub(super) fn place(&self, steps: u64) -> Position {
        Position { epoch: self.epoch + 1, epochs: self.epochs, step: self.step, steps }
    }
}
