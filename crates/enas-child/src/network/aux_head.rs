//! The auxiliary classifier in the upper third of the network.

use enas_kernels::{Axis, Pool, PoolKind};

use crate::autograd::{Tape, TapeValue};
use crate::backend::Forward;
use crate::config::Reductions;
use crate::layer::{Classifier, ConvLayer};
use crate::network::builder::Builder;
use crate::network::cell::Extent;

/// Channels of the auxiliary head's two convolutions (`micro_child.py:300, 310`).
const AUX_CHANNELS: (usize, usize) = (128, 768);

/// The auxiliary classifier (`micro_child.py:293-323`): ReLU, 5×5 average pooling with stride 3, 1×1 convolution to
/// 128 channels, dense convolution to 768 channels, global average pooling, classifier.
///
/// Quirk: the dense kernel covers the whole pooled map, but its padding is SAME (`micro_child.py:310-312`). So the
/// output has the size of the pooled map instead of one pixel.
#[derive(Debug)]
pub(crate) struct AuxHead {
    same: bool,
    project: ConvLayer,
    dense: ConvLayer,
    classifier: Classifier,
}

impl AuxHead {
    /// For a cell output of `channels × height × width`.
    ///
    /// Padding of the 5×5 pooling: the authors use VALID (`micro_child.py:295-297`). ENAS-Tensorflow, which has three
    /// reductions, uses VALID only if `(size − 3) mod 5 = 0`, and otherwise SAME. Sizes below 5 always use SAME here.
    pub(crate) fn new(
        builder: &mut Builder,
        reductions: Reductions,
        Extent { channels, height, width }: Extent,
        classes: usize,
    ) -> Self {
        let even = |size: usize| size >= 5 && (reductions == Reductions::Two || (size - 3).is_multiple_of(5));
        let same = !(even(height) && even(width));
        let pooled = |size| if same { Axis::same(size, 5, 3).out } else { Axis::valid(size, 5, 3).out };
        // The larger side of a map that is not square decides the kernel size.
        let k = pooled(height).max(pooled(width));
        Self {
            same,
            project: builder.conv("aux_head/proj", 1, channels, AUX_CHANNELS.0, false),
            dense: builder.conv("aux_head/avg_pool", k, AUX_CHANNELS.0, AUX_CHANNELS.1, true),
            classifier: builder.classifier("aux_head/fc", AUX_CHANNELS.1, classes),
        }
    }

    /// The features `[n, 768]` that [`classifier`](Self::classifier) reads.
    pub(crate) fn forward<B: Forward>(&self, tape: &mut Tape<'_, B>, inputs: &[TapeValue<B>]) -> B::Vector {
        let pooled: Vec<TapeValue<B>> = inputs
            .iter()
            .map(|input| {
                let (_, _, h, w) = tape.shape(input);
                let make = if self.same { Pool::same } else { Pool::valid };
                tape.pool(make(PoolKind::Average, 5, 3, h, w).with_relu(), input)
            })
            .collect();
        let projected = tape.conv_block(&pooled, self.project.clone());
        let dense = tape.conv_block(&[projected], self.dense.clone());
        tape.relu_mean(&[dense])
    }

    pub(crate) fn classifier(&self) -> &Classifier {
        &self.classifier
    }
}
