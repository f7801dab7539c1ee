//! The backward direction of a conv block.
//!
//! # Method outline
//! 1. The outer loop goes over groups of sixteen images, one task each; then over branches; then over tiles of output
//!    rows.
//! 2. For each tile, the gradient `gz` of the raw output is evaluated from `z` and `gy` (batch-norm backward):
//!    `outputs` rows of scratch. It is never stored for the whole map.
//! 3. `gz` times the transposed matrix gives the gradient of the gathered rows of this tile.
//! 4. The rows are gathered again. With `gz` they give the gradient of the matrix.
//! 5. The gradient of the rows is scattered to the inputs and, for depthwise rows, reduced to the gradient of the
//!    filters.
//! 6. All of a tile's operands stay in the second-level cache. Each task has parameter gradients of its own, which are
//!    added in the order of groups.

use std::time::Instant;

use rayon::prelude::*;

use super::block::{ConvBlock, ConvBlockGradient, ConvBranch};
use super::plan::{Plan, RowTile, padded_stride};
use crate::ops::im2row::target::GradientTarget;

use crate::buffer::with_scratch;
use crate::feature_map::{FeatureMap, FusedSums, mask};
use crate::ops::batch_norm::{self, BatchStats, BlockSums};
use crate::ops::gemm::operand::{LeftOperand, ProductOutput};
use crate::ops::gemm::{Multiply, PrefetchQueue, WEIGHT_GRADIENT_PANEL, WeightGradient};
use crate::ops::im2row::{BackwardOutputs, Gather, GradientRows, Im2row};
use crate::profile;
use enas_simd::{self as simd, Lane};

/// What a backward pass computes for the inputs.
pub(super) struct InputGradients<'a> {
    /// The gradients of the inputs, `[n, c_i, h, w]` each.
    pub(super) gradients: &'a mut [Option<FeatureMap>],
    /// Statistics of the batch norm that made the only input, if the input's gradient is complete after this pass.
    pub(super) before: Option<&'a BatchStats>,
}

impl<'a> InputGradients<'a> {
    pub(super) fn new(gradients: &'a mut [Option<FeatureMap>]) -> Self {
        Self { gradients, before: None }
    }
}

impl ConvBlock<'_> {
    /// Runs the backward pass over all groups of images; adds the gradients of the parameters to `total`.
    ///
    /// `gy` is the gradient of the normalised output (or of the raw one, with an identity `norm`), shaped like `z`.
    pub(super) fn propagate(
        &self,
        start: Option<Instant>,
        norm: batch_norm::Gradient,
        z: &FeatureMap,
        gy: &FeatureMap,
        mut wanted: Option<InputGradients<'_>>,
        total: &mut ConvBlockGradient,
    ) {
        let plan = Plan::new(self);
        let targets = wanted.as_mut().map(|wanted| self.targets(wanted.gradients));
        let before = wanted.as_ref().and_then(|wanted| wanted.before).filter(|_| self.takes_sums());
        let transposed: Vec<Vec<f32>> = self
            .branches
            .iter()
            .zip(&plan.gathers)
            .map(|(b, g)| transpose(b.weight, g.k, b.outputs))
            .collect();
        let partial: Vec<Partial> = z
            .par_blocks()
            .map(|block| {
                with_scratch(plan.backward_scratch, |scratch| {
                    let pass = BackwardBlock {
                        conv_block: self,
                        plan: &plan,
                        norm: &norm,
                        z,
                        gy,
                        block,
                        transposed: &transposed,
                        before,
                    };
                    pass.run(targets.as_deref(), scratch)
                })
            })
            .collect();
        (total.gamma, total.beta) = (norm.gamma, norm.beta);
        let mut block_sums = Vec::with_capacity(if before.is_some() { partial.len() } else { 0 });
        for block in partial {
            block_sums.extend(block.sums);
            // The first group starts the sums: adding to zeros could turn a negative zero into a positive one.
            if total.weights.is_empty() {
                (total.weights, total.filters) = (block.weights, block.filters);
            } else {
                add_all(&mut total.weights, &block.weights);
                add_all(&mut total.filters, &block.filters);
            }
        }
        if let Some([Some(gradient)]) = wanted.map(|wanted| wanted.gradients)
            && before.is_some()
        {
            gradient.note_sums(FusedSums { z: self.inputs[0].map.clone(), blocks: block_sums });
        }
        let flops = plan.backward_flops(z.n());
        let bytes = plan.bytes(z.n());
        profile::stop(start, plan.name("backward"), flops, 2.5 * bytes);
    }

    /// Whether the backward pass can reduce the gradient of its input on the way: it writes each plane once, tile by
    /// tile.
    fn takes_sums(&self) -> bool {
        matches!((self.inputs, self.branches), ([_], [ConvBranch { rows: Im2row::Depthwise { .. }, .. }]))
    }

    /// Makes sure that every input has a gradient map, and returns where each lies.
    fn targets(&self, gradients: &mut [Option<FeatureMap>]) -> Vec<GradientTarget> {
        assert_eq!(gradients.len(), self.inputs.len(), "one gradient per input");
        // If a single branch writes every element exactly once, a new map needs no zeros first.
        let in_place =
            self.branches.iter().all(|b| b.rows.writes_whole_gradient()) && self.branches.len() == 1;
        gradients
            .iter_mut()
            .zip(self.inputs)
            .map(|(gradient, input)| {
                let accumulate = gradient.is_some() || !in_place;
                let (n, c, h, w) = input.map.shape();
                let map = gradient.get_or_insert_with(|| {
                    if in_place { FeatureMap::uninit(n, c, h, w) } else { FeatureMap::zeros(n, c, h, w) }
                });
                assert_eq!(map.shape(), (n, c, h, w), "a gradient has the shape of its input");
                GradientTarget::new(map, accumulate)
            })
            .collect()
    }
}

