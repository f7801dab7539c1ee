//! The operations that a device must provide: those of the tape, the classifiers and the loss.
//!
//! The network, its tape and the training pass are written once, against the trait [`Backend`]. [`Cpu`] computes
//! immediately. [`OnGpu`] launches kernels and does not wait for them. [`GraphTracer`] writes the operations down for
//! export. [`MemoryTracer`] counts the memory they would take. [`MicroBatches`] wraps one of these and shows it one micro-batch at a
//! time.

mod cpu;
mod gpu;
mod graph_tracer;
mod memory_tracer;
mod micro_batch_backend;
mod micro_batches;

use enas_kernels::{Axis, Pool};

pub(crate) use self::cpu::{Cpu, argmax};
pub(crate) use self::gpu::{Numbers, OnGpu};
pub(crate) use self::graph_tracer::GraphTracer;
pub(crate) use self::memory_tracer::{Ledger, MemoryTracer};
pub(crate) use self::micro_batch_backend::MicroBatchBackend;
pub(crate) use self::micro_batches::{LayerStats, MicroBatches, Part};
use crate::head::Classifier;
use crate::noise::Noise;
use crate::params::{ParamId, Params};

/// The parameters of a batch norm: scale γ and offset β, each `[c]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) scale: ParamId,
    pub(crate) offset: ParamId,
    /// Index of its moving statistics. Batch norms of shared edges have none.
    pub(crate) running: Option<usize>,
}

/// How the rows of the matrix product are gathered; [`enas_kernels::Im2row`] with parameters by id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gather {
    Pixels,
    EverySecond { offset: usize },
    Depthwise { filter: ParamId, k: usize, stride: usize },
    Patches { k: usize },
}

/// One matrix product of a conv block.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) gather: Gather,
    /// The matrix in pieces of consecutive rows: `[k·k·inputs, outputs]` for patches, otherwise `[inputs, outputs]`.
    pub(crate) weight: Vec<ParamId>,
    pub(crate) outputs: usize,
}

/// A convolution with its batch norm: a 1×1 or dense convolution, a separable one, or a factorized reduction.
#[derive(Clone, Debug)]
pub(crate) struct ConvLayer {
    pub(crate) relu: bool,
    pub(crate) convs: Vec<Conv>,
    pub(crate) norm: Norm,
}

/// Shape `(n, c, h, w)` of a feature map.
pub(crate) type Shape = (usize, usize, usize, usize);

impl ConvLayer {
    /// All parameters of the block.
    pub(crate) fn params(&self) -> impl Iterator<Item = ParamId> {
        let of_conv = |conv: &Conv| {
            let filter = match conv.gather {
                Gather::Depthwise { filter, .. } => Some(filter),
                _ => None,
            };
            conv.weight.iter().copied().chain(filter).collect::<Vec<_>>()
        };
        self.convs.iter().flat_map(of_conv).chain([self.norm.scale, self.norm.offset])
    }

    /// Number of output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.convs.iter().map(|conv| conv.outputs).sum()
    }

    /// The shape of the output, given that of an input. Padding is SAME, so height and width are ⌈size / stride⌉.
    pub(crate) fn output(&self, (n, _, h, w): Shape) -> Shape {
        let (k, stride) = match self.convs[0].gather {
            Gather::Pixels => (1, 1),
            Gather::EverySecond { .. } => (1, 2),
            Gather::Depthwise { k, stride, .. } => (k, stride),
            Gather::Patches { k } => (k, 1),
        };
        (n, self.outputs(), Axis::same(h, k, stride).out, Axis::same(w, k, stride).out)
    }
}

/// Which statistics batch norms use: those of the batch, or the moving ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    Batch,
    Running,
}

/// One side of a sum: a value, and one factor per image (`[n]`) if drop-path is on.
pub(crate) type Term<'a, B> = (&'a <B as Backend>::Activation, Option<&'a <B as Backend>::Vector>);

/// A device that networks run on, with the parameters of one network.
///
/// Operations named `…_backward` add to a gradient that exists and create one that is `None`.
pub(crate) trait Backend: Sized {
    /// A feature map `[n, c, h, w]`: activations without pending normalisation, or a gradient.
    type FeatureMap: Clone;
    /// Activations as their readers see them: a feature map and the affine normalisation that readers apply to it.
    type Activation: Clone;
    /// Batch statistics (mean and variance per channel) of one conv block.
    type BatchStats: Clone;
    /// Values per image, `[n, k]`: features, logits or factors.
    type Vector: Clone;
    /// The classes of a batch.
    type Labels: ?Sized;
    /// Gradients of all parameters.
    type Gradients;
    /// Mean cross entropy and number of correct answers.
    type Loss;

