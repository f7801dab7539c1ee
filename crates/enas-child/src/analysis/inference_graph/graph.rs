//! The inference graph as plain data.

use enas_kernels::{Axis, Pool};

use crate::config::InputShape;
use crate::params::NamedTensor;

/// A fixed network at inference: operations in an order in which they can be computed.
///
/// Value 0 is a batch of normalised images `[n, c, h, w]`. Value `i + 1` is the result of operation `i`, and the last
/// value is the logits. Batch norms are folded into the convolutions. Dropout, drop-path and the auxiliary head do
/// not occur.
#[derive(Clone, Debug)]
pub struct InferenceGraph {
    /// The shape of the images.
    pub input: InputShape,
    /// Number of classes: columns of the logits.
    pub classes: usize,
    /// The operations in order.
    pub operations: Vec<Operation>,
}

/// One operation of an [`InferenceGraph`]. Operands are numbers of earlier values.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Convolutions that read the same values, their outputs concatenated, plus a bias per channel.
    Convolve {
        /// Values that are concatenated along channels.
        inputs: Vec<usize>,
        /// Whether a ReLU comes first.
        relu: bool,
        /// One or more convolutions.
        convolutions: Vec<Convolution>,
        /// The bias of each output channel, `[Σ outputs]`.
        bias: NamedTensor,
    },
    /// Pooling. Padding counts neither in averages nor in maxima.
    Pool {
        /// The value that is pooled.
        input: usize,
        /// Windows and kind.
        pool: Pool,
    },
    /// The sum of two values of the same shape.
    Add {
        /// The two values.
        inputs: [usize; 2],
    },
    /// Several values concatenated along channels.
    Concat {
        /// The values in order.
        inputs: Vec<usize>,
    },
    /// ReLU and global average pooling: means over all pixels of the positive parts, `[n, Σ c]`.
    ReluMean {
        /// The values in order.
        inputs: Vec<usize>,
    },
    /// A value `[n, c, 1, 1]` as features `[n, c]`.
    Flatten {
        /// The value.
        input: usize,
    },
    /// Features times a matrix, without a bias.
    Classify {
        /// The features `[n, channels]`.
        input: usize,
        /// `[channels, classes]`.
        matrix: NamedTensor,
    },
}

/// One convolution: windows of zero-padded pixels times a matrix; if separable, after a depthwise filter.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Vertical windows.
    pub y: Axis,
    /// Horizontal windows.
    pub x: Axis,
    /// Number of rows and columns skipped before the first window: 0, or 1 in the second path of a factorized
    /// reduction. Missing pixels at the end count as zero.
    pub offset: usize,
    /// The depthwise filter of a separable convolution, `[k, k, c]`. The matrix then applies to single filtered
    /// pixels.
    pub filter: Option<NamedTensor>,
    /// `[k, k, c, outputs]`; for a separable convolution `[1, 1, c, outputs]`.
    pub matrix: NamedTensor,
}