/// Parameter gradients of one group of images.
#[derive(Default)]
struct Partial {
    weights: Vec<Vec<f32>>,
    filters: Vec<Vec<f32>>,
    /// The sums of the input's gradient for the batch norm before, if they were requested.
    sums: Option<Vec<(f64, f64)>>,
}

/// The backward pass over one group of images.
struct BackwardBlock<'a> {
    conv_block: &'a ConvBlock<'a>,
    plan: &'a Plan<'a>,
    norm: &'a batch_norm::Gradient,
    z: &'a FeatureMap,
    gy: &'a FeatureMap,
    block: usize,
    transposed: &'a [Vec<f32>],
    before: Option<&'a BatchStats>,
}

impl BackwardBlock<'_> {
    fn run(&self, targets: Option<&[GradientTarget]>, scratch: &mut [Lane]) -> Partial {
        let mut partial = Partial::default();
        let mut sums = self.before.map(|before| BlockSums::new(before, mask(self.z.n(), self.block)));
        let mut channel = 0;
        for (i, gather) in self.plan.gathers.iter().enumerate() {
            let (weight, filter) = if gather.is_direct() {
                (self.direct(i, channel, targets, scratch), Vec::new())
            } else {
                self.branch(i, gather, channel, targets, sums.as_mut(), scratch)
            };
            partial.weights.push(weight);
            partial.filters.push(filter);
            channel += self.plan.outputs[i];
        }
        partial.sums = sums.map(BlockSums::finish);
        partial
    }

    /// Returns the gradient of the matrix of a 1×1 convolution, which reads its inputs directly. `channel` is the
    /// branch's first output channel.
    fn direct(
        &self,
        i: usize,
        channel: usize,
        targets: Option<&[GradientTarget]>,
        scratch: &mut [Lane],
    ) -> Vec<f32> {
        let (k, outputs, source) =
            (self.plan.gathers[i].k, self.plan.outputs[i], self.conv_block.source(self.block));
        let planes = source.input_planes();
        let targets = targets.map(|targets| source.gradient_planes(&planes, targets));
        let mut weight = vec![0.0; self.transposed[i].len()];
        for tile in self.plan.tiles() {
            let stride = padded_stride(tile.pixels);
            let (gz, panel) = scratch.split_at_mut(outputs * stride);
            self.normalise(channel, tile, gz);
            assert!(panel.len() >= WEIGHT_GRADIENT_PANEL, "room for four rows");
            let a = LeftOperand::Planes { planes: &planes, first: tile.first, panel: panel.as_mut_ptr() };
            weight_gradient(&mut weight, a, gz, (k, outputs), tile.pixels);
            let Some(targets) = &targets else { continue };
            // SAFETY: `gz` holds outputs·pixels lanes, the transposed matrix outputs·k numbers, and every one of the k
            // targets the pixels of the tile; this task alone has them.
            unsafe {
                simd::run(Multiply {
                    a: LeftOperand::Rows { from: gz.as_ptr(), stride },
                    w: self.transposed[i].as_ptr(),
                    w_stride: k,
                    out: ProductOutput::Gradients { planes: targets, first: tile.first },
                    k: outputs,
                    outputs: k,
                    pixels: tile.pixels,
                    prefetches: PrefetchQueue::default(),
                });
            }
        }
        weight
    }

    /// Returns the gradients of one branch's matrix and filters. `channel` is its first output channel.
    fn branch(
        &self,
        i: usize,
        gather: &Gather<'_>,
        channel: usize,
        targets: Option<&[GradientTarget]>,
        mut sums: Option<&mut BlockSums<'_>>,
        scratch: &mut [Lane],
    ) -> (Vec<f32>, Vec<f32>) {
        let outputs = self.plan.outputs[i];
        let plan = self.plan;
        let source = self.conv_block.source(self.block);
        let mut weight = vec![0.0; self.transposed[i].len()];
        let halo = plan.halo(gather);
        // Gradients of gathered rows: per channel, first the last rows of the tile before (halo), then those of this
        // tile.
        let grad_stride = padded_stride((halo + plan.rows_per_tile) * plan.width);
        let (grad, scratch) = scratch.split_at_mut(gather.k * grad_stride);
        let (taps, scratch) = scratch.split_at_mut(gather.tap_lanes());
        taps.fill(Lane::ZERO);
        for tile in plan.tiles() {
            let stride = padded_stride(tile.pixels);
            let (gz, scratch) = scratch.split_at_mut(outputs * stride);
            self.normalise(channel, tile, gz);
            let (rows, scratch) = scratch.split_at_mut(gather.k * stride);
            // Nothing needs the gradient of the rows: gather, and take the gradient of the matrix only.
            if targets.is_none() && taps.is_empty() {
                gather.fill(source, tile.y, rows, stride, scratch);
                weight_gradient(
                    &mut weight,
                    left(rows, gather.k, stride),
                    gz,
                    (gather.k, outputs),
                    tile.pixels,
                );
                continue;
            }
            // SAFETY: `gz` holds outputs·pixels lanes, the transposed matrix outputs·k numbers, and `grad` k
            // channels of `stride` lanes, of which a tile takes at most those behind the halo.
            unsafe {
                simd::run(Multiply {
                    a: LeftOperand::Rows { from: gz.as_ptr(), stride },
                    w: self.transposed[i].as_ptr(),
                    w_stride: gather.k,
                    out: ProductOutput::Rows {
                        to: grad[halo * plan.width..].as_mut_ptr(),
                        stride: grad_stride,
                    },
                    k: outputs,
                    outputs: gather.k,
                    pixels: tile.pixels,
                    prefetches: PrefetchQueue::default(),
                });
            }
            let grad_rows = GradientRows { lanes: grad, stride: grad_stride, y: tile.y, halo };
            let into = BackwardOutputs { targets, sums: sums.as_deref_mut(), taps };
            gather.propagate(source, &grad_rows, into, (rows, stride), scratch);
            weight_gradient(&mut weight, left(rows, gather.k, stride), gz, (gather.k, outputs), tile.pixels);
            if halo > 0 {
                // Windows overlap: the next tile needs the last `halo` rows of this one.
                for channel in grad.chunks_exact_mut(grad_stride) {
                    channel.copy_within(tile.pixels..tile.pixels + halo * plan.width, 0);
                }
            }
        }
        (weight, gather.filter_gradient(taps))
    }

    /// Evaluates the gradient of the raw output for one tile of a branch; `gz` is `[outputs, pixels]`.
    fn normalise(&self, channel: usize, tile: RowTile, gz: &mut [Lane]) {
        for (o, out) in gz.chunks_exact_mut(padded_stride(tile.pixels)).enumerate() {
            let out = &mut out[..tile.pixels];
            let at = (channel + o) * self.plan.plane + tile.first;
            let z = &self.z.block(self.block)[at..][..tile.pixels];
            let gy = &self.gy.block(self.block)[at..][..tile.pixels];
            self.norm.evaluate(channel + o, self.block, z, gy, out);
        }
    }
}

