//! The convolution unit: gather rows, multiply by a matrix, normalise.
//!
//! Every trained operation of an ENAS network is one of these. What differs is only how the rows of the matrix
//! product are gathered from the input: as they are (1×1 convolution), every second pixel (factorised
//! reduction), filtered per channel (separable convolution) or as patches (dense convolution). See [`Rows`].
//!
//! Work goes group by group of sixteen images, and within a group in strips of output rows that stay in the
//! second-level cache from gathering through the product to the batch statistics. The backward direction
//! gathers again rather than keep what it gathered. The strips depend on shapes alone, and partial results are
//! added in the order of groups, so results do not depend on the number of threads.

mod backward;
mod plan;
mod target;

use rayon::prelude::*;

use self::plan::{Plan, StripRange, odd};
pub(crate) use self::target::Target;
use crate::buffer::with_scratch;
use crate::gemm::{Ahead, Multiply, Run};
use crate::map::{Map, Value};
use crate::norm::{self, CHUNK, GradientSums, MomentSums, Moments, Running};
use crate::operand::{Left, Out};
use crate::profile;
use crate::rows::{Rows, Source};
use crate::simd::{self, Lane};

/// A convolution unit without its parameters' values: what it reads and how.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The maps it reads, their channels one after another. All of one size.
    pub inputs: &'a [Value],
    /// Whether negative input values count as zero.
    pub relu: bool,
    /// One product, or several whose outputs follow each other (factorised reduction has two).
    pub branches: &'a [Branch<'a>],
}

/// One matrix product of a [`Unit`].
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// How its rows are gathered.
    pub rows: Rows<'a>,
    /// The matrix, `[rows, outputs]`.
    pub weight: &'a [f32],
    /// Output channels.
    pub outputs: usize,
}

/// The gradients of a unit's parameters.
#[derive(Clone, Debug, Default)]
pub struct UnitGradient {
    /// `∂L/∂γ` of the batch norm, `[outputs]`.
    pub gamma: Vec<f32>,
    /// `∂L/∂β` of the batch norm, `[outputs]`.
    pub beta: Vec<f32>,
    /// Of each branch's matrix, `[rows, outputs]`.
    pub weights: Vec<Vec<f32>>,
    /// Of each branch's depthwise filters, `[k, k, c]`; empty for other rows.
    pub filters: Vec<Vec<f32>>,
}

/// What a backward pass is to find out about the inputs.
struct Wanted<'a> {
    /// Their gradients.
    gradients: &'a mut [Option<Map>],
    /// The statistics of the batch norm that made the only input, if its gradient is complete after this pass.
    before: Option<&'a Moments>,
}

impl<'a> Wanted<'a> {
    fn new(gradients: &'a mut [Option<Map>]) -> Self {
        Self { gradients, before: None }
    }
}

