//! What a device must be able to do with some groups of a batch's images for [`Waves`](super::Waves).

use std::ops::Range;

use enas_kernels::{GradientSums, Map, MomentSums, Moments, UnitGradient, Value};

use super::{Backend, ConvBlock, Cpu};
use crate::params::Gradients;

/// A device that can evaluate units some groups of sixteen images at a time, in their order, with the results of the
/// whole batch to the bit.
pub(crate) trait Grouped: Backend {
    /// Statistics of the groups so far.
    type Sums;
    /// Sums over the groups so far that the gradient of a batch norm needs.
    type GradientSums;
    /// Gradients of a unit's parameters from the groups so far.
    type Total: Default;

    /// Some groups of a value, in the same memory.
    fn groups(&self, value: &Self::Value, groups: Range<usize>) -> Self::Value;
    /// Some groups of a map, in the same memory.
    fn map_groups(&self, map: &Self::Map, groups: Range<usize>) -> Self::Map;
    /// Some of the numbers per image, `images` of them from the first.
    fn images(&self, vector: &Self::Vector, images: Range<usize>) -> Self::Vector;
    /// A map of `n` images like `part`, to be filled by [`put`](Self::put).
    fn blank(&self, part: &Self::Map, n: usize) -> Self::Map;
    /// Writes a part into a whole, from its group `first` on.
    fn put(&self, whole: &mut Self::Map, first: usize, part: &Self::Map);
    /// The raw numbers of a value.
    fn map_of(&self, value: &Self::Value) -> Self::Map;
    /// Other raw numbers under the pending normalisation of `value`.
    fn with_map(&self, value: &Self::Value, map: Self::Map) -> Self::Value;

    /// No statistics yet.
    fn no_sums(&self, block: &ConvBlock) -> Self::Sums;
    /// Adds the statistics of the groups at hand.
    fn add_moments(&self, block: &ConvBlock, inputs: &[Self::Value], sums: &mut Self::Sums);
    /// The statistics of all groups.
    fn moments(&self, sums: &Self::Sums) -> Self::Moments;
    /// The output of a unit, given the statistics of all groups.
    fn unit_given(&self, block: &ConvBlock, inputs: &[Self::Value], moments: &Self::Moments) -> Self::Value;

    /// No sums yet.
    fn no_gradient_sums(&self, block: &ConvBlock) -> Self::GradientSums;
    /// Adds the sums of the groups at hand.
    fn add_gradient(
        &self,
        out: &Self::Value,
        moments: &Self::Moments,
        grad: &Self::Map,
        sums: &mut Self::GradientSums,
    );
    /// [`Backend::unit_backward`] for the groups at hand, given the statistics and sums of all groups.
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
    /// Hands the parameters' gradients to their owners.
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
