//! What a fixed network computes at inference, as plain data: for whoever runs it elsewhere.

use enas_kernels::{Axis, Pool};

use crate::backend::{Backend, Recorder, Statistics};
use crate::tape::Tape;
use crate::walk::Kept;
use crate::{Child, Error, InputShape, NamedTensor};

/// A fixed network at inference: operations in an order in which they can be computed.
///
/// Value 0 is a batch of normalised pictures `[n, c, h, w]`, value `i + 1` what operation `i` computes; the last
/// value is the logits. Batch norms are folded into the convolutions, dropout and drop-path do nothing at inference,
/// and the auxiliary head is not part of it.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The pictures.
    pub input: InputShape,
    /// Columns of the logits.
    pub classes: usize,
    /// What is computed, first to last.
    pub operations: Vec<Operation>,
}

/// One operation of an [`Outline`]. Its operands are numbers of earlier values.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Convolutions that read the same values and whose outputs follow each other, plus a bias per channel.
    Convolve {
        /// Values whose channels follow each other.
        inputs: Vec<usize>,
        /// Whether negative inputs count as zero.
        relu: bool,
        /// At least one.
        convolutions: Vec<Convolution>,
        /// One number per output channel, `[Σ outputs]`.
        bias: NamedTensor,
    },
    /// Pooling; averages are over the real pixels of a window, and padding never wins a maximum.
    Pool {
        /// The value that is pooled.
        input: usize,
        /// Windows and kind.
        pool: Pool,
    },
    /// The sum of two values of one shape.
    Add {
        /// The two values.
        inputs: [usize; 2],
    },
    /// Several values as one, their channels one after another.
    Concat {
        /// The values in order.
        inputs: Vec<usize>,
    },
    /// Means over all pixels of the positive parts, `[n, Σ c]`.
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

/// One convolution: windows of zero-padded pixels times a matrix, perhaps after a filter per channel.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Windows from top to bottom.
    pub y: Axis,
    /// Windows from left to right.
    pub x: Axis,
    /// Rows and columns that are skipped before the first window: 0, or 1 in the second path of a reduction. What is
    /// missing at the end counts as zero.
    pub offset: usize,
    /// The first step of a separable convolution: one filter per channel, `[k, k, c]`. The matrix then applies to
    /// single filtered pixels.
    pub filter: Option<NamedTensor>,
    /// `[k, k, c, outputs]`; of a separable convolution `[1, 1, c, outputs]`.
    pub matrix: NamedTensor,
}

impl Child {
    /// What the network computes at inference.
    ///
    /// # Errors
    /// If the network shares weights, which have no statistics of their own; if its numbers are on a device and cannot
    /// be had back.
    pub fn outline(&self) -> Result<Outline, Error> {
        let Some(arc) = self.arc() else {
            return Err(Error::Arc("shared weights have no moving statistics to fold".to_owned()));
        };
        let folded = self.folded()?;
        let operations = folded.params.read(|weights| {
            let recorder = Recorder::new(weights);
            let mut tape = Tape::new(&recorder, Statistics::Running, false);
            let input = tape.input(recorder.pictures(self.input()));
            let features = folded.network.forward(&mut tape, arc, input, None, (&Kept, false))?.main;
            recorder.classify(&folded.network.classifier, &features);
            Ok(recorder.into_operations())
        })?;
        Ok(Outline { input: self.input(), classes: self.n_classes(), operations })
    }
}
