//! Networks on the CPU.

use std::borrow::Cow;

use enas_kernels::{
    Activation, BatchStats, ConvBlock, ConvBlockGradient, ConvBranch, FeatureMap, Im2row, Pool, RunningStats,
    Term as Side, profile,
};

use super::{Forward, Statistics, Term, Train};
use crate::layer::{BatchNorm, Classifier, Conv, ConvLayer, GatherKind};
use crate::loss::{Loss, LossRule, Targets};
use crate::noise::Noise;
use crate::params::{Gradients, ParamId, Params, Weights};

/// The CPU, with the weights and moving statistics of one network.
pub(crate) struct Cpu<'a> {
    pub(crate) weights: Weights<'a>,
    pub(crate) running: &'a [RunningStats],
    pub(crate) loss: LossRule<'a>,
}

impl Forward for Cpu<'_> {
    type FeatureMap = FeatureMap;
    type Activation = Activation;
    type BatchStats = BatchStats;
    type Vector = Vec<f32>;
    type Gradients = Gradients;

    fn params(&self) -> &Params {
        self.weights.params
    }

    fn plain(&self, map: FeatureMap) -> Activation {
        Activation::plain(map)
    }

    fn shape(&self, value: &Activation) -> (usize, usize, usize, usize) {
        value.map.shape()
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        statistics: Statistics,
    ) -> (Activation, Option<BatchStats>) {
        let weights = self.weights;
        let norm = block.norm;
        let (z, batch_stats) = self
            .with_conv_block(block, inputs, |conv_block| conv_block.forward(statistics == Statistics::Batch));
        let scale = weights.get(norm.scale);
        let offset = weights.get(norm.offset);
        let affine = match (&batch_stats, norm.running) {
            (Some(batch_stats), _) => batch_stats.affine(scale, offset),
            (None, Some(running)) => self.running[running].affine(scale, offset),
            (None, None) => {
                unreachable!("shared networks are only run with batch statistics; checked by the child")
            }
        };
        (Activation { map: z, affine: Some(affine.into()) }, batch_stats)
    }

    fn pool(&self, pool: &Pool, input: &Activation) -> FeatureMap {
        pool.forward(input)
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> FeatureMap {
        let [a, b] = [a, b].map(|(value, factors)| Side { value, factors: factors.map(Vec::as_slice) });
        enas_kernels::add(a, b)
    }

    fn concat(&self, values: &[Activation]) -> FeatureMap {
        enas_kernels::concat(values)
    }

    fn relu_mean(&self, values: &[Activation]) -> Vec<f32> {
        enas_kernels::relu_mean(values)
    }

    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Vec<f32> {
        noise.uniform(name, len).into_iter().map(|u| (keep + u).floor() / keep).collect()
    }

    fn classify(&self, classifier: &Classifier, features: &Vec<f32>) -> Vec<f32> {
        let start = profile::start();
        let &Classifier { weight, channels, classes } = classifier;
        let weight = self.weights.get(weight);
        let mut logits = vec![0.0; features.len() / channels * classes];
        // Loop order: image, channel, class. The inner loop reads a contiguous row of weights, so it vectorises.
        for (features, logits) in features.chunks_exact(channels).zip(logits.chunks_exact_mut(classes)) {
            for (x, row) in features.iter().zip(weight.chunks_exact(classes)) {
                logits.iter_mut().zip(row).for_each(|(l, w)| *l += x * w);
            }
        }
        let products = (features.len() * classes) as f64;
        profile::stop(start, ("classifier", "forward"), 2.0 * products, 4.0 * features.len() as f64);
        logits
    }
}

