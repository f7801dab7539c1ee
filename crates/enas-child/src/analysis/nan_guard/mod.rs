//! Finds the layer where a training pass stops being finite, and ranks the images of the batch by how likely they
//! caused it.
//!
//! The failed pass is computed again on the CPU by a backend that checks the output of every operation. It changes
//! nothing. Speed does not matter, because it runs only after a failure.

use std::cell::RefCell;
use std::fmt;

use candle_core::Tensor;
use enas_arc::Arc;
use enas_kernels::candle::read;
use enas_kernels::{Activation, BatchStats, FeatureMap, Pool};

use crate::backend::{Cpu, Forward, Statistics, Term, Train, in_thread_pool};
use crate::batch::Batch;
use crate::child::{Child, Step};
use crate::config::InputShape;
use crate::error::Error;
use crate::layer::{Classifier, ConvLayer};
use crate::loss::{Loss, LossRule, Targets};
use crate::network::PassOptions;
use crate::noise::Noise;
use crate::params::{Gradients, Params, Weights, is_finite};

/// The result of checking a training pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFiniteReport {
    /// The first layer with values that are not finite; `None` if all are finite.
    pub fault: Option<NonFiniteLayer>,
    /// Positions of the images in the batch, those that most likely caused the fault first. Images with pixels that are
    /// not finite come first, then those with such logits. The rest is ordered by largest logit, then by largest pixel.
    pub ranked_images: Vec<usize>,
}

/// A layer with values that are not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFiniteLayer {
    /// Its name, as in the names of its weights: for instance `layer_3/cell_0/x/conv_3x3/stack_1`.
    pub layer: String,
    /// Which of its values.
    pub numbers: ValueKind,
}

/// A kind of values of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// The weights themselves.
    Weights,
    /// Its output.
    Activations,
    /// The gradients of its weights or of its input.
    Gradients,
}

impl fmt::Display for NonFiniteLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = match self.numbers {
            ValueKind::Weights => "weights",
            ValueKind::Activations => "activations",
            ValueKind::Gradients => "gradients",
        };
        write!(f, "{numbers} of {}", self.layer)
    }
}

impl Child {
    /// Computes a training step again, without changing anything, and finds the first value that is not finite.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, normalised; `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn find_non_finite(
        &self,
        arc: &Arc,
        images: &Tensor,
        labels: &Tensor,
        step: &Step,
    ) -> Result<NonFiniteReport, Error> {
        let batch = Batch::labelled(images, labels)?;
        let n = self.check_batch(arc, &batch)?;
        batch.check_labels(n, self.n_classes())?;
        let (images, targets) = batch.on_host()?;
        let noise = step.noise();
        self.fetch()?;
        let images = images.contiguous()?;
        let (fault, logits) = in_thread_pool(|| {
            self.params.read(|weights| {
                let guard = NanGuard::new(weights, self.loss.rule());
                let images = self.network.map_of(&images)?;
                let options = PassOptions::store_all(Some(step.training(&noise)));
                let pass = self.network.pass(&guard, arc, images, targets, options)?;
                Ok((guard.fault.into_inner(), pass.logits))
            })
        })?;
        let InputShape { channels, height, width } = self.input();
        let size = channels * height * width;
        let ranked_images = read(&images, |images| rank_images(images, size, &logits, n))?;
        Ok(NonFiniteReport { fault, ranked_images })
    }
}

/// The positions of the images, those that most likely caused the fault first.
fn rank_images(images: &[f32], size: usize, logits: &[f32], n: usize) -> Vec<usize> {
    // A value that is not finite counts as infinitely large.
    let largest = |values: &[f32]| {
        let size = |x: &f32| if x.is_finite() { x.abs() } else { f32::INFINITY };
        values.iter().map(size).fold(0.0, f32::max)
    };
    let of_images: Vec<f32> = images.chunks_exact(size).map(largest).collect();
    let of_logits: Vec<f32> = logits.chunks_exact(logits.len() / n).map(largest).collect();
    let mut order: Vec<usize> = (0..n).collect();
    let key = |&i: &usize| (of_images[i].is_infinite(), of_logits[i], of_images[i]);
    order.sort_by(|a, b| {
        let ((bad_a, logit_a, pixel_a), (bad_b, logit_b, pixel_b)) = (key(a), key(b));
        bad_b.cmp(&bad_a).then(logit_b.total_cmp(&logit_a)).then(pixel_b.total_cmp(&pixel_a))
    });
    order
}

/// The CPU backend, with a check of every result.
struct NanGuard<'a> {
    cpu: Cpu<'a>,
    /// The first fault found.
    fault: RefCell<Option<NonFiniteLayer>>,
}

impl<'a> NanGuard<'a> {
    fn new(weights: Weights<'a>, loss: LossRule<'a>) -> Self {
        let fault = weights.first_not_finite().map(|name| NonFiniteLayer::new(name, ValueKind::Weights));
        let cpu = Cpu { weights, running: &[], loss };
        Self { cpu, fault: RefCell::new(fault) }
    }

