//! A training step: its position in the run, its update on the CPU, and its measurements.

use enas_kernels::BatchStats;
use enas_rng::Seed;

use crate::error::Error;
use crate::loss::Loss;
use crate::network::Training;
use crate::noise::{Noise, SeededNoise};
use crate::params::{Gradients, NetworkRunningStats, Params, is_finite};

/// The position of a training step in its run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub lr: f32,
    /// Steps done before this one.
    pub global_step: u64,
    /// Steps of the whole run, for the schedule of drop-path.
    pub total_steps: u64,
    /// Seed of dropout and drop-path, which also depend on `global_step`.
    pub seed: Seed,
}

/// The measurements of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Mean cross entropy of the main classifier in nats, with class weights.
    pub loss: f32,
    /// Mean cross entropy of the auxiliary classifier in nats; 0 without one.
    pub aux_loss: f32,
    /// Number of images that the main classifier got right.
    pub correct: usize,
    /// Number of images.
    pub n: usize,
    /// L2 norm of the whole gradient before clipping, with L2 penalty and auxiliary loss. Not finite if any value of
    /// the step was not finite.
    pub grad_norm: f32,
}

impl Step {
    /// The random numbers of the step.
    pub(crate) fn noise(&self) -> SeededNoise {
        SeededNoise { seed: self.seed, step: self.global_step }
    }

    /// The regularisation of the step, with the auxiliary head.
    pub(crate) fn training<'a>(&self, noise: &'a dyn Noise) -> Training<'a> {
        Training { noise, step: self.global_step, total_steps: self.total_steps, with_aux: true }
    }
}

/// The results of a training pass on the CPU.
pub(crate) struct HostPass {
    pub(crate) loss: Loss,
    /// Mean cross entropy of the auxiliary head; 0 without one.
    pub(crate) aux_loss: f32,
    pub(crate) gradients: Gradients,
    /// Batch statistics of the batch norms with moving statistics, with their index.
    pub(crate) batch_stats: Vec<(usize, BatchStats)>,
}

impl HostPass {
    /// Updates weights and moving statistics after a pass over `n` images, if all its values are finite.
    pub(crate) fn update(
        &self,
        params: &Params,
        running: &NetworkRunningStats,
        n: usize,
        lr: f32,
    ) -> Result<StepStats, Error> {
        let Self { loss, aux_loss, .. } = *self;
        let mut stats =
            StepStats { loss: loss.mean, aux_loss, correct: loss.correct, n, grad_norm: f32::NAN };
        // All values are checked before the first update, so that a failed step changes nothing.
        if self.is_finite() {
            running.update(&self.batch_stats)?;
            stats.grad_norm = params.step(lr, &self.gradients)?;
        }
        Ok(stats)
    }

    fn is_finite(&self) -> bool {
        let stats_are_finite =
            || self.batch_stats.iter().all(|(_, of)| is_finite(&of.mean) && is_finite(&of.variance));
        self.loss.mean.is_finite()
            && self.aux_loss.is_finite()
            && stats_are_finite()
            && self.gradients.is_finite()
    }
}
