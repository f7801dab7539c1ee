//! Training steps.

use candle_core::Tensor;
use enas_arc::Arc;
use enas_rng::Seed;

use super::{Child, on_pool};
use crate::backend::Cpu;
use crate::images::check_targets;
use crate::loss::Targets;
use crate::network::Training;
use crate::noise::{Noise, SeededNoise};
use crate::params::{Weights, is_finite};
use crate::pass::Pass;
use crate::{Error, Examples};

/// Where a training step stands in its run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate.
    pub lr: f32,
    /// Steps done before this one.
    pub global_step: u64,
    /// Steps of the whole run, for the growth of drop-path.
    pub total_steps: u64,
    /// Seed of dropout and drop-path, which also depend on `global_step`.
    pub seed: Seed,
}

/// What a training step saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// Mean cross entropy of the main classifier, in nats, each image times the weight of its class.
    pub loss: f32,
    /// Mean cross entropy of the auxiliary classifier; 0 without one.
    pub aux_loss: f32,
    /// Images the main classifier got right.
    pub correct: usize,
    /// Images.
    pub n: usize,
    /// Norm of the whole gradient, L2 penalty and auxiliary loss included, before clipping. No finite number if anything
    /// in the step was none.
    pub grad_norm: f32,
}

impl Child {
    /// One training step: forward, backward, and the update of all weights and moving statistics.
    ///
    /// A step with a loss, a gradient or a statistic that is not finite changes nothing: its numbers say what happened, and
    /// [`diagnose`](Self::diagnose) where.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, normalised; `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// If the batch or the arc does not fit the network.
    pub fn train_step(
        &mut self,
        arc: &Arc,
        images: &Tensor,
        labels: &Tensor,
        step: &Step,
    ) -> Result<StepStats, Error> {
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        self.train_step_with(arc, images, labels, step, &noise)
    }

    /// [`train_step`](Self::train_step) on pictures that may be on the network's GPU already.
    ///
    /// `meanwhile` is called once while a GPU computes the step, for the host to make the next batch and to send it
    /// ahead; on the CPU after the step, and not at all where a step fails early.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the pictures are on another device than the network.
    pub fn train_on(
        &mut self,
        arc: &Arc,
        examples: Examples<'_>,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        self.train(arc, examples, step, &noise, meanwhile)
    }

    /// [`train_step`](Self::train_step) with given random numbers for dropout and drop-path.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn train_step_with(
        &mut self,
        arc: &Arc,
        images: &Tensor,
        labels: &Tensor,
        step: &Step,
        noise: &dyn Noise,
    ) -> Result<StepStats, Error> {
        self.train(arc, Examples::Tensors { images, labels, mix: None }, step, noise, &mut || ())
    }

    fn train(
        &mut self,
        arc: &Arc,
        examples: Examples<'_>,
        step: &Step,
        noise: &dyn Noise,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let training =
            Training { noise, step: step.global_step, total_steps: step.total_steps, with_aux: true };
        let batch = self.device.is_some().then(|| self.labelled_batch(arc, examples)).transpose()?;
        if let (Some(device), Some(batch)) = (&mut self.device, &batch) {
            let network = (&*self.network, &*self.params);
            return device.train_step(network, arc, batch, (training, step.lr), meanwhile);
        }
        let (images, targets) = examples.on_host()?;
        let stats = on_pool(|| self.train_here(arc, (images, &targets), training, step.lr))?;
        meanwhile();
        Ok(stats)
    }

    fn train_here(
        &mut self,
        arc: &Arc,
        (images, targets): (&Tensor, &Targets),
        training: Training<'_>,
        lr: f32,
    ) -> Result<StepStats, Error> {
        let (loss, aux_loss, gradients, moments) = self.params.read(|weights| {
            let pass = self.pass(arc, images, targets, training, (weights, false))?;
            let aux_loss = pass.aux.map_or(0.0, |(_, loss)| loss.mean);
            Ok((pass.loss, aux_loss, pass.gradients, pass.moments))
        })?;
        let mut stats = StepStats {
            loss: loss.mean,
            aux_loss,
            correct: loss.correct,
            n: targets.labels.len(),
            grad_norm: f32::NAN,
        };
        let moments_are_finite = moments.iter().all(|(_, of)| is_finite(&of.mean) && is_finite(&of.variance));
        if !(stats.loss.is_finite() && aux_loss.is_finite() && moments_are_finite && gradients.is_finite()) {
            return Ok(stats);
        }
        self.running.update(&moments)?;
        stats.grad_norm = self.params.step(lr, &gradients)?;
        Ok(stats)
    }

    /// A training pass on the CPU; changes nothing.
    pub(super) fn pass<'a>(
        &'a self,
        arc: &Arc,
        images: &Tensor,
        targets: &Targets,
        training: Training<'_>,
        (weights, keep_cells): (Weights<'a>, bool),
    ) -> Result<Pass<Cpu<'a>>, Error> {
        let n = self.check_batch(arc, images)?;
        check_targets(targets, n, self.n_classes)?;
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let walk = self.walk(n);
        self.network.pass(&cpu, arc, self.network.map_of(images)?, targets, training, (&*walk, keep_cells))
    }
}
