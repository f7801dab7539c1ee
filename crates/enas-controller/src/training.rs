//! The state of the training besides the weights.

use candle_nn::Optimizer;
use enas_kernels::candle::{TfAdam, TfAdamConfig, read};

use crate::Error;
use crate::weights::Weights;

/// The state of the training besides the weights.
pub(crate) struct TrainingState {
    /// TensorFlow's Adam with β₁ = 0 and ε = 1e-3 (`utils.py:217-219`). It holds the second moment of every variable
    /// and counts the updates.
    ///
    /// Quirk: TensorFlow adds ε to √v without bias correction of v ("epsilon hat"). With this ε the formula of the
    /// Adam paper takes much larger first steps.
    pub(crate) adam: TfAdam,
    /// Moving average of the rewards.
    pub(crate) baseline: f32,
    /// Whether there has been any reward.
    pub(crate) started: bool,
}

impl TrainingState {
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
        copy.baseline = self.baseline;
        copy.started = self.started;
        copy
    }
}
