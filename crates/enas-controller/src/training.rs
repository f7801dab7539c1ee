//! What training remembers.

use candle_nn::Optimizer;
use enas_kernels::candle::{TfAdam, TfAdamConfig, read};

use crate::Error;
use crate::weights::Weights;

/// What training remembers besides the weights.
pub(crate) struct Training {
    /// Has the second moment of every variable, and counts the updates.
    pub(crate) adam: TfAdam,
    /// Moving average of the rewards.
    pub(crate) baseline: f32,
    /// Whether any reward has been seen.
    pub(crate) started: bool,
}

impl Training {
    pub(crate) fn new(weights: &Weights, lr: f64) -> Result<Self, Error> {
        let config = TfAdamConfig { lr, ..TfAdamConfig::default() };
        let adam = TfAdam::named(weights.vars()?, config)?;
        Ok(Self { adam, baseline: 0.0, started: false })
    }

    /// The same state for other variables of the same layout.
    pub(crate) fn copy(&self, weights: &Weights) -> Self {
        let mut copy =
            Self::new(weights, self.adam.learning_rate()).expect("these variables have an optimiser");
        for (name, moment) in self.adam.state() {
            let copied = read(moment, |moment| copy.adam.load(&name, moment)).and_then(|loaded| loaded);
            assert!(copied.expect("moments can be copied"), "{name} is a moment of the same layout");
        }
        copy.adam.set_steps(self.adam.steps());
        (copy.baseline, copy.started) = (self.baseline, self.started);
        copy
    }
}
