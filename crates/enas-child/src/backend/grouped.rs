//! What a device must provide to work on micro-batches for [`Waves`](super::Waves).

use std::ops::Range;

use enas_kernels::{GradientSums, Map, MomentSums, Moments, UnitGradient, Value};

use super::{Backend, ConvBlock, Cpu};
use crate::params::Gradients;

/// A device that can evaluate conv blocks on some groups of sixteen images at a time, in order. The results equal
/// those of the whole batch bit for bit.
pub(crate) trait Grouped: Backend {
    /// Sums for the batch statistics, over the groups so far.
    type Sums;
    /// The two sums of the batch-norm gradient, over the groups so far.
    type GradientSums;
    /// Gradients of a conv block's parameters, over the groups so far.
    type Total: Default;

    /// The given groups of a value, in the same memory.
    fn groups(&self, value: &Self::Value, groups: Range<usize>) -> Self::Value;
    /// The given groups of a feature map, in the same memory.
    fn map_groups(&self, map: &Self::Map, groups: Range<usize>) -> Self::Map;
    /// The entries of `vector` (one per image) for the given images.
    fn images(&self, vector: &Self::Vector, images: Range<usize>) -> Self::Vector;
    /// A map of `n` images with the channels and size of `part`, to be filled by [`put`](Self::put).
    fn blank(&self, part: &Self::Map, n: usize) -> Self::Map;
    /// Copies a part into a whole, from its group `first` on.
    fn put(&self, whole: &mut Self::Map, first: usize, part: &Self::Map);
    /// The feature map of a value, without its pending normalisation.
    fn map_of(&self, value: &Self::Value) -> Self::Map;
    /// The feature map `map` with the pending normalisation of `value`.
    fn with_map(&self, value: &Self::Value, map: Self::Map) -> Self::Value;

    /// Sums with no group added.
    fn no_sums(&self, block: &ConvBlock) -> Self::Sums;
    /// Adds the sums of the current groups, without keeping the output of the block.
    fn add_moments(&self, block: &ConvBlock, inputs: &[Self::Value], sums: &mut Self::Sums);
    /// The batch statistics, once all groups are added.
    fn moments(&self, sums: &Self::Sums) -> Self::Moments;
    /// The output of a conv block, given the statistics of the whole batch.
    fn unit_given(&self, block: &ConvBlock, inputs: &[Self::Value], moments: &Self::Moments) -> Self::Value;

    /// Gradient sums with no group added.
    fn no_gradient_sums(&self, block: &ConvBlock) -> Self::GradientSums;
    /// Adds the gradient sums of the current groups.
    fn add_gradient(
        &self,
        out: &Self::Value,
        moments: &Self::Moments,
        grad: &Self::Map,
        sums: &mut Self::GradientSums,
    );
    /// [`Backend::unit_backward`] for the current groups, given the statistics and gradient sums of the whole batch.
    /// Adds the gradients of parameters to `total`.
    #[expect(clippy::too_many_arguments, reason = "what unit_backward takes, and what joins the parts")]
    fn unit_backward_given(
        &self,
        block: &ConvBlock,
        inputs: &[Self::Value],
        out: &Self::Value,
        moments: &Self::Moments,
        sums: &Self::GradientSums,
        grad: &Self::Map,
        targets: Option<&mut [Option<Self::Map>]>,
        total: &mut Self::Total,
    );
    /// Adds the parameters' gradients to `into`.
    fn collect_total(&self, block: &ConvBlock, total: Self::Total, into: &mut Self::Gradients);
}

impl Grouped for Cpu<'_> {
    type Sums = MomentSums;
    type GradientSums = GradientSums;
    type Total = UnitGradient;

    fn groups(&self, value: &Value, groups: Range<usize>) -> Value {
        Value { map: value.map.groups(groups), affine: value.affine.clone() }
    }

    fn map_groups(&self, map: &Map, groups: Range<usize>) -> Map {
        map.groups(groups)
    }

    fn images(&self, vector: &Vec<f32>, images: Range<usize>) -> Vec<f32> {
        vector[images].to_vec()
    }

    fn blank(&self, part: &Map, n: usize) -> Map {
        Map::blank(n, part.c(), part.h(), part.w())
    }

    fn put(&self, whole: &mut Map, first: usize, part: &Map) {
        whole.put_groups(first, part);
    }

    fn map_of(&self, value: &Value) -> Map {
        value.map.clone()
    }

    fn with_map(&self, value: &Value, map: Map) -> Value {
        Value { map, affine: value.affine.clone() }
    }

    fn no_sums(&self, block: &ConvBlock) -> MomentSums {
        MomentSums::new(block.outputs())
    }

    fn add_moments(&self, block: &ConvBlock, inputs: &[Value], sums: &mut MomentSums) {
        self.with_unit(block, inputs, |unit| unit.forward_part(sums));
    }

    fn moments(&self, sums: &MomentSums) -> Moments {
        sums.finish()
    }

    fn unit_given(&self, block: &ConvBlock, inputs: &[Value], moments: &Moments) -> Value {
        let (map, _) = self.with_unit(block, inputs, |unit| unit.forward(false));
        let (scale, offset) = (self.weights.get(block.norm.scale), self.weights.get(block.norm.offset));
        Value { map, affine: Some(moments.affine(scale, offset).into()) }
    }

    fn no_gradient_sums(&self, block: &ConvBlock) -> GradientSums {
        GradientSums::new(block.outputs())
    }

    fn add_gradient(&self, out: &Value, moments: &Moments, grad: &Map, sums: &mut GradientSums) {
        sums.add(&out.map, moments, grad);
    }

    fn unit_backward_given(
        &self,
        block: &ConvBlock,
        inputs: &[Value],
        out: &Value,
        moments: &Moments,
        sums: &GradientSums,
        grad: &Map,
        targets: Option<&mut [Option<Map>]>,
        total: &mut UnitGradient,
    ) {
        let gamma = self.weights.get(block.norm.scale);
        self.with_unit(block, inputs, |unit| {
            unit.backward_part(&out.map, moments, gamma, grad, sums, targets, total);
        });
    }

    fn collect_total(&self, block: &ConvBlock, total: UnitGradient, into: &mut Gradients) {
        self.collect(&block.convs, block.norm, total, into);
    }
}
