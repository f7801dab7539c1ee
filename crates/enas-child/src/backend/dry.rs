//! A device that computes nothing and counts the memory that the CPU would take.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use enas_kernels::{Branch, BufferLedger, LANES, Map, Pool, Rows, Unit, Value};

use super::{Backend, Conv, ConvBlock, Gather, Grouped, Shape, Statistics, Term};
use crate::head::Classifier;
use crate::noise::Noise;
use crate::params::{ParamId, Params};

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// What the memory of a network at work comes to, moment by moment. Maps are taken from the pool of buffers and go back
/// to it as on the CPU; the rest is added up.
#[derive(Debug)]
pub(crate) struct Ledger {
    buffers: BufferLedger,
    /// Bytes beside buffers that are held at the moment.
    beside: usize,
    /// The most that one thread needed to work.
    scratch: usize,
    /// Units whose needs are known, by a parameter of theirs and the channels they read.
    seen: BTreeSet<(ParamId, usize)>,
    threads: usize,
    peak: usize,
}

impl Ledger {
    /// Nothing taken yet; `limit` is that of the pool of buffers in bytes.
    pub(crate) fn new(limit: usize, threads: usize) -> Self {
        Self {
            buffers: BufferLedger::new(limit),
            beside: 0,
            scratch: 0,
            seen: BTreeSet::new(),
            threads,
            peak: 0,
        }
    }

    /// Notes that `bytes` more are held.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.beside += bytes;
        self.look(0);
    }

    /// Notes that `bytes` are held no longer.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.beside -= bytes;
    }

    /// The most that was held at one moment.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Compares this moment, at which an operation takes `more` bytes for itself, with the worst so far.
    fn look(&mut self, more: usize) {
        let scratch = self.scratch * self.threads;
        self.peak = self.peak.max(self.buffers.held_bytes() + self.beside + scratch + more);
    }

    fn take(&mut self, lanes: usize) {
        self.buffers.take(lanes);
        self.look(0);
    }
}

/// The CPU without its arithmetic.
pub(crate) struct Dry<'a> {
    params: &'a Params,
    ledger: Rc<RefCell<Ledger>>,
    /// Lanes more than a map has, so that no other user of the pool takes its buffers for their own.
    apart: usize,
}

/// A map without numbers.
#[derive(Clone)]
pub(crate) struct DryMap {
    buffer: Rc<DryBuffer>,
    n: usize,
    c: usize,
    h: usize,
    w: usize,
}

struct DryBuffer {
    lanes: usize,
    ledger: Rc<RefCell<Ledger>>,
}

impl Drop for DryBuffer {
    fn drop(&mut self) {
        self.ledger.borrow_mut().buffers.put(self.lanes);
    }
}

/// The gradients of one pass: the bytes they take.
pub(crate) struct DryGradients {
    bytes: usize,
    ledger: Rc<RefCell<Ledger>>,
}

impl DryGradients {
    fn add(&mut self, numbers: usize) {
        self.bytes += numbers * NUMBER;
        self.ledger.borrow_mut().hold(numbers * NUMBER);
    }
}

impl Drop for DryGradients {
    fn drop(&mut self) {
        self.ledger.borrow_mut().release(self.bytes);
    }
}

impl<'a> Dry<'a> {
    /// For a network with parameters of these sizes.
    pub(crate) fn new(params: &'a Params, ledger: &Rc<RefCell<Ledger>>) -> Self {
        Self { params, ledger: ledger.clone(), apart: 0 }
    }

    /// The same with buffers that nobody else uses.
    pub(crate) fn apart(self) -> Self {
        Self { apart: 1, ..self }
    }

    /// A map from outside.
    pub(crate) fn map(&self, (n, c, h, w): Shape) -> DryMap {
        let lanes = n.div_ceil(LANES) * c * h * w + self.apart;
        self.ledger.borrow_mut().take(lanes);
        let buffer = Rc::new(DryBuffer { lanes, ledger: self.ledger.clone() });
        DryMap { buffer, n, c, h, w }
    }

    /// What writing to a map takes: a copy where others read it.
    fn write(&self, map: &mut DryMap) {
        if Rc::strong_count(&map.buffer) > 1 {
            *map = self.map(map.shape());
        }
    }

