//! From feature maps to a loss: the classifier, the auxiliary classifier, and softmax cross entropy.

use enas_kernels::{Axis, Pool, PoolKind, profile};

use crate::build::{Builder, ConvBlock};
use crate::config::Reductions;
use crate::params::{Gradients, ParamId, Params};
use crate::tape::{Tape, Var};

/// Channels of the auxiliary head's two convolutions.
const AUX_CHANNELS: (usize, usize) = (128, 768);

/// A matrix `[channels, classes]` without a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classifier {
    weight: ParamId,
    channels: usize,
    classes: usize,
}

impl Classifier {
    pub(crate) fn new(builder: &mut Builder, scope: &str, channels: usize, classes: usize) -> Self {
        let weight = builder.weight(format!("{scope}/w"), &[channels, classes], channels);
        Self { weight, channels, classes }
    }

    /// Multiply-adds per image.
    pub(crate) fn macs(&self) -> u64 {
        (self.channels * self.classes) as u64
    }

    /// `[n, channels]` to logits `[n, classes]`.
    pub(crate) fn forward(&self, params: &Params, features: &[f32]) -> Vec<f32> {
        let start = profile::start();
        let weight = params.get(self.weight);
        let mut logits = vec![0.0; features.len() / self.channels * self.classes];
        for (features, logits) in
            features.chunks_exact(self.channels).zip(logits.chunks_exact_mut(self.classes))
        {
            for (x, row) in features.iter().zip(weight.chunks_exact(self.classes)) {
                logits.iter_mut().zip(row).for_each(|(l, w)| *l += x * w);
            }
        }
        profile::stop(start, ("classifier", "forward"), self.flops(features), 4.0 * features.len() as f64);
        logits
    }

    fn flops(&self, features: &[f32]) -> f64 {
        2.0 * (features.len() * self.classes) as f64
    }

    /// Takes the gradient of the logits; returns that of the features.
    pub(crate) fn backward(
        &self,
        params: &Params,
        features: &[f32],
        grad: &[f32],
        into: &mut Gradients,
    ) -> Vec<f32> {
        let start = profile::start();
        let weight = params.get(self.weight);
        let mut weight_grad = vec![0.0; weight.len()];
        let mut feature_grad = vec![0.0; features.len()];
        let images = features.chunks_exact(self.channels).zip(feature_grad.chunks_exact_mut(self.channels));
        for ((features, feature_grad), grad) in images.zip(grad.chunks_exact(self.classes)) {
            let rows = weight.chunks_exact(self.classes).zip(weight_grad.chunks_exact_mut(self.classes));
            for ((x, dx), (row, row_grad)) in features.iter().zip(feature_grad).zip(rows) {
                *dx = row.iter().zip(grad).map(|(w, g)| w * g).sum();
                row_grad.iter_mut().zip(grad).for_each(|(r, g)| *r += x * g);
            }
        }
        if params.is_trained(self.weight) {
            into.add(self.weight, weight_grad);
        }
        let (flops, bytes) = (2.0 * self.flops(features), 8.0 * features.len() as f64);
        profile::stop(start, ("classifier", "backward"), flops, bytes);
        feature_grad
    }
}

/// The auxiliary classifier: pool, project to 128 channels, one dense convolution to 768, mean, classify.
#[derive(Debug)]
pub(crate) struct AuxHead {
    same: bool,
    project: ConvBlock,
    dense: ConvBlock,
    classifier: Classifier,
}

impl AuxHead {
    /// For maps of `channels × height × width`.
    ///
    /// The authors pool without padding; ENAS-Tensorflow (three reductions) pads unless that leaves no remainder.
    pub(crate) fn new(
        builder: &mut Builder,
        reductions: Reductions,
        channels: usize,
        (height, width): (usize, usize),
        classes: usize,
    ) -> Self {
        let even = |size: usize| size >= 5 && (reductions == Reductions::Two || (size - 3).is_multiple_of(5));
        let same = !(even(height) && even(width));
        let pooled = |size| if same { Axis::same(size, 5, 3).out } else { Axis::valid(size, 5, 3).out };
        let k = pooled(height).max(pooled(width));
        Self {
            same,
            project: builder.conv("aux_head/proj", 1, channels, AUX_CHANNELS.0, false),
            dense: builder.conv("aux_head/avg_pool", k, AUX_CHANNELS.0, AUX_CHANNELS.1, true),
            classifier: Classifier::new(builder, "aux_head/fc", AUX_CHANNELS.1, classes),
        }
    }

    /// The features `[n, 768]` that [`classifier`](Self::classifier) reads.
    pub(crate) fn forward(&self, tape: &mut Tape<'_>, inputs: &[Var]) -> Vec<f32> {
        let pooled: Vec<Var> = inputs
            .iter()
            .map(|input| {
                let (h, w) = input.size();
                let make = if self.same { Pool::same } else { Pool::valid };
                tape.pool(make(PoolKind::Average, 5, 3, h, w).with_relu(), input)
            })
            .collect();
        let projected = self.project.forward(tape, &pooled);
        let dense = self.dense.forward(tape, &[projected]);
        tape.relu_mean(&[dense])
    }

    pub(crate) fn classifier(&self) -> &Classifier {
        &self.classifier
    }
}

/// Mean cross entropy, its gradient, and how many images are right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loss {
    /// In nats.
    pub(crate) mean: f32,
    /// `[n, classes]`.
    pub(crate) gradient: Vec<f32>,
    pub(crate) correct: usize,
}

impl Loss {
    /// Of logits `[n, classes]` against `n` labels.
    pub(crate) fn of(logits: &[f32], labels: &[u32], classes: usize) -> Self {
        let n = labels.len() as f32;
        let (mut total, mut correct) = (0.0f64, 0);
        let mut gradient = Vec::with_capacity(logits.len());
        for (logits, label) in logits.chunks_exact(classes).zip(labels) {
            let label = *label as usize;
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
            total += sum.ln() - f64::from(logits[label] - max);
            correct += usize::from(argmax(logits) == label);
            gradient.extend(logits.iter().enumerate().map(|(class, l)| {
                let p = (f64::from(l - max).exp() / sum) as f32;
                (p - if class == label { 1.0 } else { 0.0 }) / n
            }));
        }
        Self { mean: (total / f64::from(n)) as f32, gradient, correct }
    }
}

/// The first largest logit.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, l) in logits.iter().enumerate() {
        if *l > logits[best] {
            best = i;
        }
    }
    best
}
