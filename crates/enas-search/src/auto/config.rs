//! The settings of an automatic run.

use enas_run::auto::SearchWhen;
use enas_run::config::{SearchConfig, TimeLimit, TrainConfig};

/// All settings of an automatic run.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoConfig {
    /// Settings of the search. The plan sets `run.time`.
    pub search: SearchConfig,
    /// Settings of both trainings. The plan sets `run.time`.
    pub train: TrainConfig,
    /// Wall-time limit of everything, including sessions before an interruption.
    pub time: TimeLimit,
    /// Seconds that the caller needs afterwards, in addition to one prediction of the validation and test images.
    pub finish: f64,
    /// Whether the run searches, or trains a ready cell.
    pub search_when: SearchWhen,
    /// Whether the size of the trained network (`child.filters`, `child.layers`) is fitted to the time limit instead
    /// of taken from `train`.
    pub fits_network: bool,
}

impl AutoConfig {
    /// Epochs of the first model's training.
    pub(super) fn first_epochs(&self) -> u64 {
        self.train.run.epochs.div_ceil(10)
    }
}