impl Train for Cpu<'_> {
    type Labels = Targets;
    type Loss = Loss;

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        out: &Activation,
        batch_stats: &BatchStats,
        grad: &FeatureMap,
        targets: Option<&mut [Option<FeatureMap>]>,
        into: &mut Gradients,
    ) {
        let gamma = self.weights.get(block.norm.scale);
        let gradient = self.with_conv_block(block, inputs, |conv_block| {
            conv_block.backward(&out.map, batch_stats, gamma, grad, targets)
        });
        self.collect(&block.convs, block.norm, gradient, into);
    }

    fn conv_block_backward_fused(
        &self,
        before: &BatchStats,
        block: &ConvLayer,
        input: &Activation,
        out: &Activation,
        batch_stats: &BatchStats,
        grad: &FeatureMap,
        target: &mut Option<FeatureMap>,
        into: &mut Gradients,
    ) {
        let gamma = self.weights.get(block.norm.scale);
        let gradient = self.with_conv_block(block, std::slice::from_ref(input), |conv_block| {
            conv_block.backward_fused_stats(before, &out.map, batch_stats, gamma, grad, target)
        });
        self.collect(&block.convs, block.norm, gradient, into);
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Activation,
        grad: &FeatureMap,
        target: &mut Option<FeatureMap>,
    ) {
        pool.backward(input, grad, target);
    }

    fn add_backward(&self, grad: &FeatureMap, factors: Option<&Vec<f32>>, target: &mut Option<FeatureMap>) {
        enas_kernels::add_backward(grad, factors.map(Vec::as_slice), target);
    }

    fn concat_backward(&self, grad: &FeatureMap, values: &[Activation], targets: &mut [Option<FeatureMap>]) {
        enas_kernels::concat_backward(grad, values, targets);
    }

    fn relu_mean_backward(&self, values: &[Activation], grad: &Vec<f32>, targets: &mut [Option<FeatureMap>]) {
        enas_kernels::relu_mean_backward(values, grad, targets);
    }

    fn scale(&self, numbers: &Vec<f32>, factors: &Vec<f32>) -> Vec<f32> {
        numbers.iter().zip(factors).map(|(v, f)| v * f).collect()
    }

    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &Vec<f32>,
        grad: &Vec<f32>,
        into: &mut Gradients,
    ) -> Vec<f32> {
        let start = profile::start();
        let &Classifier { weight: id, channels, classes } = classifier;
        let weight = self.weights.get(id);
        let mut weight_grad = vec![0.0; weight.len()];
        let mut feature_grad = vec![0.0; features.len()];
        let images = features.chunks_exact(channels).zip(feature_grad.chunks_exact_mut(channels));
        for ((features, feature_grad), grad) in images.zip(grad.chunks_exact(classes)) {
            // One pass over the weights per image serves both gradients: a scalar product with each weight row for the
            // features, an outer product for the weights.
            let rows = weight.chunks_exact(classes).zip(weight_grad.chunks_exact_mut(classes));
            for ((x, dx), (row, row_grad)) in features.iter().zip(feature_grad).zip(rows) {
                *dx = row.iter().zip(grad).map(|(w, g)| w * g).sum();
                row_grad.iter_mut().zip(grad).for_each(|(r, g)| *r += x * g);
            }
        }
        if self.weights.params.is_trained(id) {
            into.add(id, weight_grad);
        }
        let products = (features.len() * classes) as f64;
        profile::stop(start, ("classifier", "backward"), 4.0 * products, 8.0 * features.len() as f64);
        feature_grad
    }

    fn cross_entropy(
        &self,
        logits: &Vec<f32>,
        targets: &Targets,
        classes: usize,
        weight: f32,
    ) -> (Loss, Vec<f32>) {
        let (loss, mut gradient) = Loss::of(logits, targets, self.loss, classes);
        gradient.iter_mut().for_each(|g| *g *= weight);
        (loss, gradient)
    }

    fn gradients(&self) -> Gradients {
        self.weights.params.gradients()
    }
}

impl Cpu<'_> {
    pub(super) fn with_conv_block<R>(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        body: impl FnOnce(&ConvBlock<'_>) -> R,
    ) -> R {
        // `body` receives the kernels' view of the block: the same operations with the weights by reference.
        let lent = self.weights;
        let weights: Vec<Cow<'_, [f32]>> = block.convs.iter().map(|conv| assemble(lent, conv)).collect();
        let branches: Vec<ConvBranch<'_>> = block
            .convs
            .iter()
            .zip(&weights)
            .map(|(conv, weight)| {
                let rows = match conv.gather {
                    GatherKind::Pixels => Im2row::Pixels,
                    GatherKind::EverySecond { offset } => Im2row::EverySecond { offset },
                    GatherKind::Patches { k } => Im2row::Patches { k },
                    GatherKind::Depthwise { filter, k, stride } => {
                        Im2row::Depthwise { filter: lent.get(filter), k, stride }
                    }
                };
                ConvBranch { rows, weight, outputs: conv.outputs }
            })
            .collect();
        body(&ConvBlock { inputs, relu: block.relu, branches: &branches })
    }

    /// Adds a conv block's parameter gradients to `into`, piece by piece for a matrix made of several parameters.
    pub(super) fn collect(
        &self,
        convs: &[Conv],
        norm: BatchNorm,
        gradient: ConvBlockGradient,
        into: &mut Gradients,
    ) {
        let mut add = |id: ParamId, values: Vec<f32>| {
            if self.weights.params.is_trained(id) {
                into.add(id, values);
            }
        };
        add(norm.scale, gradient.gamma);
        add(norm.offset, gradient.beta);
        for ((conv, weight), filters) in convs.iter().zip(gradient.weights).zip(gradient.filters) {
            if let GatherKind::Depthwise { filter, .. } = conv.gather {
                add(filter, filters);
            }
            let mut rest = weight.as_slice();
            for id in &conv.weight {
                let (piece, after) = rest.split_at(self.weights.get(*id).len());
                add(*id, piece.to_vec());
                rest = after;
            }
        }
    }
}

/// The matrix of a convolution: borrowed if it is one parameter, otherwise joined from its pieces.
fn assemble<'p>(weights: Weights<'p>, conv: &Conv) -> Cow<'p, [f32]> {
    match conv.weight.as_slice() {
        [one] => Cow::Borrowed(weights.get(*one)),
        many => Cow::Owned(many.iter().flat_map(|id| weights.get(*id)).copied().collect()),
    }
}

/// Runs `body` on a thread of the pool, once for all operations inside it. From another thread each operation would
/// be handed over to the pool and waited for, which costs more than a small operation itself.
pub(crate) fn in_thread_pool<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
}
