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

use std::time::Instant;

use rayon::prelude::*;

use crate::buffer::with_scratch;
use crate::gemm::{Ahead, Multiply, Run, WeightGradient};
use crate::map::{Map, Value};
use crate::norm::{self, CHUNK, Moments, Running};
use crate::profile;
use crate::rows::{Gather, GradientRows, Rows, Source};
use crate::simd::{self, Lane};

/// Bytes of gathered rows that a strip should stay below, so that strip, product and weights fit into the
/// second-level cache.
const STRIP_BYTES: usize = 320 << 10;

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

impl Unit<'_> {
    /// Computes the raw output `[n, Σ outputs, h, w]`, and its batch statistics if they are asked for.
    pub fn forward(&self, with_moments: bool) -> (Map, Option<Moments>) {
        let start = profile::start();
        let plan = Plan::new(self);
        let first = &self.inputs[0].map;
        let outputs: usize = self.branches.iter().map(|b| b.outputs).sum();
        let mut z = Map::uninit(first.n(), outputs, plan.height, plan.width);
        let (n, block_len) = (z.n(), z.block_len());
        let partial: Vec<Vec<Running>> = z
            .lanes_mut()
            .par_chunks_mut(block_len)
            .enumerate()
            .map(|(block, z)| {
                let mask = with_moments.then(|| crate::map::mask(n, block));
                with_scratch(plan.forward_scratch, |scratch| {
                    self.forward_block(&plan, block, z, scratch, mask)
                })
            })
            .collect();
        let moments = with_moments.then(|| Moments::merge(outputs, partial.iter().map(Vec::as_slice)));
        profile::stop(start, plan.name("forward"), plan.flops(n), plan.bytes(n));
        (z, moments)
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
        let mut moments = vec![Running::default(); if mask.is_some() { outputs } else { 0 }];
        let mut runs = Vec::new();
        for strip in plan.strips() {
            let mut channel = 0;
            self.next_inputs(plan, block, strip, &mut runs);
            for (branch, gather) in self.branches.iter().zip(&plan.gathers) {
                let stride = odd(strip.pixels);
                let (rows, rest) = scratch.split_at_mut(gather.k * stride);
                gather.fill(source, strip.y, rows, stride, rest);
                // SAFETY: `rows` holds k·pixels lanes, `weight` k·outputs numbers (checked by the plan), and
                // the output channels of this branch lie inside `z`.
                unsafe {
                    simd::run(Multiply {
                        a: rows.as_ptr(),
                        a_stride: stride,
                        w: branch.weight.as_ptr(),
                        w_stride: branch.outputs,
                        out: z.as_mut_ptr().add(channel * plan.plane + strip.first),
                        out_stride: plan.plane,
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
        self.propagate(start, norm, z, gy, inputs)
    }

    /// Propagates the gradient `gz` of the raw output: of a unit without batch norm. As
    /// [`backward`](Self::backward) otherwise; `gamma` and `beta` of the result are empty.
    pub fn backward_raw(&self, gz: &Map, inputs: Option<&mut [Option<Map>]>) -> UnitGradient {
        self.propagate(profile::start(), norm::Gradient::identity(gz), gz, gz, inputs)
    }

    fn propagate(
        &self,
        start: Option<Instant>,
        norm: norm::Gradient,
        z: &Map,
        gy: &Map,
        inputs: Option<&mut [Option<Map>]>,
    ) -> UnitGradient {
        let plan = Plan::new(self);
        let targets = inputs.map(|inputs| self.targets(inputs));
        let transposed: Vec<Vec<f32>> = self
            .branches
            .iter()
            .zip(&plan.gathers)
            .map(|(b, g)| transpose(b.weight, g.k, b.outputs))
            .collect();
        let partial: Vec<Partial> = (0..z.blocks())
            .into_par_iter()
            .map(|block| {
                with_scratch(plan.backward_scratch, |scratch| {
                    let pass = BackwardBlock {
                        unit: self,
                        plan: &plan,
                        norm: &norm,
                        z,
                        gy,
                        block,
                        transposed: &transposed,
                    };
                    pass.run(targets.as_deref(), scratch)
                })
            })
            .collect();
        let mut total = UnitGradient { gamma: norm.gamma, beta: norm.beta, ..Default::default() };
        let mut blocks = partial.into_iter();
        let first = blocks.next().unwrap_or_default();
        (total.weights, total.filters) = (first.weights, first.filters);
        for block in blocks {
            add_all(&mut total.weights, &block.weights);
            add_all(&mut total.filters, &block.filters);
        }
        let (flops, bytes) = (plan.flops(z.n()), plan.bytes(z.n()));
        profile::stop(start, plan.name("backward"), 3.0 * flops, 2.5 * bytes);
        total
    }

    /// Makes sure every input has a gradient map and returns where each lives.
    fn targets(&self, gradients: &mut [Option<Map>]) -> Vec<Target> {
        assert_eq!(gradients.len(), self.inputs.len(), "one gradient per input");
        let in_place =
            self.branches.iter().all(|b| b.rows.writes_whole_gradient()) && self.branches.len() == 1;
        gradients
            .iter_mut()
            .zip(self.inputs)
            .map(|(gradient, input)| {
                let accumulate = gradient.is_some() || !in_place;
                let (n, c, h, w) = input.map.shape();
                let map = gradient.get_or_insert_with(|| {
                    if in_place { Map::uninit(n, c, h, w) } else { Map::zeros(n, c, h, w) }
                });
                assert_eq!(map.shape(), (n, c, h, w), "a gradient has the shape of its input");
                Target::new(map, accumulate)
            })
            .collect()
    }
}

/// The gradient map of one input during a backward pass.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    lanes: *mut Lane,
    block_len: usize,
    /// Whether gradients are added to what is there.
    pub(crate) accumulate: bool,
}

// SAFETY: each group of sixteen images is handed to exactly one task, which touches that group's lanes only.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// For gradients that go to `map`, which must outlive the target and not be used beside it.
    pub(crate) fn new(map: &mut Map, accumulate: bool) -> Self {
        let block_len = map.block_len();
        Self { lanes: map.lanes_mut().as_mut_ptr(), block_len, accumulate }
    }

    /// The lanes of one group of images.
    ///
    /// # Safety
    /// No two tasks may hold the same block, and the map outlives the result.
    #[allow(clippy::mut_from_ref)] // The contract above makes the reference exclusive.
    pub(crate) unsafe fn block(&self, block: usize) -> &mut [Lane] {
        // SAFETY: the map has more than `block` groups of `block_len` lanes; exclusivity is the caller's duty.
        unsafe { std::slice::from_raw_parts_mut(self.lanes.add(block * self.block_len), self.block_len) }
    }
}

/// Parameter gradients of one group of images.
#[derive(Default)]
struct Partial {
    weights: Vec<Vec<f32>>,
    filters: Vec<Vec<f32>>,
}

/// The backward pass over one group of images.
struct BackwardBlock<'a> {
    unit: &'a Unit<'a>,
    plan: &'a Plan<'a>,
    norm: &'a norm::Gradient,
    z: &'a Map,
    gy: &'a Map,
    block: usize,
    transposed: &'a [Vec<f32>],
}

impl BackwardBlock<'_> {
    fn run(&self, targets: Option<&[Target]>, scratch: &mut [Lane]) -> Partial {
        let mut partial = Partial::default();
        let mut channel = 0;
        for (i, gather) in self.plan.gathers.iter().enumerate() {
            let (weight, filter) = self.branch(i, gather, channel, targets, scratch);
            partial.weights.push(weight);
            partial.filters.push(filter);
            channel += self.plan.outputs[i];
        }
        partial
    }

    /// The gradients of one branch's matrix and filters; `channel` is its first output channel.
    fn branch(
        &self,
        i: usize,
        gather: &Gather<'_>,
        channel: usize,
        targets: Option<&[Target]>,
        scratch: &mut [Lane],
    ) -> (Vec<f32>, Vec<f32>) {
        let (outputs, plan, source) = (self.plan.outputs[i], self.plan, self.unit.source(self.block));
        let mut weight = vec![0.0; self.transposed[i].len()];
        let halo = plan.halo(gather);
        // Gradients of gathered rows: per channel those of a strip, behind the last rows of the strip before.
        let grad_stride = odd((halo + plan.rows_per_strip) * plan.width);
        let (grad, scratch) = scratch.split_at_mut(gather.k * grad_stride);
        let (taps, scratch) = scratch.split_at_mut(gather.tap_lanes());
        taps.fill(Lane::ZERO);
        for strip in plan.strips() {
            let stride = odd(strip.pixels);
            let (gz, scratch) = scratch.split_at_mut(outputs * stride);
            self.normalise(channel, strip, gz);
            let (rows, scratch) = scratch.split_at_mut(gather.k * stride);
            if targets.is_none() && taps.is_empty() {
                gather.fill(source, strip.y, rows, stride, scratch);
                weight_gradient(&mut weight, rows, gz, (gather.k, outputs), strip.pixels);
                continue;
            }
            // SAFETY: `gz` holds outputs·pixels lanes, the transposed matrix outputs·k numbers, and `grad` k
            // channels of `stride` lanes, of which a strip takes at most those behind the halo.
            unsafe {
                simd::run(Multiply {
                    a: gz.as_ptr(),
                    a_stride: stride,
                    w: self.transposed[i].as_ptr(),
                    w_stride: gather.k,
                    out: grad[halo * plan.width..].as_mut_ptr(),
                    out_stride: grad_stride,
                    k: outputs,
                    outputs: gather.k,
                    pixels: strip.pixels,
                    ahead: Ahead::default(),
                });
            }
            let grad_rows = GradientRows { lanes: grad, stride: grad_stride, y: strip.y, halo };
            gather.propagate(source, &grad_rows, targets, (rows, stride), taps, scratch);
            weight_gradient(&mut weight, rows, gz, (gather.k, outputs), strip.pixels);
            if halo > 0 {
                for channel in grad.chunks_exact_mut(grad_stride) {
                    channel.copy_within(strip.pixels..strip.pixels + halo * plan.width, 0);
                }
            }
        }
        (weight, gather.filter_gradient(taps))
    }

    /// The gradient of the raw output for one strip of a branch, `gz` being `[outputs, pixels]`.
    fn normalise(&self, channel: usize, strip: StripRange, gz: &mut [Lane]) {
        for (o, out) in gz.chunks_exact_mut(odd(strip.pixels)).enumerate() {
            let out = &mut out[..strip.pixels];
            let at = (channel + o) * self.plan.plane + strip.first;
            let z = &self.z.block(self.block)[at..][..strip.pixels];
            let gy = &self.gy.block(self.block)[at..][..strip.pixels];
            self.norm.evaluate(channel + o, self.block, z, gy, out);
        }
    }
}

