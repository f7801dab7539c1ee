//! Finds the layer where a training pass stops being finite, and ranks the images of the batch by suspicion.
//!
//! The failed pass is computed again on the CPU by a backend that checks the output of every operation. It changes
//! nothing. Speed does not matter, because it runs only after a failure.

use std::cell::RefCell;
use std::fmt;

use candle_core::Tensor;
use enas_arc::Arc;
use enas_kernels::candle::read;
use enas_kernels::{Activation, BatchStats, FeatureMap, Pool};

use crate::backend::{Backend, ConvLayer, Cpu, Statistics, Term};
use crate::checkpointing::StoreAll;
use crate::child::{Child, Step, on_pool};
use crate::head::Classifier;
use crate::images::{check_targets, targets};
use crate::loss::{LossRule, Targets};
use crate::network::Training;
use crate::noise::{Noise, SeededNoise};
use crate::params::{Gradients, Params, Weights, is_finite};
use crate::{Error, InputShape};

/// The result of checking a training pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFiniteReport {
    /// The first layer with values that are not finite; `None` if all are finite.
    pub fault: Option<NonFiniteLayer>,
    /// Positions of the images in the batch, the most suspicious first. Images with pixels that are not finite come
    /// first, then those with such logits. The rest is ordered by largest logit, then by largest pixel.
    pub suspects: Vec<usize>,
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
        let (n, targets) = (self.check_batch(arc, images)?, targets(labels, None)?);
        check_targets(&targets, n, self.n_classes())?;
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        let training =
            Training { noise: &noise, step: step.global_step, total_steps: step.total_steps, with_aux: true };
        self.fetch()?;
        let images = images.contiguous()?;
        let (fault, logits) = on_pool(|| {
            self.params.read(|weights| {
                let watched = NanGuard::new(weights, self.loss_rule());
                let images = self.network.map_of(&images)?;
                let pass =
                    self.network.pass(&watched, arc, images, &targets, training, (&StoreAll, false))?;
                Ok((watched.fault.into_inner(), pass.logits))
            })
        })?;
        let InputShape { channels, height, width } = self.input();
        let size = channels * height * width;
        let suspects = read(&images, |images| suspects(images, size, &logits, n))?;
        Ok(NonFiniteReport { fault, suspects })
    }
}