    /// What adding to a gradient takes.
    fn target(&self, target: &mut Option<DryMap>, shape: Shape) {
        match target {
            Some(map) => self.write(map),
            None => *target = Some(self.map(shape)),
        }
    }

    /// Notes what a unit takes from every thread.
    fn scratch(&self, block: &ConvBlock, inputs: &[DryMap]) {
        let channels: usize = inputs.iter().map(|i| i.c).sum();
        if !self.ledger.borrow_mut().seen.insert((block.norm.scale, channels)) {
            return;
        }
        let (_, _, h, w) = inputs[0].shape();
        // Maps without images have sizes, which is all that is asked for.
        let empty: Vec<Value> = inputs.iter().map(|i| Value::plain(Map::zeros(0, i.c, h, w))).collect();
        let len = |conv: &Conv| conv.weight.iter().map(|id| self.params.range(*id).len()).sum();
        let most = block.convs.iter().map(len).max().unwrap_or(0);
        // Five by five taps are the most that a filter has.
        let zeros = vec![0.0; most.max(25 * channels)];
        let branches: Vec<Branch<'_>> = block
            .convs
            .iter()
            .map(|conv| {
                let rows = match conv.gather {
                    Gather::Pixels => Rows::Pixels,
                    Gather::EverySecond { offset } => Rows::EverySecond { offset },
                    Gather::Patches { k } => Rows::Patches { k },
                    Gather::Depthwise { k, stride, .. } => {
                        Rows::Depthwise { filter: &zeros[..k * k * channels], k, stride }
                    }
                };
                Branch { rows, weight: &zeros[..len(conv)], outputs: conv.outputs }
            })
            .collect();
        let bytes = Unit { inputs: &empty, relu: block.relu, branches: &branches }.scratch_bytes();
        let mut ledger = self.ledger.borrow_mut();
        ledger.scratch = ledger.scratch.max(bytes);
    }

    /// Numbers in the parameters of a block, without its batch norm.
    fn weights(&self, block: &ConvBlock) -> usize {
        let of_conv = |conv: &Conv| {
            let filter = match conv.gather {
                Gather::Depthwise { filter, .. } => self.params.range(filter).len(),
                _ => 0,
            };
            filter + conv.weight.iter().map(|id| self.params.range(*id).len()).sum::<usize>()
        };
        block.convs.iter().map(of_conv).sum()
    }

    /// What propagating through a unit takes. Each group of images has gradients of its own until they are added up.
    fn propagate(&self, block: &ConvBlock, inputs: &[DryMap], targets: Option<&mut [Option<DryMap>]>) {
        for (target, input) in targets.into_iter().flatten().zip(inputs) {
            self.target(target, input.shape());
        }
        let groups = inputs[0].n.div_ceil(LANES);
        self.ledger.borrow_mut().look((groups + 1) * self.weights(block) * NUMBER);
    }
}

impl DryMap {
    fn shape(&self) -> Shape {
        (self.n, self.c, self.h, self.w)
    }
}