    /// Records a fault in the layer of the tensor `layer`, if its values are not finite and no fault is known.
    fn note(&self, layer: &str, numbers: ValueKind, finite: impl FnOnce() -> bool) {
        let mut fault = self.fault.borrow_mut();
        if fault.is_none() && !finite() {
            *fault = Some(NonFiniteLayer::new(layer, numbers));
        }
    }

    fn name(&self, block: &ConvLayer) -> &str {
        self.cpu.params().name(block.norm.scale)
    }
}

impl NonFiniteLayer {
    /// `tensor` is the name of any tensor of the layer.
    fn new(tensor: &str, numbers: ValueKind) -> Self {
        let layer = tensor.rsplit_once('/').map_or(tensor, |(layer, _)| layer);
        // A batch norm belongs to the convolution before it.
        let layer = layer.strip_suffix("/bn").unwrap_or(layer);
        Self { layer: layer.to_owned(), numbers }
    }
}

impl<'a> Forward for NanGuard<'a> {
    type FeatureMap = FeatureMap;
    type Activation = Activation;
    type BatchStats = BatchStats;
    type Vector = Vec<f32>;
    type Gradients = Gradients;

    fn params(&self) -> &Params {
        self.cpu.params()
    }

    fn plain(&self, map: FeatureMap) -> Activation {
        self.cpu.plain(map)
    }

    fn shape(&self, value: &Activation) -> (usize, usize, usize, usize) {
        self.cpu.shape(value)
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        statistics: Statistics,
    ) -> (Activation, Option<BatchStats>) {
        let output = self.cpu.conv_block(block, inputs, statistics);
        self.note(self.name(block), ValueKind::Activations, || {
            // An infinite variance makes every output a constant and damages the moving statistics.
            let (out, batch_stats) = &output;
            let stats_are_finite =
                batch_stats.iter().all(|of| is_finite(&of.mean) && is_finite(&of.variance));
            stats_are_finite && is_finite(&out.to_nchw())
        });
        output
    }

    fn pool(&self, pool: &Pool, input: &Activation) -> FeatureMap {
        self.cpu.pool(pool, input)
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> FeatureMap {
        self.cpu.add(a, b)
    }

    fn concat(&self, values: &[Activation]) -> FeatureMap {
        self.cpu.concat(values)
    }

    fn relu_mean(&self, values: &[Activation]) -> Vec<f32> {
        self.cpu.relu_mean(values)
    }

    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Vec<f32> {
        self.cpu.drop_factors(noise, name, len, keep)
    }

    fn classify(&self, classifier: &Classifier, features: &Vec<f32>) -> Vec<f32> {
        let logits = self.cpu.classify(classifier, features);
        let name = self.cpu.params().name(classifier.weight);
        self.note(name, ValueKind::Activations, || is_finite(&logits));
        logits
    }
}

impl<'a> Train for NanGuard<'a> {
    type Labels = Targets;
    type Loss = Loss;

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        out: &Activation,
        batch_stats: &BatchStats,
        grad: &FeatureMap,
        mut targets: Option<&mut [Option<FeatureMap>]>,
        into: &mut Gradients,
    ) {
        self.cpu.conv_block_backward(block, inputs, out, batch_stats, grad, targets.as_deref_mut(), into);
        self.note(self.name(block), ValueKind::Gradients, || {
            let maps = targets.iter().flat_map(|maps| maps.iter()).flatten();
            block.params().all(|id| into.is_finite_at(id))
                && maps.map(FeatureMap::to_nchw).all(|map| is_finite(&map))
        });
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Activation,
        grad: &FeatureMap,
        target: &mut Option<FeatureMap>,
    ) {
        self.cpu.pool_backward(pool, input, grad, target);
    }

    fn add_backward(&self, grad: &FeatureMap, factors: Option<&Vec<f32>>, target: &mut Option<FeatureMap>) {
        self.cpu.add_backward(grad, factors, target);
    }

    fn concat_backward(&self, grad: &FeatureMap, values: &[Activation], targets: &mut [Option<FeatureMap>]) {
        self.cpu.concat_backward(grad, values, targets);
    }

    fn relu_mean_backward(&self, values: &[Activation], grad: &Vec<f32>, targets: &mut [Option<FeatureMap>]) {
        self.cpu.relu_mean_backward(values, grad, targets);
    }

    fn scale(&self, numbers: &Vec<f32>, factors: &Vec<f32>) -> Vec<f32> {
        self.cpu.scale(numbers, factors)
    }

    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &Vec<f32>,
        grad: &Vec<f32>,
        into: &mut Gradients,
    ) -> Vec<f32> {
        let back = self.cpu.classify_backward(classifier, features, grad, into);
        let name = self.cpu.params().name(classifier.weight);
        self.note(name, ValueKind::Gradients, || is_finite(&back) && into.is_finite_at(classifier.weight));
        back
    }

    fn cross_entropy(
        &self,
        logits: &Vec<f32>,
        targets: &Targets,
        classes: usize,
        weight: f32,
    ) -> (Loss, Vec<f32>) {
        self.cpu.cross_entropy(logits, targets, classes, weight)
    }

    fn gradients(&self) -> Gradients {
        self.cpu.gradients()
    }
}

#[cfg(test)]
mod tests;
