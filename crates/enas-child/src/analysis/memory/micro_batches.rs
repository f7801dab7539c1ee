//! The memory that micro-batches would take.

use std::ops::Range;

use enas_kernels::LANES;

use super::tracer::{MemoryTracer, TracedGradients, TracedMap};
use crate::backend::MicroBatchBackend;
use crate::layer::ConvLayer;

impl MicroBatchBackend for MemoryTracer<'_> {
    type Sums = ();
    type GradientSums = ();
    /// In bytes.
    type ParamGradients = usize;

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

    fn allocate_batch(&self, like: &TracedMap, n: usize) -> TracedMap {
        self.map((n, like.c, like.h, like.w))
    }

    fn write_groups(&self, batch: &mut TracedMap, _: usize, _: &TracedMap) {
        self.write(batch);
    }

    fn raw_map(&self, value: &TracedMap) -> TracedMap {
        value.clone()
    }

    fn with_map(&self, _: &TracedMap, map: TracedMap) -> TracedMap {
        map
    }

    fn empty_sums(&self, _: &ConvLayer) {}

    fn add_stats_sums(&self, block: &ConvLayer, inputs: &[TracedMap], (): &mut ()) {
        self.scratch(block, inputs);
        drop(self.map(block.output(inputs[0].shape())));
    }

    fn finish_stats(&self, (): &()) {}

    fn conv_block_with_stats(&self, block: &ConvLayer, inputs: &[TracedMap], (): &()) -> TracedMap {
        self.scratch(block, inputs);
        self.map(block.output(inputs[0].shape()))
    }

    fn empty_gradient_sums(&self, _: &ConvLayer) {}

    fn add_gradient_sums(&self, _: &TracedMap, (): &(), _: &TracedMap, (): &mut ()) {}

    fn conv_block_backward_with_sums(
        &self,
        block: &ConvLayer,
        inputs: &[TracedMap],
        _: &TracedMap,
        (): &(),
        (): &(),
        _: &TracedMap,
        targets: Option<&mut [Option<TracedMap>]>,
        gradients: &mut usize,
    ) {
        self.propagate(block, inputs, targets);
        *gradients = self.weights(block) + 2 * block.outputs();
    }

    fn collect_param_gradients(&self, _: &ConvLayer, gradients: usize, into: &mut TracedGradients) {
        into.add(gradients);
    }
}
