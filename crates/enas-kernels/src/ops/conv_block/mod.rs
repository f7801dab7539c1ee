//! The convolution block: gather rows (im2row), multiply by a matrix, normalise.
//!
//! Every trained operation of an ENAS network is one of these. They differ only in how the rows of the matrix product
//! are gathered from the input (see [`Im2row`](crate::Im2row)):
//!
//! - as they are: 1×1 convolution;
//! - every second pixel: factorised reduction;
//! - filtered per channel: separable convolution;
//! - as patches (im2row): dense convolution.
//!
//! # Method outline
//! 1. The outer loop goes over groups of sixteen images, one task of the thread pool each.
//! 2. Within a group, the loop goes over tiles: ranges of output rows whose gathered rows take about 320 KiB. They
//!    remain in the second-level cache from gathering through the product to the batch statistics.
//! 3. Within a tile, each branch gathers its rows and multiplies them (see `gemm`). 1×1 convolutions skip the
//!    gathering.
//! 4. During the product the inputs of the next tile are prefetched.
//! 5. The backward pass gathers the rows again, tile by tile, so the gathered rows are never stored for a whole map.
//!
//! The tiles depend on shapes alone, and partial results are added in the order of groups. So results do not depend on
//! the number of threads.

mod backward;
mod block;
pub(crate) mod gpu;
mod plan;

use rayon::prelude::*;

use self::backward::InputGradients;
pub use self::block::{ConvBlock, ConvBlockGradient, ConvBranch};
use self::plan::{Plan, RowTile, padded_stride};
use crate::buffer::with_scratch;
use crate::feature_map::{CHUNK, FeatureMap, mask};
use crate::ops::batch_norm::{self, BatchStats, BatchStatsSums, GradientSums, PartialStats};
use crate::ops::gemm::operand::{LeftOperand, ProductOutput};
use crate::ops::gemm::{LaneRun, Multiply, PrefetchQueue};
use crate::ops::im2row::Source;
use crate::profile;
use enas_simd::{self as simd, Lane};

