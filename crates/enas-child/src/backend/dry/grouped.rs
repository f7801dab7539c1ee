//! The memory that micro-batches would take.

use std::ops::Range;

use enas_kernels::LANES;

use super::{Dry, DryGradients, DryMap};
use crate::backend::{ConvBlock, Grouped};

impl Grouped for Dry<'_> {
    type Sums = ();
    type GradientSums = ();
    /// In bytes.
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
