//! The layers of a network as plain data: which parameters they read, and how. They hold ids of parameters, not values.

use enas_kernels::Axis;

use crate::params::ParamId;

/// The parameters of a batch norm: scale γ and offset β, each `[c]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) scale: ParamId,
    pub(crate) offset: ParamId,
    /// Index of its moving statistics. Batch norms of shared edges have none.
    pub(crate) running: Option<usize>,
}

/// How the rows of the matrix product are gathered; [`enas_kernels::Im2row`] with parameters by id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GatherKind {
    Pixels,
    EverySecond { offset: usize },
    Depthwise { filter: ParamId, k: usize, stride: usize },
    Patches { k: usize },
}

/// One matrix product of a conv block.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) gather: GatherKind,
    /// The matrix in pieces of consecutive rows: `[k·k·inputs, outputs]` for patches, otherwise `[inputs, outputs]`.
    pub(crate) weight: Vec<ParamId>,
    pub(crate) outputs: usize,
}

impl Conv {
    /// The depthwise filter of a separable convolution.
    pub(crate) fn filter(&self) -> Option<ParamId> {
        match self.gather {
            GatherKind::Depthwise { filter, .. } => Some(filter),
            _ => None,
        }
    }
}

/// A convolution with its batch norm: a 1×1 or dense convolution, a separable one, or a factorized reduction.
#[derive(Clone, Debug)]
pub(crate) struct ConvLayer {
    pub(crate) relu: bool,
    pub(crate) convs: Vec<Conv>,
    pub(crate) norm: BatchNorm,
}

/// Shape `(n, c, h, w)` of a feature map.
pub(crate) type Shape = (usize, usize, usize, usize);

impl ConvLayer {
    /// All parameters of the block.
    pub(crate) fn params(&self) -> impl Iterator<Item = ParamId> {
        let of_conv = |conv: &Conv| conv.weight.iter().copied().chain(conv.filter()).collect::<Vec<_>>();
        self.convs.iter().flat_map(of_conv).chain([self.norm.scale, self.norm.offset])
    }

    /// Number of output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.convs.iter().map(|conv| conv.outputs).sum()
    }

    /// The shape of the output, given that of an input. Padding is SAME, so height and width are ⌈size / stride⌉.
    pub(crate) fn output(&self, (n, _, h, w): Shape) -> Shape {
        let (k, stride) = match self.convs[0].gather {
            GatherKind::Pixels => (1, 1),
            GatherKind::EverySecond { .. } => (1, 2),
            GatherKind::Depthwise { k, stride, .. } => (k, stride),
            GatherKind::Patches { k } => (k, 1),
        };
        (n, self.outputs(), Axis::same(h, k, stride).out, Axis::same(w, k, stride).out)
    }
}

/// A weight matrix `[channels, classes]` without a bias (`micro_child.py:335-338`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classifier {
    pub(crate) weight: ParamId,
    pub(crate) channels: usize,
    pub(crate) classes: usize,
}

impl Classifier {
    /// Multiply-adds per image.
    pub(crate) fn macs(&self) -> u64 {
        (self.channels * self.classes) as u64
    }
}