impl Backend for Dry<'_> {
    type Map = DryMap;
    type Value = DryMap;
    type Moments = ();
    /// How many.
    type Vector = usize;
    type Labels = ();
    type Gradients = DryGradients;
    type Loss = ();

    fn params(&self) -> &Params {
        self.params
    }

    fn plain(&self, map: DryMap) -> DryMap {
        map
    }

    fn shape(&self, value: &DryMap) -> Shape {
        value.shape()
    }

    fn unit(&self, block: &ConvBlock, inputs: &[DryMap], _: Statistics) -> (DryMap, Option<()>) {
        self.scratch(block, inputs);
        (self.map(block.output(inputs[0].shape())), Some(()))
    }

    fn unit_backward(
        &self,
        block: &ConvBlock,
        inputs: &[DryMap],
        _: &DryMap,
        (): &(),
        _: &DryMap,
        targets: Option<&mut [Option<DryMap>]>,
        into: &mut DryGradients,
    ) {
        self.propagate(block, inputs, targets);
        into.add(self.weights(block) + 2 * block.outputs());
    }

    fn pool(&self, pool: &Pool, input: &DryMap) -> DryMap {
        self.map((input.n, input.c, pool.y.out, pool.x.out))
    }

    fn pool_backward(&self, _: &Pool, input: &DryMap, _: &DryMap, target: &mut Option<DryMap>) {
        self.target(target, input.shape());
    }

    fn add(&self, (a, _): Term<'_, Self>, _: Term<'_, Self>) -> DryMap {
        self.map(a.shape())
    }

    fn add_backward(&self, grad: &DryMap, factors: Option<&usize>, target: &mut Option<DryMap>) {
        match (&target, factors) {
            (None, None) => *target = Some(grad.clone()),
            _ => self.target(target, grad.shape()),
        }
    }

    fn concat(&self, values: &[DryMap]) -> DryMap {
        let (n, _, h, w) = values[0].shape();
        self.map((n, values.iter().map(|value| value.c).sum(), h, w))
    }

    fn concat_backward(&self, _: &DryMap, values: &[DryMap], targets: &mut [Option<DryMap>]) {
        targets.iter_mut().zip(values).for_each(|(target, value)| self.target(target, value.shape()));
    }

    fn relu_mean(&self, values: &[DryMap]) -> usize {
        values.iter().map(|value| value.n * value.c).sum()
    }

    fn relu_mean_backward(&self, values: &[DryMap], _: &usize, targets: &mut [Option<DryMap>]) {
        targets.iter_mut().zip(values).for_each(|(target, value)| self.target(target, value.shape()));
    }

    fn drop_factors(&self, _: &dyn Noise, _: &str, len: usize, _: f32) -> usize {
        len
    }

    fn scale(&self, numbers: &usize, _: &usize) -> usize {
        *numbers
    }

    fn classify(&self, classifier: &Classifier, features: &usize) -> usize {
        features / classifier.channels * classifier.classes
    }

    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &usize,
        _: &usize,
        into: &mut DryGradients,
    ) -> usize {
        into.add(classifier.channels * classifier.classes);
        *features
    }

    fn cross_entropy(&self, logits: &usize, (): &(), _: usize, _: f32) -> ((), usize) {
        ((), *logits)
    }

    fn gradients(&self) -> DryGradients {
        DryGradients { bytes: 0, ledger: self.ledger.clone() }
    }
}

impl Grouped for Dry<'_> {
    type Sums = ();
    type GradientSums = ();
    /// Bytes.
    type Total = usize;

    fn groups(&self, value: &DryMap, groups: Range<usize>) -> DryMap {
        let n = (groups.end * LANES).min(value.n) - groups.start * LANES;
        DryMap { n, ..value.clone() }
    }

    fn map_groups(&self, map: &DryMap, groups: Range<usize>) -> DryMap {
        self.groups(map, groups)
    }

    fn images(&self, _: &usize, images: Range<usize>) -> usize {
        images.len()
    }

    fn blank(&self, part: &DryMap, n: usize) -> DryMap {
        self.map((n, part.c, part.h, part.w))
    }

    fn put(&self, whole: &mut DryMap, _: usize, _: &DryMap) {
        self.write(whole);
    }

    fn map_of(&self, value: &DryMap) -> DryMap {
        value.clone()
    }

    fn with_map(&self, _: &DryMap, map: DryMap) -> DryMap {
        map
    }

    fn no_sums(&self, _: &ConvBlock) {}

    fn add_moments(&self, block: &ConvBlock, inputs: &[DryMap], (): &mut ()) {
        self.scratch(block, inputs);
        drop(self.map(block.output(inputs[0].shape())));
    }

    fn moments(&self, (): &()) {}

    fn unit_given(&self, block: &ConvBlock, inputs: &[DryMap], (): &()) -> DryMap {
        self.scratch(block, inputs);
        self.map(block.output(inputs[0].shape()))
    }

    fn no_gradient_sums(&self, _: &ConvBlock) {}

    fn add_gradient(&self, _: &DryMap, (): &(), _: &DryMap, (): &mut ()) {}

    fn unit_backward_given(
        &self,
        block: &ConvBlock,
        inputs: &[DryMap],
        _: &DryMap,
        (): &(),
        (): &(),
        _: &DryMap,
        targets: Option<&mut [Option<DryMap>]>,
        total: &mut usize,
    ) {
        self.propagate(block, inputs, targets);
        *total = self.weights(block) + 2 * block.outputs();
    }

    fn collect_total(&self, _: &ConvBlock, total: usize, into: &mut DryGradients) {
        into.add(total);
    }
}
