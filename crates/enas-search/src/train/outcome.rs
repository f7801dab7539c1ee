//! What a training came to, for its caller and for `best.arc.json`.

use std::path::PathBuf;

use enas_arc::Arc;
use serde::Serialize;

use crate::config::{Metric, RefitImages};

/// What a training came to.
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
    /// Accuracy of the kept weights on the validation split, 0 to 1; of the weights before the refit, if there was one.
    pub valid_accuracy: f64,
    /// Accuracy of the kept weights on the test split, which nothing else looks at; of the weights before the refit, if
    /// test images joined it.
    pub test_accuracy: f64,
    /// Macro-F1 of the same weights on the test split.
    pub test_macro_f1: f64,
    /// What came after the measurement, if anything did.
    pub refit: Option<Refit>,
    /// Epochs done.
    pub epochs: u64,
    /// Why there were no more.
    pub ended: Ended,
    /// Wall time, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per picture.
    pub macs: u64,
}

/// How a training went on once its network was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refit {
    /// The images that joined the training images.
    pub images: RefitImages,
    /// Training images together with these.
    pub fitted: usize,
    /// Epochs with all of them.
    pub epochs: u64,
    /// Accuracy of the network before, on the test split.
    pub measured_test_accuracy: f64,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs were done.
    Epochs,
    /// There was no time for more.
    Time,
    /// So many epochs as `run.patience` says were no better than one before.
    Patience,
}

/// What `best.arc.json` says beside the arc. The same for equal seeds, so no times.
#[derive(Serialize)]
pub(super) struct Facts {
    train_loss: f64,
    valid_accuracy: f64,
    test_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_macro_f1: Option<f64>,
    epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<Refit>,
    /// Where the training ran out of patience.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
    params: usize,
    macs: u64,
}

impl<A> TrainOutcome<A> {
    /// The same with its architecture in another form.
    pub(super) fn map<B>(self, form: impl FnOnce(A) -> B) -> TrainOutcome<B> {
        let Self { run, model, arc, train_loss, valid_accuracy, test_accuracy, test_macro_f1, .. } = self;
        let Self { refit, epochs, ended, seconds, params, macs, .. } = self;
        let arc = form(arc);
        TrainOutcome {
            run,
            model,
            arc,
            train_loss,
            valid_accuracy,
            test_accuracy,
            test_macro_f1,
            refit,
            epochs,
            ended,
            seconds,
            params,
            macs,
        }
    }

    pub(super) fn facts(&self, metric: Metric) -> Facts {
        let Self { train_loss, valid_accuracy, test_accuracy, refit, epochs, params, macs, .. } = *self;
        let test_macro_f1 = (metric == Metric::MacroF1).then_some(self.test_macro_f1);
        let ended = Some(self.ended).filter(|why| *why == Ended::Patience);
        Facts { train_loss, valid_accuracy, test_accuracy, test_macro_f1, epochs, refit, ended, params, macs }
    }
}