    fn params(&self) -> &Params;
    /// A value of this feature map without a pending normalisation.
    fn plain(&self, map: Self::FeatureMap) -> Self::Activation;
    /// The shape `(n, c, h, w)`.
    fn shape(&self, value: &Self::Activation) -> Shape;

    /// The normalised output of a conv block. Also returns the batch statistics if `statistics` asks for them.
    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[Self::Activation],
        statistics: Statistics,
    ) -> (Self::Activation, Option<Self::BatchStats>);
    /// Adds the gradients of the block's parameters to `into` and, if there are `targets`, those of its inputs to
    /// them.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the forward direction read and made, and the gradients"
    )]
    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Self::Activation],
        out: &Self::Activation,
        moments: &Self::BatchStats,
        grad: &Self::FeatureMap,
        targets: Option<&mut [Option<Self::FeatureMap>]>,
        into: &mut Self::Gradients,
    );

    /// [`conv_block_backward`](Self::conv_block_backward) for a conv block whose only input is the output of another block.
    /// `before` are that block's statistics, and the gradient of its output is complete after this call. A device may
    /// therefore compute the batch-norm sums of that block while it writes the gradient.
    #[expect(clippy::too_many_arguments, reason = "as above, and what the input was made with")]
    fn conv_block_backward_fused(
        &self,
        _before: &Self::BatchStats,
        block: &ConvLayer,
        input: &Self::Activation,
        out: &Self::Activation,
        moments: &Self::BatchStats,
        grad: &Self::FeatureMap,
        target: &mut Option<Self::FeatureMap>,
        into: &mut Self::Gradients,
    ) {
        let (inputs, targets) = (std::slice::from_ref(input), std::slice::from_mut(target));
        self.conv_block_backward(block, inputs, out, moments, grad, Some(targets), into);
    }

    fn pool(&self, pool: &Pool, input: &Self::Activation) -> Self::FeatureMap;
    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Self::Activation,
        grad: &Self::FeatureMap,
        target: &mut Option<Self::FeatureMap>,
    );

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Self::FeatureMap;
    fn add_backward(
        &self,
        grad: &Self::FeatureMap,
        factors: Option<&Self::Vector>,
        target: &mut Option<Self::FeatureMap>,
    );

    fn concat(&self, values: &[Self::Activation]) -> Self::FeatureMap;
    fn concat_backward(
        &self,
        grad: &Self::FeatureMap,
        values: &[Self::Activation],
        targets: &mut [Option<Self::FeatureMap>],
    );

    /// Global average pooling after a ReLU: means over pixels of the positive parts, `[n, Σ c]`.
    fn relu_mean(&self, values: &[Self::Activation]) -> Self::Vector;
    fn relu_mean_backward(
        &self,
        values: &[Self::Activation],
        grad: &Self::Vector,
        targets: &mut [Option<Self::FeatureMap>],
    );

    /// Dropout factors, `⌊keep + u⌋/keep` each with `u` uniform in `[0, 1)`: 0 with probability `1 − keep`, otherwise
    /// `1/keep` (`image_ops.py:14-17`).
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Self::Vector;
    /// Values times factors, element by element.
    fn scale(&self, numbers: &Self::Vector, factors: &Self::Vector) -> Self::Vector;

    /// Features `[n, channels]` to logits `[n, classes]`.
    fn classify(&self, classifier: &Classifier, features: &Self::Vector) -> Self::Vector;
    /// Takes the gradient of the logits `[n, classes]` and returns that of the features `[n, channels]`.
    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &Self::Vector,
        grad: &Self::Vector,
        into: &mut Self::Gradients,
    ) -> Self::Vector;

    /// Mean cross entropy of logits `[n, classes]`, and `weight` times its gradient `[n, classes]`.
    fn cross_entropy(
        &self,
        logits: &Self::Vector,
        labels: &Self::Labels,
        classes: usize,
        weight: f32,
    ) -> (Self::Loss, Self::Vector);

    /// Gradients with nothing added yet.
    fn gradients(&self) -> Self::Gradients;
}
