//! The operations that a device must provide: those of the tape, the classifiers and the loss.
//!
//! The network, its tape and the training pass are written once, against the traits [`Forward`] and [`Train`].
//! [`Cpu`] computes immediately. [`OnGpu`] launches kernels and does not wait for them. [`MicroBatches`] wraps another
//! backend and computes one micro-batch at a time. The tracers of [`analysis`](crate::analysis) compute nothing: they
//! record a graph or count memory.

mod cpu;
mod gpu;
mod micro_batches;

use enas_kernels::Pool;

pub(crate) use self::cpu::{Cpu, in_thread_pool};
pub(crate) use self::gpu::{GpuVector, OnGpu};
pub(crate) use self::micro_batches::{Deferred, LayerStats, MicroBatchBackend, MicroBatches};
use crate::layer::{Classifier, ConvLayer, Shape};
use crate::noise::Noise;
use crate::params::Params;

/// Which statistics batch norms use: those of the batch, or the moving ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    Batch,
    Running,
}

/// One side of a sum: a value, and one factor per image (`[n]`) if drop-path is on.
pub(crate) type Term<'a, B> = (&'a <B as Forward>::Activation, Option<&'a <B as Forward>::Vector>);

/// A device that networks run on, with the parameters of one network: the operations of a forward pass.
pub(crate) trait Forward: Sized {
    /// A feature map `[n, c, h, w]`: activations without pending normalisation, or a gradient.
    type FeatureMap: Clone;
    /// Activations as their readers see them: a feature map and the affine normalisation that readers apply to it.
    type Activation: Clone;
    /// Batch statistics (mean and variance per channel) of one conv block.
    type BatchStats: Clone;
    /// Values per image, `[n, k]`: features, logits or factors.
    type Vector: Clone;
    /// Gradients of all parameters, as the nodes of a tape receive them. Without use for a device that cannot
    /// [`Train`].
    type Gradients;

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

    fn pool(&self, pool: &Pool, input: &Self::Activation) -> Self::FeatureMap;

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Self::FeatureMap;

    fn concat(&self, values: &[Self::Activation]) -> Self::FeatureMap;

    /// Global average pooling after a ReLU: means over pixels of the positive parts, `[n, Σ c]`.
    fn relu_mean(&self, values: &[Self::Activation]) -> Self::Vector;

    /// Dropout factors, `⌊keep + u⌋/keep` each with `u` uniform in `[0, 1)`: 0 with probability `1 − keep`, otherwise
    /// `1/keep` (`image_ops.py:14-17`).
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Self::Vector;

    /// Features `[n, channels]` to logits `[n, classes]`.
    fn classify(&self, classifier: &Classifier, features: &Self::Vector) -> Self::Vector;
}

/// A device that networks can be trained on: the loss, and the backward operations.
///
/// Operations named `…_backward` add to a gradient that exists and create one that is `None`.
pub(crate) trait Train: Forward {
    /// The classes of a batch.
    type Labels: ?Sized;
    /// Mean cross entropy and number of correct answers.
    type Loss;

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
        batch_stats: &Self::BatchStats,
        grad: &Self::FeatureMap,
        targets: Option<&mut [Option<Self::FeatureMap>]>,
        into: &mut Self::Gradients,
    );

    /// [`conv_block_backward`](Self::conv_block_backward) for a conv block whose only input is the output of another
    /// block.
    ///
    /// `before` are that block's statistics, and the gradient of its output is complete after this call. A device may
    /// therefore compute the batch-norm sums of that block while it writes the gradient.
    #[expect(clippy::too_many_arguments, reason = "as above, and what the input was made with")]
    fn conv_block_backward_fused(
        &self,
        _before: &Self::BatchStats,
        block: &ConvLayer,
        input: &Self::Activation,
        out: &Self::Activation,
        batch_stats: &Self::BatchStats,
        grad: &Self::FeatureMap,
        target: &mut Option<Self::FeatureMap>,
        into: &mut Self::Gradients,
    ) {
        let inputs = std::slice::from_ref(input);
        let targets = std::slice::from_mut(target);
        self.conv_block_backward(block, inputs, out, batch_stats, grad, Some(targets), into);
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Self::Activation,
        grad: &Self::FeatureMap,
        target: &mut Option<Self::FeatureMap>,
    );

    fn add_backward(
        &self,
        grad: &Self::FeatureMap,
        factors: Option<&Self::Vector>,
        target: &mut Option<Self::FeatureMap>,
    );

    fn concat_backward(
        &self,
        grad: &Self::FeatureMap,
        values: &[Self::Activation],
        targets: &mut [Option<Self::FeatureMap>],
    );

    fn relu_mean_backward(
        &self,
        values: &[Self::Activation],
        grad: &Self::Vector,
        targets: &mut [Option<Self::FeatureMap>],
    );

    /// Values times factors, element by element.
    fn scale(&self, values: &Self::Vector, factors: &Self::Vector) -> Self::Vector;

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
