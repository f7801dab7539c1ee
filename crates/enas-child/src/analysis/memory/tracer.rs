//! A device that computes nothing and counts the memory that the CPU would take.

use std::cell::RefCell;
use std::rc::Rc;

use enas_kernels::{Activation, ConvBlock, ConvBranch, FeatureMap, Im2row, LANES, Pool};

use super::ledger::Ledger;
use crate::backend::{Forward, Statistics, Term, Train};
use crate::layer::{Classifier, Conv, ConvLayer, GatherKind, Shape};
use crate::noise::Noise;
use crate::params::Params;

/// Bytes per value.
const NUMBER: usize = size_of::<f32>();

/// The CPU without its arithmetic.
pub(crate) struct MemoryTracer<'a> {
    params: &'a Params,
    ledger: Rc<RefCell<Ledger>>,
    /// Added to the size of each map, so that maps of other users of the pool never reuse its buffers.
    padding: usize,
}

/// The shape of a feature map, without data.
#[derive(Clone)]
pub(crate) struct TracedMap {
    pub(super) buffer: Rc<TracedBuffer>,
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

pub(super) struct TracedBuffer {
    lanes: usize,
    ledger: Rc<RefCell<Ledger>>,
}

impl Drop for TracedBuffer {
    fn drop(&mut self) {
        self.ledger.borrow_mut().buffers.put(self.lanes);
    }
}

/// The gradients of one pass: only their size in bytes.
pub(crate) struct TracedGradients {
    bytes: usize,
    ledger: Rc<RefCell<Ledger>>,
}

impl TracedGradients {
    pub(super) fn add(&mut self, numbers: usize) {
        self.bytes += numbers * NUMBER;
        self.ledger.borrow_mut().hold(numbers * NUMBER);
    }
}

impl Drop for TracedGradients {
    fn drop(&mut self) {
        self.ledger.borrow_mut().release(self.bytes);
    }
}

impl<'a> MemoryTracer<'a> {
    /// For a network with the sizes of `params`.
    pub(crate) fn new(params: &'a Params, ledger: &Rc<RefCell<Ledger>>) -> Self {
        Self { params, ledger: ledger.clone(), padding: 0 }
    }

    /// The same with buffers that no other user of the pool takes.
    pub(crate) fn isolated(self) -> Self {
        Self { padding: 1, ..self }
    }

    /// A map that the caller provides.
    pub(crate) fn map(&self, (n, c, h, w): Shape) -> TracedMap {
        let lanes = n.div_ceil(LANES) * c * h * w + self.padding;
        self.ledger.borrow_mut().take(lanes);
        let buffer = Rc::new(TracedBuffer { lanes, ledger: self.ledger.clone() });
        TracedMap { buffer, n, c, h, w }
    }

    /// The memory for writing to a map: a copy if it is shared (copy on write).
    pub(super) fn write(&self, map: &mut TracedMap) {
        if Rc::strong_count(&map.buffer) > 1 {
            *map = self.map(map.shape());
        }
    }

    /// The memory for adding to a gradient.
    fn target(&self, target: &mut Option<TracedMap>, shape: Shape) {
        match target {
            Some(map) => self.write(map),
            None => *target = Some(self.map(shape)),
        }
    }

    /// Raises the scratch memory per thread to that of a conv block, if it needs more.
    pub(super) fn scratch(&self, block: &ConvLayer, inputs: &[TracedMap]) {
        let channels: usize = inputs.iter().map(|i| i.c).sum();
        if !self.ledger.borrow_mut().seen.insert((block.norm.scale, channels)) {
            return;
        }
        let (_, _, h, w) = inputs[0].shape();
        // Maps without images are enough: only their sizes are read.
        let empty: Vec<Activation> =
            inputs.iter().map(|i| Activation::plain(FeatureMap::zeros(0, i.c, h, w))).collect();
        let len = |conv: &Conv| conv.weight.iter().map(|id| self.params.range(*id).len()).sum();
        let most = block.convs.iter().map(len).max().unwrap_or(0);
        // No filter is larger than 5×5.
        let zeros = vec![0.0; most.max(25 * channels)];
        let branches: Vec<ConvBranch<'_>> = block
            .convs
            .iter()
            .map(|conv| {
                let rows = match conv.gather {
                    GatherKind::Pixels => Im2row::Pixels,
                    GatherKind::EverySecond { offset } => Im2row::EverySecond { offset },
                    GatherKind::Patches { k } => Im2row::Patches { k },
                    GatherKind::Depthwise { k, stride, .. } => {
                        Im2row::Depthwise { filter: &zeros[..k * k * channels], k, stride }
                    }
                };
                ConvBranch { rows, weight: &zeros[..len(conv)], outputs: conv.outputs }
            })
            .collect();
        let bytes = ConvBlock { inputs: &empty, relu: block.relu, branches: &branches }.scratch_bytes();
        let mut ledger = self.ledger.borrow_mut();
        ledger.scratch = ledger.scratch.max(bytes);
    }

