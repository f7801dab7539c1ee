//! The inputs of a gather, and the maps for their gradients.

use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};

/// The inputs that rows are gathered from, with their common size.
pub(super) struct GatherInputs<'a> {
    pub(super) inputs: &'a [GpuActivation],
    /// Whether a ReLU is applied to the inputs.
    pub(super) relu: bool,
    pub(super) n: usize,
    /// Number of channels of all inputs.
    pub(super) channels: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

impl<'a> GatherInputs<'a> {
    pub(super) fn new(inputs: &'a [GpuActivation], relu: bool) -> Self {
        let (n, _, h, w) = inputs[0].map.shape();
        for input in inputs {
            let (ni, _, hi, wi) = input.map.shape();
            assert_eq!((ni, hi, wi), (n, h, w), "inputs of one product have one size");
        }
        Self { inputs, relu, n, channels: inputs.iter().map(|input| input.map.c()).sum(), h, w }
    }

    /// Each input, and the number of channels before it.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'a GpuActivation, usize)> {
        self.inputs.iter().scan(0, |channels, input| {
            let first = *channels;
            *channels += input.map.c();
            Some((input, first))
        })
    }

    /// Each input, the number of channels before it, the map for its gradient, and whether that is added to.
    pub(super) fn targets<'t>(
        &self,
        targets: &'t mut [Option<GpuFeatureMap>],
    ) -> impl Iterator<Item = (&'a GpuActivation, usize, &'t mut GpuFeatureMap, bool)> {
        assert_eq!(targets.len(), self.inputs.len(), "one gradient per input");
        self.parts().zip(targets).map(|((input, first), target)| {
            let accumulate = target.is_some();
            let shape = input.map.shape();
            let target = target.get_or_insert_with(|| input.map.another(shape));
            assert_eq!(target.shape(), shape, "a gradient has the shape of its input");
            target.make_unique();
            (input, first, target, accumulate)
        })
    }
}
