//! The phases of an automatic run, and the plan of its time.

use enas_arc::Arc;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;

/// The phases of an automatic run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoPhase {
    /// A short training of a random arc, so that there is a model early on.
    First,
    /// The search.
    Search,
    /// The training of the arc found.
    Train,
}

impl AutoPhase {
    /// Name of the phase's folder within that of the run.
    pub fn folder(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Search => "search",
            Self::Train => "train",
        }
    }
}

/// Expected time of each phase, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoPlan {
    /// [`AutoPhase::First`].
    pub first: f64,
    /// [`AutoPhase::Search`], including the choice at its end.
    pub search: f64,
    /// [`AutoPhase::Train`], including the measurement on the test split.
    pub train: f64,
    /// The caller's work with the model: one more prediction of the validation and test images, and what it asked for
    /// in addition.
    pub finish: f64,
    /// Whether there is a search. If not, a given or a ready cell is trained and there are no other phases.
    #[serde(default = "always")]
    pub searches: bool,
    /// The size of the trained network, if it was fitted to the time limit.
    #[serde(default)]
    pub network: Option<FittedNetwork>,
    /// Training steps of the final network that fitted into the time when the plan was made. Absent in plans of early
    /// versions and without a limit.
    #[serde(default)]
    pub possible_steps: Option<f64>,
}

/// The value of early versions, which always searched.
fn always() -> bool {
    true
}

impl AutoPlan {
    /// Total of all phases, in seconds.
    pub fn total(&self) -> f64 {
        self.first + self.search + self.train + self.finish
    }
}

/// The size of a network that was fitted to the time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedNetwork {
    /// Channels of the first cells (`child.filters`).
    pub filters: usize,
    /// Number of normal cells (`child.layers`).
    pub layers: usize,
}

/// Whether an automatic run searches for an architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchWhen {
    /// Always.
    #[default]
    Always,
    /// Never: a ready cell is trained.
    Never,
    /// Only with enough images and time for a meaningful search.
    IfItPays,
}

impl SearchWhen {
    /// Minimum number of training images. With fewer, differences between architectures are smaller than chance.
    pub const IMAGES: usize = 1000;
    /// Minimum number of training steps of the final network that the time allows. With fewer, the shared weights are
    /// trained too little to rank architectures.
    pub const STEPS: f64 = 60_000.0;

    /// Whether a run with this many training images, and time for this many steps, searches.
    pub fn searches(self, images: usize, steps: f64) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::IfItPays => images >= Self::IMAGES && steps >= Self::STEPS,
        }
    }
}

impl FittedNetwork {
    /// Sets this size, and the number of nodes of `arc`, in the configuration.
    pub fn apply(self, config: &mut TrainConfig, arc: &Arc) {
        let child = &mut config.child;
        (child.filters, child.layers, child.nodes) = (self.filters, self.layers, arc.n_nodes());
    }
}
