//! What the phases of an automatic run have found, and its result.

use std::path::PathBuf;

use enas_arc::Arc;
use enas_run::auto::AutoPhase;
use enas_run::directory::reader::RunReader;
use enas_run::error::Result;
use enas_run::evaluation::BalancedAccuracy;
use enas_run::finals::Gain;
use enas_run::model::{Model, Refitted};
use enas_run::paired::PairedDifference;
use serde::Deserialize;

use super::file::read_result;
use super::folder::AutoRun;

/// The result of an automatic run.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoOutcome {
    /// The model: `model.safetensors` in the folder of the run. It is that of the final training, unless the first
    /// model is measurably better on the validation split.
    pub model: PathBuf,
    /// The phase that trained it.
    pub from: AutoPhase,
    /// Its arc.
    pub arc: Arc,
    /// Its accuracy on the validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Its accuracy on the test split, 0 to 1.
    pub test_accuracy: f64,
    /// Its macro-F1 on the test split, if the trainings choose by it.
    pub test_macro_f1: Option<f64>,
    /// Its balanced accuracy there, likewise.
    pub test_balanced: Option<BalancedAccuracy>,
    /// Accuracy that the search reports for its arc; see
    /// [`SearchOutcome::valid_accuracy`](crate::SearchOutcome::valid_accuracy). `None` without a search.
    pub search_accuracy: Option<f64>,
    /// Mean accuracy of random arcs in the search; `None` if there were none.
    pub random_accuracy: Option<f64>,
    /// Difference in accuracy between the arc found and the best random one; `None` if there was none.
    pub search_difference: Option<PairedDifference>,
    /// Gain of the arc's network over random ones with the same training, if the search had finals.
    pub search_gain: Option<Gain>,
    /// Signs that the arc or the policy should not be trusted.
    pub search_warnings: Vec<String>,
    /// Validation accuracy of the first model, a random arc after a short training; `None` without a search, where
    /// there is only one training.
    pub first_accuracy: Option<f64>,
    /// Validation accuracy of the final training after a search; `None` without a search.
    pub trained_accuracy: Option<f64>,
    /// The images of the refit, if there was one.
    pub refit: Option<Refitted>,
    /// Wall time in seconds, over all sessions.
    pub seconds: f64,
}

/// The part of `best.arc.json` of a finished search that is used here.
#[derive(Deserialize)]
pub(super) struct Searched {
    pub(super) arc: Arc,
    pub(super) valid_accuracy: f64,
    pub(super) random_valid_accuracy: Option<f64>,
    #[serde(default)]
    pub(super) difference: Option<PairedDifference>,
    #[serde(default)]
    pub(super) gain: Option<Gain>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// The part of `best.arc.json` of a finished training that is used here.
#[derive(Deserialize)]
pub(super) struct Trained {
    pub(super) valid_accuracy: f64,
    pub(super) test_macro_f1: Option<f64>,
    pub(super) test_balanced: Option<BalancedAccuracy>,
}

/// Results of the finished phases before the final training.
#[derive(Default)]
pub(super) struct Phases {
    pub(super) first: Option<Trained>,
    pub(super) trained: Option<Trained>,
    pub(super) searched: Option<Searched>,
}

impl Phases {
    pub(super) fn outcome(self, run: &AutoRun, from: AutoPhase) -> Result<AutoOutcome> {
        let Self { first, trained, searched } = self;
        let model = Model::load(&run.model_path())?;
        let accuracy = model.accuracy();
        let delivered: Trained = read_result(&RunReader::open(&run.phase_dir(from))?.best_arc_path())?;
        Ok(AutoOutcome {
            model: run.model_path(),
            from,
            arc: model.arc()?.clone(),
            valid_accuracy: accuracy.valid,
            test_accuracy: accuracy.test.unwrap_or_default(),
            test_macro_f1: delivered.test_macro_f1,
            test_balanced: delivered.test_balanced,
            search_accuracy: searched.as_ref().map(|searched| searched.valid_accuracy),
            random_accuracy: searched.as_ref().and_then(|searched| searched.random_valid_accuracy),
            search_difference: searched.as_ref().and_then(|searched| searched.difference),
            search_gain: searched.as_ref().and_then(|searched| searched.gain),
            search_warnings: searched.map(|searched| searched.warnings).unwrap_or_default(),
            first_accuracy: first.map(|first| first.valid_accuracy),
            trained_accuracy: trained.map(|trained| trained.valid_accuracy),
            refit: model.refit(),
            seconds: run.seconds(),
        })
    }
}
