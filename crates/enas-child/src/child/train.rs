//! Training steps of the child: gradient descent on ω with the controller fixed (Pham et al. 2018, section 2.2).

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

impl Child {
    /// One training step: forward, backward, and the update of all weights and moving statistics.
    ///
    /// A step whose loss, gradient or statistics are not finite changes nothing. The result then has a `grad_norm`
    /// that is not finite, and [`find_non_finite`](Self::find_non_finite) finds the layer.
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

    /// [`train_step`](Self::train_step) on images that may already be on the network's GPU.
    ///
    /// `meanwhile` is called once. With a GPU the call comes while the device computes, so that the host can prepare
    /// the next batch. On the CPU it comes after the step. If a step fails early, `meanwhile` is not called.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the images are on another device than the network.
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

    /// [`train_step`](Self::train_step) with explicit random numbers for dropout and drop-path.
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
        // All values are checked before the first update, so that a failed step changes nothing.
        let moments_are_finite = moments.iter().all(|(_, of)| is_finite(&of.mean) && is_finite(&of.variance));
        if !(stats.loss.is_finite() && aux_loss.is_finite() && moments_are_finite && gradients.is_finite()) {
            return Ok(stats);
        }
        self.running.update(&moments)?;
        stats.grad_norm = self.params.step(lr, &gradients)?;
        Ok(stats)
    }

    /// A training pass on the CPU. It changes nothing.
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
