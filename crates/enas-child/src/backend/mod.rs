//! What a device must compute for a network: the operations of the tape, the classifiers and the loss.
//!
//! The network, its tape and the training pass are written once against [`Backend`]. [`Cpu`] computes at once;
//! [`OnGpu`] launches kernels and lets the host run ahead; [`Recorder`] writes down what is to be computed; [`Dry`]
//! counts the memory it would take. [`Waves`] stands before one of them and shows it some images of a batch at a time.

mod cpu;
mod dry;
mod gpu;
mod grouped;
mod recorder;
mod waves;

use enas_kernels::{Axis, Pool};

pub(crate) use self::cpu::{Cpu, argmax};
pub(crate) use self::dry::{Dry, Ledger};
pub(crate) use self::gpu::{Numbers, OnGpu};
pub(crate) use self::grouped::Grouped;
pub(crate) use self::recorder::Recorder;
pub(crate) use self::waves::{Known, Part, Waves};
use crate::head::Classifier;
use crate::noise::Noise;
use crate::params::{ParamId, Params};

/// The parameters of a batch norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) scale: ParamId,
    pub(crate) offset: ParamId,
    /// Index of its moving statistics; the batch norms of shared edges have none.
    pub(crate) running: Option<usize>,
}

/// How the rows of a convolution are gathered; [`enas_kernels::Rows`] with parameters by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gather {
    Pixels,
    EverySecond { offset: usize },
    Depthwise { filter: ParamId, k: usize, stride: usize },
    Patches { k: usize },
}

/// One matrix product of a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) gather: Gather,
    /// The rows of the matrix, in pieces that follow each other.
    pub(crate) weight: Vec<ParamId>,
    pub(crate) outputs: usize,
}

/// A convolution with its batch norm: a 1×1 or dense convolution, a separable one, or a factorised reduction.
#[derive(Clone, Debug)]
pub(crate) struct ConvBlock {
    pub(crate) relu: bool,
    pub(crate) convs: Vec<Conv>,
    pub(crate) norm: Norm,
}

/// `(n, c, h, w)` of a map.
pub(crate) type Shape = (usize, usize, usize, usize);

impl ConvBlock {
    /// Everything that it trains.
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

    /// Output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.convs.iter().map(|conv| conv.outputs).sum()
    }

    /// The shape of the output, given that of an input.
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

/// Which statistics batch norms use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    Batch,
    Running,
}

/// One side of a sum: a value, and a factor per image if drop-path is on.
pub(crate) type Term<'a, B> = (&'a <B as Backend>::Value, Option<&'a <B as Backend>::Vector>);

/// A device that networks run on, with the parameters of one network.
///
/// `backward` operations add to gradients that exist and make those that are `None`.
pub(crate) trait Backend: Sized {
    /// Raw activations or their gradient.
    type Map: Clone;
    /// Activations as their readers see them: a map and the normalisation still to be applied.
    type Value: Clone;
    /// Batch statistics of one convolution.
    type Moments: Clone;
    /// Numbers per image: features, logits, factors.
    type Vector: Clone;
    /// The classes of a batch.
    type Labels: ?Sized;
    /// Gradients of the parameters.
    type Gradients;
    /// Mean cross entropy and number of right answers.
    type Loss;

    fn params(&self) -> &Params;
    fn plain(&self, map: Self::Map) -> Self::Value;
    /// `(n, c, h, w)`.
    fn shape(&self, value: &Self::Value) -> Shape;

    /// The normalised output of a convolution, and its batch statistics if it used those.
    fn unit(
        &self,
        block: &ConvBlock,
        inputs: &[Self::Value],
        statistics: Statistics,
    ) -> (Self::Value, Option<Self::Moments>);
    /// Gradients of the parameters and, if there are targets, of the inputs.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the forward direction read and made, and the gradients"
    )]
    fn unit_backward(
        &self,
        block: &ConvBlock,
        inputs: &[Self::Value],
        out: &Self::Value,
        moments: &Self::Moments,
        grad: &Self::Map,
        targets: Option<&mut [Option<Self::Map>]>,
        into: &mut Self::Gradients,
    );

    /// [`unit_backward`](Self::unit_backward) for a convolution whose only input is the output of another one, with the
    /// statistics `before`, and whose gradient is complete with this: a device may look at it while it is written.
    #[expect(clippy::too_many_arguments, reason = "as above, and what the input was made with")]
    fn unit_backward_onto(
        &self,
        _before: &Self::Moments,
        block: &ConvBlock,
        input: &Self::Value,
        out: &Self::Value,
        moments: &Self::Moments,
        grad: &Self::Map,
        target: &mut Option<Self::Map>,
        into: &mut Self::Gradients,
    ) {
        let (inputs, targets) = (std::slice::from_ref(input), std::slice::from_mut(target));
        self.unit_backward(block, inputs, out, moments, grad, Some(targets), into);
    }

    fn pool(&self, pool: &Pool, input: &Self::Value) -> Self::Map;
    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Self::Value,
        grad: &Self::Map,
        target: &mut Option<Self::Map>,
    );

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Self::Map;
    fn add_backward(&self, grad: &Self::Map, factors: Option<&Self::Vector>, target: &mut Option<Self::Map>);

    fn concat(&self, values: &[Self::Value]) -> Self::Map;
    fn concat_backward(&self, grad: &Self::Map, values: &[Self::Value], targets: &mut [Option<Self::Map>]);

    /// Means over pixels of the positive parts, `[n, Σ c]`.
    fn relu_mean(&self, values: &[Self::Value]) -> Self::Vector;
    fn relu_mean_backward(
        &self,
        values: &[Self::Value],
        grad: &Self::Vector,
        targets: &mut [Option<Self::Map>],
    );

    /// `⌊keep + u⌋/keep` per number: 0 with probability `1 − keep`, else `1/keep`.
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> Self::Vector;
    /// Numbers times factors.
    fn scale(&self, numbers: &Self::Vector, factors: &Self::Vector) -> Self::Vector;

    /// Features `[n, channels]` to logits `[n, classes]`.
    fn classify(&self, classifier: &Classifier, features: &Self::Vector) -> Self::Vector;
    /// Takes the gradient of the logits; returns that of the features.
    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &Self::Vector,
        grad: &Self::Vector,
        into: &mut Self::Gradients,
    ) -> Self::Vector;

    /// Mean cross entropy of logits `[n, classes]`, and `weight` times its gradient.
    fn cross_entropy(
        &self,
        logits: &Self::Vector,
        labels: &Self::Labels,
        classes: usize,
        weight: f32,
    ) -> (Self::Loss, Self::Vector);

    /// No gradients yet.
    fn gradients(&self) -> Self::Gradients;
}
