//! The memory that micro-batches would take.

use std::ops::Range;

use enas_kernels::LANES;

use super::{MemoryTracer, TracedGradients, TracedMap};
use crate::backend::{ConvLayer, MicroBatchBackend};

impl MicroBatchBackend for MemoryTracer<'_> {
    type Sums = ();
    type GradientSums = ();
    /// In bytes.
    type Total = usize;

    fn groups(&self, value: &TracedMap, groups: Range<usize>) -> TracedMap {
        let n = (groups.end * LANES).min(value.n) - groups.start * LANES;
        TracedMap { n, ..value.clone() }
    }

    fn map_groups(&self, map: &TracedMap, groups: Range<usize>) -> TracedMap {
        self.groups(map, groups)
    }

    fn images(&self, _: &usize, images: Range<usize>) -> usize {
        images.len()
    }

    fn blank(&self, part: &TracedMap, n: usize) -> TracedMap {
        self.map((n, part.c, part.h, part.w))
    }

    fn put(&self, whole: &mut TracedMap, _: usize, _: &TracedMap) {
        self.write(whole);
    }

    fn map_of(&self, value: &TracedMap) -> TracedMap {
        value.clone()
    }

    fn with_map(&self, _: &TracedMap, map: TracedMap) -> TracedMap {
        map
    }

    fn no_sums(&self, _: &ConvLayer) {}

    fn add_batch_stats(&self, block: &ConvLayer, inputs: &[TracedMap], (): &mut ()) {
        self.scratch(block, inputs);
        drop(self.map(block.output(inputs[0].shape())));
    }

    fn moments(&self, (): &()) {}

    fn conv_block_given(&self, block: &ConvLayer, inputs: &[TracedMap], (): &()) -> TracedMap {
        self.scratch(block, inputs);
        self.map(block.output(inputs[0].shape()))
    }

    fn no_gradient_sums(&self, _: &ConvLayer) {}

    fn add_gradient(&self, _: &TracedMap, (): &(), _: &TracedMap, (): &mut ()) {}

    fn conv_block_backward_given(
        &self,
        block: &ConvLayer,
        inputs: &[TracedMap],
        _: &TracedMap,
        (): &(),
        (): &(),
        _: &TracedMap,
        targets: Option<&mut [Option<TracedMap>]>,
        total: &mut usize,
    ) {
        self.propagate(block, inputs, targets);
        *total = self.weights(block) + 2 * block.outputs();
    }

    fn collect_total(&self, _: &ConvLayer, total: usize, into: &mut TracedGradients) {
        into.add(total);
    }
}
