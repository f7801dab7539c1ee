//! A cell computed in micro-batches, with batch norm over the whole batch.
//!
//! A batch norm needs the statistics of all images before anything behind it can be computed. So the cell is
//! evaluated in several rounds ("micro-batches"), each over all micro-batches in order. Method inference graph:
//!
//! 1. A round computes every value that depends only on known statistics. All other values are *unknown*: they have a
//!    shape, but no data.
//! 2. A conv block whose inputs are known, but not its statistics, adds this micro-batch to its sums.
//! 3. At the end of the round those sums are complete and become statistics. If a block had unknown inputs, another
//!    round follows. The number of rounds is the largest number of batch norms in sequence.
//!
//! The backward pass works in the same way with the two sums that the gradient of a batch norm needs.

mod operations;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

use super::{ConvLayer, MicroBatchBackend, Shape};

/// A map or value of the current micro-batch. It is unknown while it depends on statistics that are not complete.
#[derive(Clone)]
pub(crate) struct Part<T> {
    shape: Shape,
    known: Option<T>,
}

impl<T> Part<T> {
    pub(crate) fn known(shape: Shape, value: T) -> Self {
        Self { shape, known: Some(value) }
    }

    /// # Panics
    /// If it is still unknown.
    pub(crate) fn get(&self) -> &T {
        self.known.as_ref().expect("all statistics were found before")
    }
}

/// A conv block of the cell. Blocks are numbered in the order in which the cell evaluates them.
struct LayerState<G: MicroBatchBackend> {
    block: ConvLayer,
    moments: Option<G::BatchStats>,
    /// The sums of this round, if the block adds to them.
    sums: Option<G::Sums>,
    gradient: Option<G::GradientSums>,
    gradient_is_known: bool,
    total: G::Total,
}

/// A conv block with the statistics that the rounds have found.
pub(crate) struct LayerStats<G: MicroBatchBackend> {
    pub(crate) block: ConvLayer,
    pub(crate) moments: G::BatchStats,
}

/// A backend that wraps a device and shows it one micro-batch at a time.
pub(crate) struct MicroBatches<'a, G: MicroBatchBackend> {
    inner: &'a G,
    /// Number of images of the whole batch.
    n: usize,
    /// The groups of the current micro-batch.
    groups: RefCell<Range<usize>>,
    layers: RefCell<Vec<LayerState<G>>>,
    /// Number of the next conv block to be evaluated.
    at: Cell<usize>,
    /// Whether this round met a block that it could do nothing for, because its input was unknown.
    blocked: Cell<bool>,
    /// Whether gradients of parameters are added up: in the last round only.
    collects: Cell<bool>,
}

impl<'a, G: MicroBatchBackend> MicroBatches<'a, G> {
    /// For a batch of `n` images; `known` are the blocks whose statistics an earlier pass found.
    pub(crate) fn new(inner: &'a G, n: usize, known: Vec<LayerStats<G>>) -> Self {
        let layers = known.into_iter().map(|k| LayerState::new(k.block, Some(k.moments))).collect();
        Self {
            inner,
            n,
            groups: RefCell::new(0..0),
            layers: RefCell::new(layers),
            at: Cell::new(0),
            blocked: Cell::new(false),
            collects: Cell::new(false),
        }
    }

    /// Starts the next micro-batch.
    pub(crate) fn show(&self, groups: Range<usize>) {
        *self.groups.borrow_mut() = groups;
        self.at.set(0);
    }

    /// Ends a round: its sums become statistics. Returns whether another round is needed.
    pub(crate) fn end(&self) -> bool {
        for layer in self.layers.borrow_mut().iter_mut() {
            if let Some(sums) = layer.sums.take() {
                layer.moments = Some(self.inner.moments(&sums));
            }
            layer.gradient_is_known = layer.gradient.is_some();
        }
        self.blocked.replace(false)
    }

    /// The wrapped device.
    pub(crate) fn inner(&self) -> &'a G {
        self.inner
    }

    /// From now on gradients of parameters are added up.
    pub(crate) fn collect(&self) {
        self.collects.set(true);
    }

    /// The statistics that the forward rounds found.
    pub(crate) fn into_known(self) -> Vec<LayerStats<G>> {
        let of_layer = |layer: LayerState<G>| {
            let moments = layer.moments.expect("the micro_batches went on until all statistics were known");
            LayerStats { block: layer.block, moments }
        };
        self.layers.into_inner().into_iter().map(of_layer).collect()
    }

    /// Adds the gradients of the parameters to `into`. The last block comes first, as in a backward pass over the
    /// whole batch.
    pub(crate) fn hand_over(self, into: &mut G::Gradients) {
        for layer in self.layers.into_inner().into_iter().rev() {
            if layer.gradient.is_some() {
                self.inner.collect_total(&layer.block, layer.total, into);
            }
        }
    }

    /// The number of the next conv block, which is new in the first micro-batch of the first round.
    fn next_layer(&self, block: &ConvLayer) -> usize {
        let index = self.at.replace(self.at.get() + 1);
        let mut layers = self.layers.borrow_mut();
        if index == layers.len() {
            layers.push(LayerState::new(block.clone(), None));
        }
        index
    }

    fn layer(&self, index: usize) -> Ref<'_, LayerState<G>> {
        Ref::map(self.layers.borrow(), |layers| &layers[index])
    }

    fn layer_mut(&self, index: usize) -> RefMut<'_, LayerState<G>> {
        RefMut::map(self.layers.borrow_mut(), |layers| &mut layers[index])
    }
}

impl<G: MicroBatchBackend> LayerState<G> {
    fn new(block: ConvLayer, moments: Option<G::BatchStats>) -> Self {
        let (sums, gradient) = (None, None);
        Self { block, moments, sums, gradient, gradient_is_known: false, total: G::Total::default() }
    }
}

impl<G: MicroBatchBackend> MicroBatches<'_, G> {
    /// Whether the sums for a block's gradient are known. If not, adds those of the current groups.
    fn add_or_know(&self, index: usize, out: &G::Activation, grad: &G::FeatureMap) -> bool {
        let mut layer = self.layer_mut(index);
        if layer.gradient_is_known {
            return true;
        }
        let LayerState { block, moments, gradient, .. } = &mut *layer;
        let sums = gradient.get_or_insert_with(|| self.inner.no_gradient_sums(block));
        let moments = moments.as_ref().expect("the way forward found all statistics");
        self.inner.add_gradient(out, moments, grad, sums);
        false
    }

    fn propagate(
        &self,
        index: usize,
        block: &ConvLayer,
        inputs: &[Part<G::Activation>],
        out: &Part<G::Activation>,
        grad: &G::FeatureMap,
        targets: Option<&mut [Option<G::FeatureMap>]>,
    ) {
        let inputs: Vec<G::Activation> = inputs.iter().map(|input| input.get().clone()).collect();
        // Earlier rounds drop the gradients of parameters.
        let mut total = if self.collects.get() {
            std::mem::take(&mut self.layer_mut(index).total)
        } else {
            G::Total::default()
        };
        {
            let layer = self.layer(index);
            let moments = layer.moments.as_ref().expect("the way forward found all statistics");
            let sums = layer.gradient.as_ref().expect("known means that they are there");
            self.inner.conv_block_backward_given(
                block,
                &inputs,
                out.get(),
                moments,
                sums,
                grad,
                targets,
                &mut total,
            );
        }
        if self.collects.get() {
            self.layer_mut(index).total = total;
        }
    }
}