/// `rows` and `gz` have rows of `pixels` lanes, [`odd`] of that apart.
fn weight_gradient(
    weight: &mut [f32],
    rows: &[Lane],
    gz: &[Lane],
    (k, outputs): (usize, usize),
    pixels: usize,
) {
    let stride = odd(pixels);
    assert!(rows.len() >= k * stride && gz.len() >= outputs * stride && weight.len() == k * outputs);
    // SAFETY: the extents were just checked, and `weight` is borrowed mutably.
    unsafe {
        simd::run(WeightGradient {
            a: rows.as_ptr(),
            a_stride: stride,
            g: gz.as_ptr(),
            g_stride: stride,
            w: weight.as_mut_ptr(),
            w_stride: outputs,
            k,
            outputs,
            pixels,
        });
    }
}

/// The distance between rows of `pixels` lanes that are read side by side. Long rows a power of two apart would
/// compete for the same few places of the first-level cache.
fn odd(pixels: usize) -> usize {
    if pixels < 64 { pixels } else { pixels | 1 }
}

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

/// A range of output rows.
#[derive(Clone, Copy)]
struct StripRange {
    /// First row and end row.
    y: (usize, usize),
    /// Index of the first pixel.
    first: usize,
    /// Number of pixels.
    pixels: usize,
}

