//! A cell computed in micro-batches, with batch norm over the whole batch.
//!
//! A batch norm needs the statistics of all images before anything behind it can be computed. So the cell is
//! evaluated in several passes, each over all micro-batches in order. Method outline:
//!
//! 1. A pass computes every value that depends only on complete statistics. All other values are *deferred*: they have
//!    a shape, but no data.
//! 2. A conv block whose inputs are known, but not its statistics, adds this micro-batch to its sums.
//! 3. At the end of the pass those sums are complete and become statistics. If a block had deferred inputs, another
//!    pass follows. The number of passes is the largest number of batch norms in sequence.
//!
//! The backward direction works in the same way with the two sums that the gradient of a batch norm needs.

mod device;
mod operations;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

pub(crate) use self::device::MicroBatchBackend;
use crate::layer::{ConvLayer, Shape};

/// A map or value of the current micro-batch. Its data are unknown while they depend on statistics that are not
/// complete.
#[derive(Clone)]
pub(crate) struct Deferred<T> {
    shape: Shape,
    known: Option<T>,
}

impl<T> Deferred<T> {
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
    batch_stats: Option<G::BatchStats>,
    /// The sums of this pass, if the block adds to them.
    sums: Option<G::Sums>,
    gradient_sums: Option<G::GradientSums>,
    gradient_is_complete: bool,
    gradients: G::ParamGradients,
}

/// A conv block with the statistics of the whole batch.
pub(crate) struct LayerStats<G: MicroBatchBackend> {
    pub(crate) block: ConvLayer,
    pub(crate) batch_stats: G::BatchStats,
}

/// A backend that wraps a device and computes one micro-batch at a time.
pub(crate) struct MicroBatches<'a, G: MicroBatchBackend> {
    device: &'a G,
    /// Number of images of the whole batch.
    n: usize,
    /// The groups of the current micro-batch.
    groups: RefCell<Range<usize>>,
    layers: RefCell<Vec<LayerState<G>>>,
    /// Number of the next conv block to be evaluated.
    at: Cell<usize>,
    /// Whether this pass met a block that it could do nothing for, because its input was unknown.
    blocked: Cell<bool>,
    /// Whether gradients of parameters are added up: in the last pass only.
    accumulates: Cell<bool>,
}

impl<'a, G: MicroBatchBackend> MicroBatches<'a, G> {
    /// For a batch of `n` images; `found` are the statistics of its blocks, if a forward pass came before.
    pub(crate) fn new(device: &'a G, n: usize, found: Vec<LayerStats<G>>) -> Self {
        let layers = found.into_iter().map(|of| LayerState::new(of.block, Some(of.batch_stats))).collect();
        Self {
            device,
            n,
            groups: RefCell::new(0..0),
            layers: RefCell::new(layers),
            at: Cell::new(0),
            blocked: Cell::new(false),
            accumulates: Cell::new(false),
        }
    }

    /// Starts the next micro-batch.
    pub(crate) fn select(&self, groups: Range<usize>) {
        *self.groups.borrow_mut() = groups;
        self.at.set(0);
    }

    /// Ends a pass: its sums become statistics. Returns whether another pass is needed.
    pub(crate) fn finish_pass(&self) -> bool {
        for layer in self.layers.borrow_mut().iter_mut() {
            if let Some(sums) = layer.sums.take() {
                layer.batch_stats = Some(self.device.finish_stats(&sums));
            }
            layer.gradient_is_complete = layer.gradient_sums.is_some();
        }
        self.blocked.replace(false)
    }

    /// The wrapped device.
    pub(crate) fn device(&self) -> &'a G {
        self.device
    }

    /// Number of images of the whole batch.
    pub(crate) fn batch_size(&self) -> usize {
        self.n
    }

    /// From now on gradients of parameters are added up.
    pub(crate) fn accumulate_gradients(&self) {
        self.accumulates.set(true);
    }

    /// The statistics that the forward passes found.
    pub(crate) fn into_layer_stats(self) -> Vec<LayerStats<G>> {
        let of_layer = |layer: LayerState<G>| {
            let batch_stats = layer.batch_stats.expect("the passes went on until all statistics were known");
            LayerStats { block: layer.block, batch_stats }
        };
        self.layers.into_inner().into_iter().map(of_layer).collect()
    }

    /// Adds the gradients of the parameters to `into`. The last block comes first, as in a backward pass over the
    /// whole batch.
    pub(crate) fn collect_gradients(self, into: &mut G::Gradients) {
        for layer in self.layers.into_inner().into_iter().rev() {
            if layer.gradient_sums.is_some() {
                self.device.collect_param_gradients(&layer.block, layer.gradients, into);
            }
        }
    }

    /// The number of the next conv block, which is new in the first micro-batch of the first pass.
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
    fn new(block: ConvLayer, batch_stats: Option<G::BatchStats>) -> Self {
        Self {
            block,
            batch_stats,
            sums: None,
            gradient_sums: None,
            gradient_is_complete: false,
            gradients: G::ParamGradients::default(),
        }
    }
}

impl<G: MicroBatchBackend> MicroBatches<'_, G> {
    /// Whether the sums for a block's gradient are complete. If not, adds those of the current groups.
    fn gradient_sums_are_complete(&self, index: usize, out: &G::Activation, grad: &G::FeatureMap) -> bool {
        let mut layer = self.layer_mut(index);
        if layer.gradient_is_complete {
            return true;
        }
        let LayerState { block, batch_stats, gradient_sums, .. } = &mut *layer;
        let sums = gradient_sums.get_or_insert_with(|| self.device.empty_gradient_sums(block));
        let batch_stats = batch_stats.as_ref().expect("the way forward found all statistics");
        self.device.add_gradient_sums(out, batch_stats, grad, sums);
        false
    }

    fn propagate(
        &self,
        index: usize,
        block: &ConvLayer,
        inputs: &[Deferred<G::Activation>],
        out: &Deferred<G::Activation>,
        grad: &G::FeatureMap,
        targets: Option<&mut [Option<G::FeatureMap>]>,
    ) {
        let inputs: Vec<G::Activation> = inputs.iter().map(|input| input.get().clone()).collect();
        // Earlier passes drop the gradients of parameters.
        let mut gradients = if self.accumulates.get() {
            std::mem::take(&mut self.layer_mut(index).gradients)
        } else {
            G::ParamGradients::default()
        };
        {
            let layer = self.layer(index);
            let batch_stats = layer.batch_stats.as_ref().expect("the way forward found all statistics");
            let sums = layer.gradient_sums.as_ref().expect("known means that they are there");
            self.device.conv_block_backward_with_sums(
                block,
                &inputs,
                out.get(),
                batch_stats,
                sums,
                grad,
                targets,
                &mut gradients,
            );
        }
        if self.accumulates.get() {
            self.layer_mut(index).gradients = gradients;
        }
    }
}
