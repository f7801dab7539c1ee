//! The result of a training, for its caller and for `best.arc.json`.

use std::path::PathBuf;

use enas_arc::Arc;
use enas_run::config::{Metric, RefitImages};
use enas_run::evaluation::BalancedAccuracy;
use serde::Serialize;

/// The result of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOutcome<A = Arc> {
    /// The run directory.
    pub run: PathBuf,
    /// The model file.
    pub model: PathBuf,
    /// The arc.
    pub arc: A,
    /// Mean training loss of the last epoch, in nats.
    pub train_loss: f64,
    /// Accuracy of the kept weights on the validation split, 0 to 1. After a refit: of the weights before it.
    pub valid_accuracy: f64,
    /// Accuracy of the kept weights on the test split, 0 to 1; no choice uses that split. If test images joined a
    /// refit: of the weights before it.
    pub test_accuracy: f64,
    /// Macro-F1 of the same weights on the test split.
    pub test_macro_f1: f64,
    /// Balanced accuracy of the same weights on the test split; `None` if the run was measured by an earlier version.
    pub test_balanced: Option<BalancedAccuracy>,
    /// How the training went on after the measurement; `None` without a refit.
    pub refit: Option<Refit>,
    /// Epochs completed.
    pub epochs: u64,
    /// Why the training ended.
    pub ended: Ended,
    /// Wall time in seconds, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per image.
    pub macs: u64,
}

/// The refit: further training, after the measurement, on images that had been held out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refit {
    /// The images that joined the training images.
    pub images: RefitImages,
    /// Number of images in the refit: the training images and those that joined them.
    pub fitted: usize,
    /// Epochs of the refit.
    pub epochs: u64,
    /// Accuracy on the test split of the network before the refit, 0 to 1.
    pub measured_test_accuracy: f64,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs were completed.
    Epochs,
    /// The time limit was reached.
    Time,
    /// Early stopping: `run.patience` epochs in a row were not better than the best one.
    Patience,
}

/// What `best.arc.json` says in addition to the arc. It contains no times, so that equal seeds give equal files.
#[derive(Serialize)]
pub(super) struct ResultSummary {
    train_loss: f64,
    valid_accuracy: f64,
    test_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_macro_f1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_balanced: Option<BalancedAccuracy>,
    epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<Refit>,
    /// Present only if early stopping ended the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
    params: usize,
    macs: u64,
}

impl<A> TrainOutcome<A> {
    /// The same outcome with its architecture converted by `form`.
    pub(super) fn map<B>(self, form: impl FnOnce(A) -> B) -> TrainOutcome<B> {
        let Self { run, model, arc, train_loss, valid_accuracy, test_accuracy, test_macro_f1, .. } = self;
        let Self { test_balanced, refit, epochs, ended, seconds, params, macs, .. } = self;
        let arc = form(arc);
        TrainOutcome {
            run,
            model,
            arc,
            train_loss,
            valid_accuracy,
            test_accuracy,
            test_macro_f1,
            test_balanced,
            refit,
            epochs,
            ended,
            seconds,
            params,
            macs,
        }
    }

    pub(super) fn result_summary(&self, metric: Metric) -> ResultSummary {
        let Self { train_loss, valid_accuracy, test_accuracy, refit, epochs, params, macs, .. } = *self;
        let test_macro_f1 = (metric == Metric::MacroF1).then_some(self.test_macro_f1);
        let test_balanced = self.test_balanced.filter(|_| metric == Metric::MacroF1);
        let ended = Some(self.ended).filter(|why| *why == Ended::Patience);
        ResultSummary {
            train_loss,
            valid_accuracy,
            test_accuracy,
            test_macro_f1,
            test_balanced,
            epochs,
            refit,
            ended,
            params,
            macs,
        }
    }
}