/// How a unit's work is cut up; depends on shapes alone.
struct Plan<'a> {
    gathers: Vec<Gather<'a>>,
    /// Output channels of each branch.
    outputs: Vec<usize>,
    height: usize,
    width: usize,
    plane: usize,
    rows_per_strip: usize,
    forward_scratch: usize,
    backward_scratch: usize,
}

impl<'a> Plan<'a> {
    /// # Panics
    /// If shapes do not fit: callers build units from a checked network description.
    fn new(unit: &Unit<'a>) -> Self {
        let first = &unit.inputs[0].map;
        for input in unit.inputs {
            let (n, _, h, w) = input.map.shape();
            assert_eq!((n, h, w), (first.n(), first.h(), first.w()), "inputs of one unit have one size");
        }
        let channels = unit.inputs.iter().map(|i| i.map.c()).sum();
        let gathers: Vec<Gather> =
            unit.branches.iter().map(|b| Gather::new(b.rows, channels, first.h(), first.w())).collect();
        for (branch, gather) in unit.branches.iter().zip(&gathers) {
            assert_eq!(
                branch.weight.len(),
                gather.k * branch.outputs,
                "the matrix is [{}, {}]",
                gather.k,
                branch.outputs
            );
        }
        let (height, width) = (gathers[0].y.out, gathers[0].x.out);
        for gather in &gathers {
            assert_eq!(
                (gather.y.out, gather.x.out),
                (height, width),
                "branches of one unit have one output size"
            );
        }
        let k = gathers.iter().map(|g| g.k).max().unwrap_or(1);
        let outputs = unit.branches.iter().map(|b| b.outputs).max().unwrap_or(1);
        let rows_per_strip = (STRIP_BYTES / (k * width * size_of::<Lane>())).clamp(1, height);
        let pixels = rows_per_strip * width;
        let max = |of: &dyn Fn(&Gather<'_>) -> usize| gathers.iter().map(of).max().unwrap_or(0);
        let fill = max(&|g| g.fill_scratch(rows_per_strip));
        let propagate = max(&|g| g.propagate_scratch(rows_per_strip));
        let (halo, taps) = (max(&|g| g.halo()), max(&|g| g.tap_lanes()));
        Self {
            outputs: unit.branches.iter().map(|b| b.outputs).collect(),
            height,
            width,
            plane: height * width,
            rows_per_strip,
            forward_scratch: k * odd(pixels) + fill,
            backward_scratch: (k + outputs) * odd(pixels)
                + k * odd(pixels + halo * width)
                + taps
                + fill.max(propagate),
            gathers,
        }
    }

    fn strips(&self) -> impl Iterator<Item = StripRange> {
        (0..self.height).step_by(self.rows_per_strip).map(|y| {
            let end = (y + self.rows_per_strip).min(self.height);
            StripRange { y: (y, end), first: y * self.width, pixels: (end - y) * self.width }
        })
    }

    /// Rows of gradient that outlive their strip.
    fn halo(&self, gather: &Gather<'_>) -> usize {
        if self.rows_per_strip < self.height { gather.halo() } else { 0 }
    }

    fn name(&self, direction: &'static str) -> (&'static str, &'static str) {
        (self.gathers[0].name(), direction)
    }

    fn flops(&self, n: usize) -> f64 {
        self.sum(|gather, outputs| gather.flops_per_pixel(outputs)) * (n * self.plane) as f64
    }

    fn bytes(&self, n: usize) -> f64 {
        self.sum(|gather, outputs| gather.floats_per_pixel(outputs)) * (4 * n * self.plane) as f64
    }

    fn sum(&self, cost: impl Fn(&Gather<'_>, usize) -> f64) -> f64 {
        self.gathers.iter().zip(&self.outputs).map(|(gather, outputs)| cost(gather, *outputs)).sum()
    }
}