impl ConvBlock<'_> {
    /// Returns the raw output `[n, Σ outputs, h_out, w_out]` (before batch norm) and, if `with_stats`, its batch
    /// statistics.
    ///
    /// # Panics
    /// If the inputs differ in `n`, `h` or `w`, or a matrix or filter does not have the shape of its rows.
    pub fn forward(&self, with_stats: bool) -> (FeatureMap, Option<BatchStats>) {
        let (z, partial) = self.raw(with_stats);
        let stats = with_stats.then(|| BatchStats::merge(z.c(), partial.iter().map(Vec::as_slice)));
        (z, stats)
    }

    /// [`forward`](Self::forward) for some groups of a batch (a micro-batch). Their statistics are added to `sums`,
    /// which holds those of the groups before. Returns the raw output of these groups.
    pub fn forward_part(&self, sums: &mut BatchStatsSums) -> FeatureMap {
        let (z, partial) = self.raw(true);
        sums.add(partial.iter().map(Vec::as_slice));
        z
    }

    /// Returns the raw output and the statistics of every group of images.
    fn raw(&self, with_stats: bool) -> (FeatureMap, Vec<Vec<PartialStats>>) {
        let start = profile::start();
        let plan = Plan::new(self);
        let first = &self.inputs[0].map;
        let outputs: usize = self.branches.iter().map(|b| b.outputs).sum();
        let mut z = FeatureMap::uninit(first.n(), outputs, plan.height, plan.width);
        let n = z.n();
        let partial: Vec<Vec<PartialStats>> = z
            .par_blocks_mut()
            .map(|(block, z)| {
                let mask = with_stats.then(|| mask(n, block));
                with_scratch(plan.forward_scratch, |scratch| {
                    self.forward_block(&plan, block, z, scratch, mask)
                })
            })
            .collect();
        profile::stop(start, plan.name("forward"), plan.flops(n), plan.bytes(n));
        (z, partial)
    }

    fn forward_block(
        &self,
        plan: &Plan,
        block: usize,
        z: &mut [Lane],
        scratch: &mut [Lane],
        mask: Option<Lane>,
    ) -> Vec<PartialStats> {
        let outputs = z.len() / plan.plane;
        let source = self.source(block);
        let planes = source.input_planes();
        let mut stats = vec![PartialStats::default(); if mask.is_some() { outputs } else { 0 }];
        let mut runs = Vec::new();
        for tile in plan.tiles() {
            let mut channel = 0;
            self.next_inputs(plan, block, tile, &mut runs);
            for (branch, gather) in self.branches.iter().zip(&plan.gathers) {
                // A 1×1 convolution gathers nothing: its product packs pixels itself.
                let a = if gather.is_direct() {
                    LeftOperand::Planes { planes: &planes, first: tile.first, panel: scratch.as_mut_ptr() }
                } else {
                    let stride = padded_stride(tile.pixels);
                    let (rows, rest) = scratch.split_at_mut(gather.k * stride);
                    gather.fill(source, tile.y, rows, stride, rest);
                    LeftOperand::Rows { from: rows.as_ptr(), stride }
                };
                let to = z[channel * plan.plane + tile.first..].as_mut_ptr();
                // SAFETY: `a` has k rows of `pixels` lanes and the scratch of planes (see the plan), `weight` k·outputs
                // numbers (checked by the plan), and the output channels of this branch lie inside `z`.
                unsafe {
                    simd::run(Multiply {
                        a,
                        w: branch.weight.as_ptr(),
                        w_stride: branch.outputs,
                        out: ProductOutput::Rows { to, stride: plan.plane },
                        k: gather.k,
                        outputs: branch.outputs,
                        pixels: tile.pixels,
                        // The first branch's product prefetches; all branches read the same inputs.
                        prefetches: if channel == 0 {
                            PrefetchQueue::new(&runs)
                        } else {
                            PrefetchQueue::default()
                        },
                    });
                }
                channel += branch.outputs;
            }
            // The statistics read the tile of `z` while it is still in the cache.
            if let Some(mask) = &mask {
                for (stats, plane) in stats.iter_mut().zip(z.chunks_exact(plan.plane)) {
                    for chunk in plane[tile.first..][..tile.pixels].chunks(CHUNK) {
                        *stats = stats.merge(PartialStats::of(chunk, mask));
                    }
                }
            }
        }
        stats
    }

    /// Lists the input lanes that the next tile reads and no earlier tile has read. After a group's last tile it
    /// lists those of the next group's first tile.
    fn next_inputs(&self, plan: &Plan, block: usize, tile: RowTile, runs: &mut Vec<LaneRun>) {
        runs.clear();
        let gather = &plan.gathers[0];
        let mut block = block;
        let mut y = (tile.y.1, (tile.y.1 + plan.rows_per_tile).min(plan.height));
        let mut seen = gather.y.inputs(tile.y).1;
        if y.0 >= plan.height {
            block += 1;
            y = (0, plan.rows_per_tile);
            seen = 0;
        }
        let end = gather.y.inputs(y).1;
        let width = gather.x.size;
        for input in self.inputs {
            if block >= input.map.blocks() {
                return;
            }
            for plane in input.map.block(block).chunks_exact(width * gather.y.size) {
                let run = &plane[seen.min(end) * width..end * width];
                if !run.is_empty() {
                    runs.push(LaneRun { from: run.as_ptr(), len: run.len() });
                }
            }
        }
    }

    fn source(&self, block: usize) -> Source<'_> {
        Source { inputs: self.inputs, relu: self.relu, block }
    }

    /// Propagates the gradient `gy`, `[n, Σ outputs, h_out, w_out]`, of the normalised output.
    ///
    /// `z` and `stats` are what [`forward`](Self::forward) returned; `gamma` is the scale of the batch norm,
    /// `[Σ outputs]`. The gradient of each input is added to its entry of `inputs`, or becomes the entry if that is
    /// `None`. Without `inputs` no gradients of inputs are computed.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn backward(
        &self,
        z: &FeatureMap,
        stats: &BatchStats,
        gamma: &[f32],
        gy: &FeatureMap,
        inputs: Option<&mut [Option<FeatureMap>]>,
    ) -> ConvBlockGradient {
        let start = profile::start();
        let norm = batch_norm::Gradient::new(z, stats, gamma, gy);
        let mut total = ConvBlockGradient::default();
        self.propagate(start, norm, z, gy, inputs.map(InputGradients::new), &mut total);
        total
    }

    /// [`backward`](Self::backward), fused with the reductions of the batch norm before. For a conv block with one
    /// input, which is the output of another conv block with the statistics `before`, and whose gradient is complete
    /// with this call.
    ///
    /// The backward pass of the other conv block needs two sums over this gradient. They are computed here, while the
    /// gradient is written, and attached to `input`. This saves one pass over the map and its gradient.
    pub fn backward_fused_stats(
        &self,
        before: &BatchStats,
        z: &FeatureMap,
        stats: &BatchStats,
        gamma: &[f32],
        gy: &FeatureMap,
        input: &mut Option<FeatureMap>,
    ) -> ConvBlockGradient {
        let start = profile::start();
        let norm = batch_norm::Gradient::new(z, stats, gamma, gy);
        let mut total = ConvBlockGradient::default();
        let wanted = InputGradients { gradients: std::slice::from_mut(input), before: Some(before) };
        self.propagate(start, norm, z, gy, Some(wanted), &mut total);
        total
    }

    /// [`backward`](Self::backward) for some groups of a batch (a micro-batch). `stats` and `sums` are those of the
    /// whole batch. The gradients of the parameters are added to `total`, which holds those of the groups before.
    #[expect(clippy::too_many_arguments, reason = "what backward takes, and what joins the parts")]
    pub fn backward_part(
        &self,
        z: &FeatureMap,
        stats: &BatchStats,
        gamma: &[f32],
        gy: &FeatureMap,
        sums: &GradientSums,
        inputs: Option<&mut [Option<FeatureMap>]>,
        total: &mut ConvBlockGradient,
    ) {
        let norm = batch_norm::Gradient::of_sums(sums, stats, gamma, z.n());
        self.propagate(profile::start(), norm, z, gy, inputs.map(InputGradients::new), total);
    }

    /// Propagates the gradient `gz`, `[n, Σ outputs, h_out, w_out]`, of the raw output: for a conv block without batch
    /// norm. Otherwise as [`backward`](Self::backward); `gamma` and `beta` of the result are empty.
    pub fn backward_raw(
        &self,
        gz: &FeatureMap,
        inputs: Option<&mut [Option<FeatureMap>]>,
    ) -> ConvBlockGradient {
        let mut total = ConvBlockGradient::default();
        let wanted = inputs.map(InputGradients::new);
        self.propagate(profile::start(), batch_norm::Gradient::identity(gz), gz, gz, wanted, &mut total);
        total
    }

    /// Scratch memory in bytes that each thread keeps after work on such a conv block, forward or backward.
    pub fn scratch_bytes(&self) -> usize {
        let plan = Plan::new(self);
        plan.forward_scratch.max(plan.backward_scratch) * size_of::<Lane>()
    }
}