/// The images, ordered by suspicion.
fn suspects(images: &[f32], size: usize, logits: &[f32], n: usize) -> Vec<usize> {
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

impl<'a> Backend for NanGuard<'a> {
    type FeatureMap = FeatureMap;
    type Activation = Activation;
    type BatchStats = BatchStats;
    type Vector = Vec<f32>;
    type Labels = Targets;
    type Gradients = Gradients;
    type Loss = <Cpu<'a> as Backend>::Loss;

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
        let made = self.cpu.conv_block(block, inputs, statistics);
        self.note(self.name(block), ValueKind::Activations, || {
            // An infinite variance makes every output a constant and damages the moving statistics.
            let moments = made.1.iter().all(|of| is_finite(&of.mean) && is_finite(&of.variance));
            moments && is_finite(&made.0.to_nchw())
        });
        made
    }

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        out: &Activation,
        moments: &BatchStats,
        grad: &FeatureMap,
        mut targets: Option<&mut [Option<FeatureMap>]>,
        into: &mut Gradients,
    ) {
        self.cpu.conv_block_backward(block, inputs, out, moments, grad, targets.as_deref_mut(), into);
        self.note(self.name(block), ValueKind::Gradients, || {
            let maps = targets.iter().flat_map(|maps| maps.iter()).flatten();
            block.params().all(|id| into.is_finite_at(id))
                && maps.map(FeatureMap::to_nchw).all(|map| is_finite(&map))
        });
    }

    fn pool(&self, pool: &Pool, input: &Activation) -> FeatureMap {
        self.cpu.pool(pool, input)
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

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> FeatureMap {
        self.cpu.add(a, b)
    }

    fn add_backward(&self, grad: &FeatureMap, factors: Option<&Vec<f32>>, target: &mut Option<FeatureMap>) {
        self.cpu.add_backward(grad, factors, target);
    }

    fn concat(&self, values: &[Activation]) -> FeatureMap {
        self.cpu.concat(values)
    }

    fn concat_backward(&self, grad: &FeatureMap, values: &[Activation], targets: &mut [Option<FeatureMap>]) {
        self.cpu.concat_backward(grad, values, targets);
    }

    fn relu_mean(&self, values: &[Activation]) -> Vec<f32> {
        self.cpu.relu_mean(values)
    }

    fn relu_mean_backward(&self, values: &[Activation], grad: &Vec<f32>, targets: &mut [Option<FeatureMap>]) {
        self.cpu.relu_mean_backward(values, grad, targets);
    }

    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Vec<f32> {
        self.cpu.drop_factors(noise, name, len, keep)
    }

    fn scale(&self, numbers: &Vec<f32>, factors: &Vec<f32>) -> Vec<f32> {
        self.cpu.scale(numbers, factors)
    }

    fn classify(&self, classifier: &Classifier, features: &Vec<f32>) -> Vec<f32> {
        let logits = self.cpu.classify(classifier, features);
        let name = self.cpu.params().name(classifier.weight);
        self.note(name, ValueKind::Activations, || is_finite(&logits));
        logits
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
    ) -> (Self::Loss, Vec<f32>) {
        self.cpu.cross_entropy(logits, targets, classes, weight)
    }

    fn gradients(&self) -> Gradients {
        self.cpu.gradients()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use enas_rng::Seed;

    use super::*;
    use crate::{AuxHead, Config, NamedTensor, Reductions, SharedInit};

    const INPUT: InputShape = InputShape { channels: 1, height: 8, width: 8 };

    fn step() -> Step {
        Step { lr: 0.05, global_step: 3, total_steps: 9, seed: Seed::new(1) }
    }

    fn arc() -> Arc {
        "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap()
    }

    fn child() -> Child {
        let config = Config {
            filters: 4,
            layers: 1,
            nodes: 2,
            reductions: Reductions::Two,
            aux_head: AuxHead::Trained,
            aux_weight: 0.4,
            shared_init: SharedInit::Kernel,
            keep_prob: 0.9,
            drop_path_keep: 0.8,
            l2: 1e-4,
            momentum: 0.9,
            clip_norm: 0.0,
        };
        Child::fixed(&config, &arc(), INPUT, 3, Seed::new(0)).unwrap()
    }

    fn pictures() -> (Tensor, Tensor) {
        let images: Vec<f32> = (0..5 * 64).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let images = Tensor::from_vec(images, (5, 1, 8, 8), &Device::Cpu).unwrap();
        (images, Tensor::new(&[0u32, 1, 2, 0, 1], &Device::Cpu).unwrap())
    }

    /// Multiplies a tensor whose name ends with `end` by `by`, and returns its full name.
    fn enlarge(child: &mut Child, end: &str, by: f32) -> String {
        let state = child.state().unwrap();
        let is_it = |(name, _): &&NamedTensor| {
            name.ends_with(end) && !name.starts_with("momentum") && !name.starts_with("aux")
        };
        let (name, tensor) = state.iter().find(is_it).unwrap();
        enas_kernels::candle::write(tensor, |data| data.iter_mut().for_each(|x| *x *= by)).unwrap();
        child.load(&state).unwrap();
        name.clone()
    }

    #[test]
    fn a_healthy_step_has_no_fault() {
        let ((images, labels), child) = (pictures(), child());
        let found = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap();
        assert_eq!(found.fault, None);
        let mut all = found.suspects;
        all.sort();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_first_layer_that_overflows_is_named_and_the_step_changes_nothing() {
        let cases = [
            ("stem_conv/w", 3e38, "stem_conv"),
            ("layer_1/layer_base/w", 3e38, "layer_1/layer_base"),
            ("fc/w", f32::INFINITY, "fc"),
        ];
        for (end, by, layer) in cases {
            let ((images, labels), mut child) = (pictures(), child());
            enlarge(&mut child, end, by);
            let found = child
                .find_non_finite(&arc(), &images, &labels, &step())
                .unwrap()
                .fault
                .expect("it overflows");
            assert_eq!(found.layer, layer, "{found}");
            let before = child.state().unwrap();
            let stats = child.train_step(&arc(), &images, &labels, &step()).unwrap();
            assert!(!stats.loss.is_finite() || !stats.grad_norm.is_finite(), "{end}: {stats:?}");
            let bits = |state: Vec<NamedTensor>| -> Vec<u32> {
                let flat = |(_, t): &NamedTensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                state.iter().flat_map(flat).map(f32::to_bits).collect()
            };
            assert_eq!(bits(child.state().unwrap()), bits(before), "{end}: the step changed something");
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_called_that() {
        let ((images, labels), mut child) = (pictures(), child());
        let name = enlarge(&mut child, "layer_base/w", f32::INFINITY);
        let fault = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap().fault.unwrap();
        assert_eq!((format!("{}/w", fault.layer), fault.numbers), (name, ValueKind::Weights));
        assert!(fault.to_string().starts_with("weights of layer_"), "{fault}");
    }

    #[test]
    fn a_picture_that_is_not_finite_is_the_first_suspect_and_a_large_one_the_next() {
        let ((images, labels), child) = (pictures(), child());
        enas_kernels::candle::write(&images, |images| images[3 * 64 + 5] = f32::NAN).unwrap();
        let found = child.find_non_finite(&arc(), &images, &labels, &step()).unwrap();
        assert_eq!(found.suspects[0], 3);
        assert_eq!(found.fault.unwrap().layer, "stem_conv");
        assert_eq!(suspects(&[1.0, 2.0, 9.0, 0.0], 1, &[1.0, 7.0, f32::NAN, 7.0], 4), [2, 1, 3, 0]);
    }
}
