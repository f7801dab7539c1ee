//! Training steps of a macro network.

use candle_core::Tensor;
use enas_arc::MacroArc;
use enas_kernels::FeatureMap;
use enas_kernels::candle::Guards;

use super::MacroChild;
use crate::autograd::Tape;
use crate::backend::{Cpu, Forward, Statistics, Train, in_thread_pool};
use crate::batch::Batch;
use crate::child::step::HostPass;
use crate::child::{Step, StepStats};
use crate::error::Error;
use crate::noise::Noise;
use crate::params::{NamedTensor, Weights};

impl MacroChild {
    /// One training step: forward, backward, and the update of all weights and moving statistics.
    ///
    /// A step whose loss, gradient or statistics are not finite changes nothing.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, normalised; `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// If the batch or the arc does not fit the network.
    pub fn train_step(
        &mut self,
        arc: &MacroArc,
        images: &Tensor,
        labels: &Tensor,
        step: &Step,
    ) -> Result<StepStats, Error> {
        self.train(arc, &Batch::labelled(images, labels)?, step)
    }

    /// [`train_step`](Self::train_step) on a batch in host memory. `meanwhile` is called once after the step.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step), and if the images are on a GPU.
    pub fn train_on(
        &mut self,
        arc: &MacroArc,
        batch: &Batch,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let stats = self.train(arc, batch, step)?;
        meanwhile();
        Ok(stats)
    }

    fn train(&mut self, arc: &MacroArc, batch: &Batch, step: &Step) -> Result<StepStats, Error> {
        let pass = self.pass(arc, batch, Some(&step.noise()))?;
        in_thread_pool(|| pass.update(&self.params, &self.running, batch.len(), step.lr))
    }

    /// The loss of a batch and its gradient for every weight, without dropout and L2 penalty. Changes nothing.
    ///
    /// Shapes: as for [`train_step`](Self::train_step).
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn gradients(
        &self,
        arc: &MacroArc,
        images: &Tensor,
        labels: &Tensor,
    ) -> Result<(f32, Vec<NamedTensor>), Error> {
        let pass = self.pass(arc, &Batch::labelled(images, labels)?, None)?;
        let gradients = self.params.read(|weights| weights.export_gradients(&pass.gradients, 0.0))?;
        Ok((pass.loss.mean, gradients))
    }

    /// A training pass that changes nothing. With `noise`, features have dropout.
    fn pass(&self, arc: &MacroArc, batch: &Batch, noise: Option<&dyn Noise>) -> Result<HostPass, Error> {
        let n = self.check_batch(arc, batch)?;
        batch.check_labels(n, self.n_classes())?;
        in_thread_pool(|| self.params.read(|weights| self.pass_with(arc, batch, noise, weights)))
    }

    fn pass_with(
        &self,
        arc: &MacroArc,
        batch: &Batch,
        noise: Option<&dyn Noise>,
        weights: Weights<'_>,
    ) -> Result<HostPass, Error> {
        let (images, targets) = batch.on_host()?;
        let n = batch.len();
        let cpu = Cpu { weights, running: &[], loss: self.loss.rule() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, true);
        let images = images.contiguous()?;
        let guards = Guards::new([&images]);
        let map = self.map(guards.slices()?[0], n);
        drop(guards);
        let images = tape.input(map);
        let means = self.network.forward(&mut tape, arc, images).means;
        let head = &self.network.classifier;
        let mut gradients = cpu.gradients();
        let keep = self.config.keep_prob;
        let noise = noise.filter(|_| keep < 1.0);
        let factors = noise.map(|noise| cpu.drop_factors(noise, "dropout", n * head.channels, keep));
        let scaled = |values: Vec<f32>| match &factors {
            Some(factors) => cpu.scale(&values, factors),
            None => values,
        };
        let features = scaled(means.value.to_nchw());
        let logits = cpu.classify(head, &features);
        let (loss, grad) = cpu.cross_entropy(&logits, targets, head.classes, 1.0);
        let grad = scaled(cpu.classify_backward(head, &features, &grad, &mut gradients));
        let batch_stats = std::mem::take(&mut tape.batch_stats);
        let mut grads = vec![None; means.id + 1];
        grads[means.id] = Some(FeatureMap::from_nchw(&grad, n, head.channels, 1, 1));
        tape.backward(&[], &mut grads, &mut gradients, &|_, _, _| unreachable!("no layer is skipped"))?;
        Ok(HostPass { loss, aux_loss: 0.0, gradients, batch_stats })
    }
}
