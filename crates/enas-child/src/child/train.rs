//! Training steps of the child: gradient descent on ω with the controller fixed (Pham et al. 2018, section 2.2).

use candle_core::Tensor;
use enas_arc::Arc;

use super::Child;
use super::device::Subnetwork;
use super::step::{HostPass, Step, StepStats};
use crate::backend::{Cpu, in_thread_pool};
use crate::batch::Batch;
use crate::error::Error;
use crate::network::pass::Pass;
use crate::network::{PassOptions, Training};
use crate::noise::Noise;
use crate::params::Weights;

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
        self.train_step_with(arc, images, labels, step, &step.noise())
    }

    /// [`train_step`](Self::train_step) on a batch that may already be on the network's GPU.
    ///
    /// `meanwhile` is called once. With a GPU the call comes while the device computes, so that the host can prepare
    /// the next batch. On the CPU it comes after the step. If a step fails early, `meanwhile` is not called.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the images are on another device than the network.
    pub fn train_on(
        &mut self,
        arc: &Arc,
        batch: &Batch,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        self.train(arc, batch, step, &step.noise(), meanwhile)
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
        self.train(arc, &Batch::labelled(images, labels)?, step, noise, &mut || ())
    }

    fn train(
        &mut self,
        arc: &Arc,
        batch: &Batch,
        step: &Step,
        noise: &dyn Noise,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        self.check_labelled(arc, batch)?;
        let training = step.training(noise);
        if let Some(device) = &mut self.device {
            let network = Subnetwork { network: &self.network, params: &self.params, arc };
            return device.train_step(network, batch, training, step.lr, meanwhile);
        }
        let stats = in_thread_pool(|| self.train_on_host(arc, batch, training, step.lr))?;
        meanwhile();
        Ok(stats)
    }

    fn train_on_host(
        &mut self,
        arc: &Arc,
        batch: &Batch,
        training: Training<'_>,
        lr: f32,
    ) -> Result<StepStats, Error> {
        let pass = self.params.read(|weights| {
            let Pass { loss, aux, gradients, batch_stats, .. } =
                self.pass_on_host(arc, batch, training, weights, false)?;
            let aux_loss = aux.map_or(0.0, |(_, loss)| loss.mean);
            Ok(HostPass { loss, aux_loss, gradients, batch_stats })
        })?;
        pass.update(&self.params, &self.running, batch.len(), lr)
    }

    /// A training pass on the CPU, with a batch that was checked. It changes nothing.
    pub(super) fn pass_on_host<'a>(
        &'a self,
        arc: &Arc,
        batch: &Batch,
        training: Training<'_>,
        weights: Weights<'a>,
        keep_cells: bool,
    ) -> Result<Pass<Cpu<'a>>, Error> {
        let (images, targets) = batch.on_host()?;
        let cpu = Cpu { weights, running: &[], loss: self.loss.rule() };
        let strategy = self.recompute.strategy(batch.len());
        let options = PassOptions { keep_cells, ..PassOptions::new(Some(training), &*strategy) };
        self.network.pass(&cpu, arc, self.network.map_of(images)?, targets, options)
    }
}
