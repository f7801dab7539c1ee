//! From feature maps to logits: where the classifiers' weights are, and the auxiliary head.

use enas_kernels::{Axis, Pool, PoolKind};

use crate::backend::{Backend, ConvBlock};
use crate::build::Builder;
use crate::config::Reductions;
use crate::params::ParamId;
use crate::tape::{Tape, Var};

/// Channels of the auxiliary head's two convolutions.
const AUX_CHANNELS: (usize, usize) = (128, 768);

/// A matrix `[channels, classes]` without a bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classifier {
    pub(crate) weight: ParamId,
    pub(crate) channels: usize,
    pub(crate) classes: usize,
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
    pub(crate) fn forward<B: Backend>(&self, tape: &mut Tape<'_, B>, inputs: &[Var<B>]) -> B::Vector {
        let pooled: Vec<Var<B>> = inputs
            .iter()
            .map(|input| {
                let (_, _, h, w) = tape.shape(input);
                let make = if self.same { Pool::same } else { Pool::valid };
                tape.pool(make(PoolKind::Average, 5, 3, h, w).with_relu(), input)
            })
            .collect();
        let projected = tape.unit(&pooled, self.project.clone());
        let dense = tape.unit(&[projected], self.dense.clone());
        tape.relu_mean(&[dense])
    }

    pub(crate) fn classifier(&self) -> &Classifier {
        &self.classifier
    }
}
