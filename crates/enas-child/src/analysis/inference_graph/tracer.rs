//! A device that computes nothing and writes down the operations of a network, for export.

use std::cell::RefCell;

use candle_core::{Device, Tensor};
use enas_kernels::{Axis, Pool};

use super::graph::{Convolution, Operation};
use crate::backend::{Forward, Statistics, Term};
use crate::config::InputShape;
use crate::layer::{Classifier, Conv, ConvLayer, GatherKind};
use crate::noise::Noise;
use crate::params::{NamedTensor, ParamId, Params, Weights};

/// Records the forward pass of a network with folded batch norms.
pub(crate) struct GraphTracer<'a> {
    weights: Weights<'a>,
    operations: RefCell<Vec<Operation>>,
}

/// The number of a value, and its channels, height and width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TracedValue {
    id: usize,
    channels: usize,
    height: usize,
    width: usize,
}

/// A type without values, for everything that belongs to training.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Never {}

impl<'a> GraphTracer<'a> {
    pub(crate) fn new(weights: Weights<'a>) -> Self {
        Self { weights, operations: RefCell::default() }
    }

    /// The network's input, which is value 0.
    pub(crate) fn images(&self, InputShape { channels, height, width }: InputShape) -> TracedValue {
        TracedValue { id: 0, channels, height, width }
    }

    /// All recorded operations, in order.
    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations.into_inner()
    }

    /// The features `[n, c]` of a value `[n, c, 1, 1]`.
    pub(crate) fn flatten(&self, value: &TracedValue) -> TracedValue {
        self.push(Operation::Flatten { input: value.id }, (value.channels, 1, 1))
    }

    /// Adds an operation and numbers its value.
    fn push(&self, operation: Operation, (channels, height, width): (usize, usize, usize)) -> TracedValue {
        let mut operations = self.operations.borrow_mut();
        operations.push(operation);
        TracedValue { id: operations.len(), channels, height, width }
    }

    fn convolution(&self, conv: &Conv, inputs: &[TracedValue]) -> Convolution {
        let channels: usize = inputs.iter().map(|input| input.channels).sum();
        let (k, stride, offset) = match conv.gather {
            GatherKind::Pixels => (1, 1, 0),
            GatherKind::EverySecond { offset } => (1, 2, offset),
            GatherKind::Patches { k } => (k, 1, 0),
            GatherKind::Depthwise { k, stride, .. } => (k, stride, 0),
        };
        let (filter, taps) = match conv.gather {
            GatherKind::Depthwise { filter, .. } => (Some(self.tensor(&[filter], &[k, k, channels])), 1),
            _ => (None, k),
        };
        Convolution {
            y: Axis::same(inputs[0].height, k, stride),
            x: Axis::same(inputs[0].width, k, stride),
            offset,
            filter,
            matrix: self.tensor(&conv.weight, &[taps, taps, channels, conv.outputs]),
        }
    }

    /// Weights, joined from their pieces, under the name of the first piece.
    fn tensor(&self, pieces: &[ParamId], shape: &[usize]) -> NamedTensor {
        let data: Vec<f32> = pieces.iter().flat_map(|id| self.weights.get(*id)).copied().collect();
        let tensor = Tensor::from_vec(data, shape, &Device::Cpu);
        let tensor = tensor.expect("the network built its weights for these inputs");
        (self.weights.params.name(pieces[0]).to_owned(), tensor)
    }
}

impl Forward for GraphTracer<'_> {
    type FeatureMap = TracedValue;
    type Activation = TracedValue;
    type BatchStats = Never;
    type Vector = TracedValue;
    type Gradients = Never;

    fn params(&self) -> &Params {
        self.weights.params
    }

    fn plain(&self, map: TracedValue) -> TracedValue {
        map
    }

    /// Records a batch of one image: the operations do not depend on the batch size.
    fn shape(&self, value: &TracedValue) -> (usize, usize, usize, usize) {
        (1, value.channels, value.height, value.width)
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[TracedValue],
        _: Statistics,
    ) -> (TracedValue, Option<Never>) {
        let convolutions: Vec<Convolution> =
            block.convs.iter().map(|conv| self.convolution(conv, inputs)).collect();
        let channels = block.convs.iter().map(|conv| conv.outputs).sum();
        let shape = (channels, convolutions[0].y.out, convolutions[0].x.out);
        // A folded batch norm leaves only its offset: the scale is part of the weights.
        let bias = self.tensor(&[block.norm.offset], &[channels]);
        let inputs = ids(inputs);
        (self.push(Operation::Convolve { inputs, relu: block.relu, convolutions, bias }, shape), None)
    }

    fn pool(&self, pool: &Pool, input: &TracedValue) -> TracedValue {
        let shape = (input.channels, pool.y.out, pool.x.out);
        self.push(Operation::Pool { input: input.id, pool: *pool }, shape)
    }

    fn add(&self, (a, _): Term<'_, Self>, (b, _): Term<'_, Self>) -> TracedValue {
        self.push(Operation::Add { inputs: [a.id, b.id] }, (a.channels, a.height, a.width))
    }

    fn concat(&self, values: &[TracedValue]) -> TracedValue {
        let shape = (channels(values), values[0].height, values[0].width);
        self.push(Operation::Concat { inputs: ids(values) }, shape)
    }

    fn relu_mean(&self, values: &[TracedValue]) -> TracedValue {
        self.push(Operation::ReluMean { inputs: ids(values) }, (channels(values), 1, 1))
    }

    fn classify(&self, classifier: &Classifier, features: &TracedValue) -> TracedValue {
        let &Classifier { weight, channels, classes } = classifier;
        let matrix = self.tensor(&[weight], &[channels, classes]);
        self.push(Operation::Classify { input: features.id, matrix }, (classes, 1, 1))
    }

    fn drop_factors(&self, _: &dyn Noise, _: &str, _: usize, _: f32) -> TracedValue {
        unreachable!("only the inference of a network is recorded, which draws no noise")
    }
}

fn ids(values: &[TracedValue]) -> Vec<usize> {
    values.iter().map(|value| value.id).collect()
}

fn channels(values: &[TracedValue]) -> usize {
    values.iter().map(|value| value.channels).sum()
}