/// `k` rows of `stride` lanes as the left factor of a product.
fn left(rows: &[Lane], k: usize, stride: usize) -> LeftOperand<'_> {
    assert!(rows.len() >= k * stride);
    LeftOperand::Rows { from: rows.as_ptr(), stride }
}

/// Adds a tile's contribution to the gradient of a matrix `[k, outputs]`. `a` and `gz` have rows of `pixels` lanes;
/// the rows of `gz` are [`padded_stride`] of that apart.
fn weight_gradient(
    weight: &mut [f32],
    a: LeftOperand<'_>,
    gz: &[Lane],
    (k, outputs): (usize, usize),
    pixels: usize,
) {
    let g_stride = padded_stride(pixels);
    assert!(gz.len() >= outputs * g_stride && weight.len() == k * outputs);
    // SAFETY: the extents were just checked, those of `a` where it was made, and `weight` is borrowed mutably.
    unsafe {
        simd::run(WeightGradient {
            a,
            g: gz.as_ptr(),
            g_stride,
            w: weight.as_mut_ptr(),
            w_stride: outputs,
            k,
            outputs,
            pixels,
        });
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(weight: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; weight.len()];
    for r in 0..rows {
        for c in 0..columns {
            out[c * rows + r] = weight[r * columns + c];
        }
    }
    out
}

fn add_all(total: &mut [Vec<f32>], part: &[Vec<f32>]) {
    for (total, part) in total.iter_mut().zip(part) {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
}