impl Unit<'_> {
    /// Computes the raw output `[n, Σ outputs, h, w]`, and its batch statistics if they are asked for.
    pub fn forward(&self, with_moments: bool) -> (Map, Option<Moments>) {
        let (z, partial) = self.raw(with_moments);
        let moments = with_moments.then(|| Moments::merge(z.c(), partial.iter().map(Vec::as_slice)));
        (z, moments)
    }

    /// [`forward`](Self::forward) for some groups of a batch, whose statistics are added to those of the groups before.
    pub fn forward_part(&self, sums: &mut MomentSums) -> Map {
        let (z, partial) = self.raw(true);
        sums.add(partial.iter().map(Vec::as_slice));
        z
    }

    /// The raw output and the statistics of every group of images.
    fn raw(&self, with_moments: bool) -> (Map, Vec<Vec<Running>>) {
        let start = profile::start();
        let plan = Plan::new(self);
        let first = &self.inputs[0].map;
        let outputs: usize = self.branches.iter().map(|b| b.outputs).sum();
        let mut z = Map::uninit(first.n(), outputs, plan.height, plan.width);
        let n = z.n();
        let partial: Vec<Vec<Running>> = z
            .par_blocks_mut()
            .map(|(block, z)| {
                let mask = with_moments.then(|| crate::map::mask(n, block));
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
    ) -> Vec<Running> {
        let outputs = z.len() / plan.plane;
        let source = self.source(block);
        let planes = source.input_planes();
        let mut moments = vec![Running::default(); if mask.is_some() { outputs } else { 0 }];
        let mut runs = Vec::new();
        for strip in plan.strips() {
            let mut channel = 0;
            self.next_inputs(plan, block, strip, &mut runs);
            for (branch, gather) in self.branches.iter().zip(&plan.gathers) {
                let a = if gather.is_direct() {
                    Left::Planes { planes: &planes, first: strip.first, panel: scratch.as_mut_ptr() }
                } else {
                    let stride = odd(strip.pixels);
                    let (rows, rest) = scratch.split_at_mut(gather.k * stride);
                    gather.fill(source, strip.y, rows, stride, rest);
                    Left::Rows { from: rows.as_ptr(), stride }
                };
                let to = z[channel * plan.plane + strip.first..].as_mut_ptr();
                // SAFETY: `a` has k rows of `pixels` lanes and the scratch of planes (see the plan), `weight` k·outputs
                // numbers (checked by the plan), and the output channels of this branch lie inside `z`.
                unsafe {
                    simd::run(Multiply {
                        a,
                        w: branch.weight.as_ptr(),
                        w_stride: branch.outputs,
                        out: Out::Rows { to, stride: plan.plane },
                        k: gather.k,
                        outputs: branch.outputs,
                        pixels: strip.pixels,
                        ahead: if channel == 0 { Ahead::new(&runs) } else { Ahead::default() },
                    });
                }
                channel += branch.outputs;
            }
            if let Some(mask) = &mask {
                for (moments, plane) in moments.iter_mut().zip(z.chunks_exact(plan.plane)) {
                    for chunk in plane[strip.first..][..strip.pixels].chunks(CHUNK) {
                        *moments = moments.merge(Running::of(chunk, mask));
                    }
                }
            }
        }
        moments
    }

    /// The input lanes that the strip after `strip` reads and no earlier one has read.
    fn next_inputs(&self, plan: &Plan, block: usize, strip: StripRange, runs: &mut Vec<Run>) {
        runs.clear();
        let gather = &plan.gathers[0];
        let (mut block, mut y) = (block, (strip.y.1, (strip.y.1 + plan.rows_per_strip).min(plan.height)));
        let mut seen = gather.y.inputs(strip.y).1;
        if y.0 >= plan.height {
            block += 1;
            y = (0, plan.rows_per_strip);
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
                    runs.push(Run { from: run.as_ptr(), len: run.len() });
                }
            }
        }
    }

    fn source(&self, block: usize) -> Source<'_> {
        Source { inputs: self.inputs, relu: self.relu, block }
    }

    /// Propagates the gradient `gy` of the normalised output.
    ///
    /// `z` and `moments` are what [`forward`](Self::forward) returned. The gradients of the inputs are added to
    /// `inputs`, one entry per input, or become its entry if it is `None`; no `inputs` at all skips them.
    pub fn backward(
        &self,
        z: &Map,
        moments: &Moments,
        gamma: &[f32],
        gy: &Map,
        inputs: Option<&mut [Option<Map>]>,
    ) -> UnitGradient {
        let start = profile::start();
        let norm = norm::Gradient::new(z, moments, gamma, gy);
        let mut total = UnitGradient::default();
        self.propagate(start, norm, z, gy, inputs.map(Wanted::new), &mut total);
        total
    }

    /// [`backward`](Self::backward) for a unit with one input, itself the output of a unit with the statistics
    /// `before`, whose gradient is complete with this: what the backward pass of that unit needs to know of the whole
    /// gradient is found out while it is written.
    pub fn backward_onto(
        &self,
        before: &Moments,
        z: &Map,
        moments: &Moments,
        gamma: &[f32],
        gy: &Map,
        input: &mut Option<Map>,
    ) -> UnitGradient {
        let start = profile::start();
        let norm = norm::Gradient::new(z, moments, gamma, gy);
        let mut total = UnitGradient::default();
        let wanted = Wanted { gradients: std::slice::from_mut(input), before: Some(before) };
        self.propagate(start, norm, z, gy, Some(wanted), &mut total);
        total
    }

    /// [`backward`](Self::backward) for some groups of a batch: `moments` and `sums` are those of the whole batch, and
    /// the gradients of the parameters are added to `total`, which holds those of the groups before.
    #[expect(clippy::too_many_arguments, reason = "what backward takes, and what joins the parts")]
    pub fn backward_part(
        &self,
        z: &Map,
        moments: &Moments,
        gamma: &[f32],
        gy: &Map,
        sums: &GradientSums,
        inputs: Option<&mut [Option<Map>]>,
        total: &mut UnitGradient,
    ) {
        let norm = norm::Gradient::of_sums(sums, moments, gamma, z.n());
        self.propagate(profile::start(), norm, z, gy, inputs.map(Wanted::new), total);
    }

    /// Propagates the gradient `gz` of the raw output: of a unit without batch norm. As
    /// [`backward`](Self::backward) otherwise; `gamma` and `beta` of the result are empty.
    pub fn backward_raw(&self, gz: &Map, inputs: Option<&mut [Option<Map>]>) -> UnitGradient {
        let mut total = UnitGradient::default();
        let wanted = inputs.map(Wanted::new);
        self.propagate(profile::start(), norm::Gradient::identity(gz), gz, gz, wanted, &mut total);
        total
    }

    /// Scratch bytes that each thread keeps after working on such a unit, forward and backward.
    pub fn scratch_bytes(&self) -> usize {
        let plan = Plan::new(self);
        plan.forward_scratch.max(plan.backward_scratch) * size_of::<Lane>()
    }
}