    /// Number of values in the parameters of a block, without its batch norm.
    pub(super) fn weights(&self, block: &ConvLayer) -> usize {
        let of_conv = |conv: &Conv| -> usize {
            conv.filter().iter().chain(&conv.weight).map(|id| self.params.range(*id).len()).sum()
        };
        block.convs.iter().map(of_conv).sum()
    }

    /// The memory for propagating through a conv block. Each group of images has its own weight gradients until they
    /// are added up.
    pub(super) fn propagate(
        &self,
        block: &ConvLayer,
        inputs: &[TracedMap],
        targets: Option<&mut [Option<TracedMap>]>,
    ) {
        for (target, input) in targets.into_iter().flatten().zip(inputs) {
            self.target(target, input.shape());
        }
        let groups = inputs[0].n.div_ceil(LANES);
        self.ledger.borrow_mut().update_peak((groups + 1) * self.weights(block) * NUMBER);
    }
}

impl TracedMap {
    pub(super) fn shape(&self) -> Shape {
        (self.n, self.c, self.h, self.w)
    }
}

impl Forward for MemoryTracer<'_> {
    type FeatureMap = TracedMap;
    type Activation = TracedMap;
    type BatchStats = ();
    /// Number of values.
    type Vector = usize;
    type Gradients = TracedGradients;

    fn params(&self) -> &Params {
        self.params
    }

    fn plain(&self, map: TracedMap) -> TracedMap {
        map
    }

    fn shape(&self, value: &TracedMap) -> Shape {
        value.shape()
    }

    fn conv_block(&self, block: &ConvLayer, inputs: &[TracedMap], _: Statistics) -> (TracedMap, Option<()>) {
        self.scratch(block, inputs);
        (self.map(block.output(inputs[0].shape())), Some(()))
    }

    fn pool(&self, pool: &Pool, input: &TracedMap) -> TracedMap {
        self.map((input.n, input.c, pool.y.out, pool.x.out))
    }

    fn add(&self, (a, _): Term<'_, Self>, _: Term<'_, Self>) -> TracedMap {
        self.map(a.shape())
    }

    fn concat(&self, values: &[TracedMap]) -> TracedMap {
        let (n, _, h, w) = values[0].shape();
        self.map((n, values.iter().map(|value| value.c).sum(), h, w))
    }

    fn relu_mean(&self, values: &[TracedMap]) -> usize {
        values.iter().map(|value| value.n * value.c).sum()
    }

    fn drop_factors(&self, _: &dyn Noise, _: &str, len: usize, _: f32) -> usize {
        len
    }

    fn classify(&self, classifier: &Classifier, features: &usize) -> usize {
        features / classifier.channels * classifier.classes
    }
}

impl Train for MemoryTracer<'_> {
    type Labels = ();
    type Loss = ();

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[TracedMap],
        _: &TracedMap,
        (): &(),
        _: &TracedMap,
        targets: Option<&mut [Option<TracedMap>]>,
        into: &mut TracedGradients,
    ) {
        self.propagate(block, inputs, targets);
        into.add(self.weights(block) + 2 * block.outputs());
    }

    fn pool_backward(&self, _: &Pool, input: &TracedMap, _: &TracedMap, target: &mut Option<TracedMap>) {
        self.target(target, input.shape());
    }

    fn add_backward(&self, grad: &TracedMap, factors: Option<&usize>, target: &mut Option<TracedMap>) {
        match (&target, factors) {
            (None, None) => *target = Some(grad.clone()),
            _ => self.target(target, grad.shape()),
        }
    }

    fn concat_backward(&self, _: &TracedMap, values: &[TracedMap], targets: &mut [Option<TracedMap>]) {
        targets.iter_mut().zip(values).for_each(|(target, value)| self.target(target, value.shape()));
    }

    fn relu_mean_backward(&self, values: &[TracedMap], _: &usize, targets: &mut [Option<TracedMap>]) {
        targets.iter_mut().zip(values).for_each(|(target, value)| self.target(target, value.shape()));
    }

    fn scale(&self, numbers: &usize, _: &usize) -> usize {
        *numbers
    }

    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &usize,
        _: &usize,
        into: &mut TracedGradients,
    ) -> usize {
        into.add(classifier.channels * classifier.classes);
        *features
    }

    fn cross_entropy(&self, logits: &usize, (): &(), _: usize, _: f32) -> ((), usize) {
        ((), *logits)
    }

    fn gradients(&self) -> TracedGradients {
        TracedGradients { bytes: 0, ledger: self.ledger.clone() }
    }
}
