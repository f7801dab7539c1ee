//! What a device must provide to work on micro-batches for [`MicroBatches`](super::MicroBatches).

use std::ops::Range;

use enas_kernels::{Activation, BatchStats, BatchStatsSums, ConvBlockGradient, FeatureMap, GradientSums};

use crate::backend::{Cpu, Train};
use crate::layer::ConvLayer;
use crate::params::Gradients;

/// A device that can evaluate conv blocks on some groups of sixteen images at a time, in order. The results equal
/// those of the whole batch bit for bit.
pub(crate) trait MicroBatchBackend: Train {
    /// Sums for the batch statistics, over the groups so far.
    type Sums;
    /// The two sums of the batch-norm gradient, over the groups so far.
    type GradientSums;
    /// Gradients of a conv block's parameters, over the groups so far.
    type ParamGradients: Default;

    /// The given groups of a value, in the same memory.
    fn groups(&self, value: &Self::Activation, groups: Range<usize>) -> Self::Activation;
    /// The given groups of a feature map, in the same memory.
    fn map_groups(&self, map: &Self::FeatureMap, groups: Range<usize>) -> Self::FeatureMap;
    /// The entries of `vector` (one per image) for the given images.
    fn images(&self, vector: &Self::Vector, images: Range<usize>) -> Self::Vector;
    /// A map of `n` images with the channels and size of `like`, to be filled by [`write_groups`](Self::write_groups).
    fn allocate_batch(&self, like: &Self::FeatureMap, n: usize) -> Self::FeatureMap;
    /// Copies the groups of a micro-batch into a map of the whole batch, from group `first` on.
    fn write_groups(&self, batch: &mut Self::FeatureMap, first: usize, groups: &Self::FeatureMap);
    /// The feature map of a value, without its pending normalisation.
    fn raw_map(&self, value: &Self::Activation) -> Self::FeatureMap;
    /// The feature map `map` with the pending normalisation of `value`.
    fn with_map(&self, value: &Self::Activation, map: Self::FeatureMap) -> Self::Activation;

    /// Sums with no group added.
    fn empty_sums(&self, block: &ConvLayer) -> Self::Sums;
    /// Adds the sums of the current groups, without keeping the output of the block.
    fn add_stats_sums(&self, block: &ConvLayer, inputs: &[Self::Activation], sums: &mut Self::Sums);
    /// The batch statistics, once all groups are added.
    fn finish_stats(&self, sums: &Self::Sums) -> Self::BatchStats;
    /// The output of a conv block, given the statistics of the whole batch.
    fn conv_block_with_stats(
        &self,
        block: &ConvLayer,
        inputs: &[Self::Activation],
        batch_stats: &Self::BatchStats,
    ) -> Self::Activation;

    /// Gradient sums with no group added.
    fn empty_gradient_sums(&self, block: &ConvLayer) -> Self::GradientSums;
    /// Adds the gradient sums of the current groups.
    fn add_gradient_sums(
        &self,
        out: &Self::Activation,
        batch_stats: &Self::BatchStats,
        grad: &Self::FeatureMap,
        sums: &mut Self::GradientSums,
    );
    /// [`Train::conv_block_backward`] for the current groups, given the statistics and gradient sums of the whole
    /// batch. Adds the gradients of parameters to `gradients`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what conv_block_backward takes, and the sums over micro-batches"
    )]
    fn conv_block_backward_with_sums(
        &self,
        block: &ConvLayer,
        inputs: &[Self::Activation],
        out: &Self::Activation,
        batch_stats: &Self::BatchStats,
        sums: &Self::GradientSums,
        grad: &Self::FeatureMap,
        targets: Option<&mut [Option<Self::FeatureMap>]>,
        gradients: &mut Self::ParamGradients,
    );
    /// Adds the parameters' gradients to `into`.
    fn collect_param_gradients(
        &self,
        block: &ConvLayer,
        gradients: Self::ParamGradients,
        into: &mut Self::Gradients,
    );
}

impl MicroBatchBackend for Cpu<'_> {
    type Sums = BatchStatsSums;
    type GradientSums = GradientSums;
    type ParamGradients = ConvBlockGradient;

    fn groups(&self, value: &Activation, groups: Range<usize>) -> Activation {
        Activation { map: value.map.groups(groups), affine: value.affine.clone() }
    }

    fn map_groups(&self, map: &FeatureMap, groups: Range<usize>) -> FeatureMap {
        map.groups(groups)
    }

    fn images(&self, vector: &Vec<f32>, images: Range<usize>) -> Vec<f32> {
        vector[images].to_vec()
    }

    fn allocate_batch(&self, like: &FeatureMap, n: usize) -> FeatureMap {
        FeatureMap::blank(n, like.c(), like.h(), like.w())
    }

    fn write_groups(&self, batch: &mut FeatureMap, first: usize, groups: &FeatureMap) {
        batch.put_groups(first, groups);
    }

    fn raw_map(&self, value: &Activation) -> FeatureMap {
        value.map.clone()
    }

    fn with_map(&self, value: &Activation, map: FeatureMap) -> Activation {
        Activation { map, affine: value.affine.clone() }
    }

    fn empty_sums(&self, block: &ConvLayer) -> BatchStatsSums {
        BatchStatsSums::new(block.outputs())
    }

    fn add_stats_sums(&self, block: &ConvLayer, inputs: &[Activation], sums: &mut BatchStatsSums) {
        self.with_conv_block(block, inputs, |conv_block| conv_block.forward_part(sums));
    }

    fn finish_stats(&self, sums: &BatchStatsSums) -> BatchStats {
        sums.finish()
    }

    fn conv_block_with_stats(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        batch_stats: &BatchStats,
    ) -> Activation {
        let (map, _) = self.with_conv_block(block, inputs, |conv_block| conv_block.forward(false));
        let scale = self.weights.get(block.norm.scale);
        let offset = self.weights.get(block.norm.offset);
        Activation { map, affine: Some(batch_stats.affine(scale, offset).into()) }
    }

    fn empty_gradient_sums(&self, block: &ConvLayer) -> GradientSums {
        GradientSums::new(block.outputs())
    }

    fn add_gradient_sums(
        &self,
        out: &Activation,
        batch_stats: &BatchStats,
        grad: &FeatureMap,
        sums: &mut GradientSums,
    ) {
        sums.add(&out.map, batch_stats, grad);
    }

    fn conv_block_backward_with_sums(
        &self,
        block: &ConvLayer,
        inputs: &[Activation],
        out: &Activation,
        batch_stats: &BatchStats,
        sums: &GradientSums,
        grad: &FeatureMap,
        targets: Option<&mut [Option<FeatureMap>]>,
        gradients: &mut ConvBlockGradient,
    ) {
        let gamma = self.weights.get(block.norm.scale);
        self.with_conv_block(block, inputs, |conv_block| {
            conv_block.backward_part(&out.map, batch_stats, gamma, grad, sums, targets, gradients);
        });
    }

    fn collect_param_gradients(&self, block: &ConvLayer, gradients: ConvBlockGradient, into: &mut Gradients) {
        self.collect(&block.convs, block.norm, gradients, into);
    }
}
