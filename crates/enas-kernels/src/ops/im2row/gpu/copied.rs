//! Rows that are copies of input pixels: 1×1 and dense convolutions, factorised reductions. The kernels and their
//! method outline are in `copied.cu`.

use super::inputs::GatherInputs;
use super::kind::GpuIm2row;
use crate::geometry::Axis;
use crate::gpu::cost::Cost;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use enas_simd::LANES;

/// Lanes that a thread handles at once.
const WIDE: usize = 4;

/// Copies of pixels: tap `i` of output pixel `o` reads pixel `o·2^shift + offset + i − before`, on both axes.
pub(crate) struct Copy<'a> {
    product: &'a GatherInputs<'a>,
    k: usize,
    shift: usize,
    offset: usize,
    y: Axis,
    x: Axis,
}

impl<'a> Copy<'a> {
    pub(crate) fn new(rows: GpuIm2row<'_>, product: &'a GatherInputs<'a>) -> Self {
        let (k, stride, offset) = match rows {
            GpuIm2row::Pixels => (1, 1, 0),
            GpuIm2row::EverySecond { offset } => (1, 2, offset),
            GpuIm2row::Patches { k } => (k, 1, 0),
            GpuIm2row::Depthwise { .. } => unreachable!("depthwise rows are filtered, not copied"),
        };
        let y = Axis::same(product.h, k, stride);
        let x = Axis::same(product.w, k, stride);
        Self { product, k, shift: stride - 1, offset, y, x }
    }

    /// One thread per four lanes of an output pixel and input channel.
    pub(crate) fn gather(&self) -> GpuFeatureMap {
        let rows = self.product.inputs[0].map.another(self.shape());
        for (input, first) in self.product.parts() {
            let [x, affine, has_affine] = input.params();
            let head = [x, affine, has_affine, self.product.relu.into(), (&rows).into()];
            let threads = input.map.c() * self.y.out * self.x.out * LANES / WIDE;
            let grid = [threads.div_ceil(THREADS), rows.groups(), 1];
            let args: Vec<Param<'_>> = head.into_iter().chain(self.shapes(input.map.c(), first)).collect();
            let cost = self.cost_of_input(input) + rows.traffic(self.numbers(input));
            rows.gpu().launch("rows_copy", grid, [THREADS, 1, 1], &args, cost);
        }
        rows
    }

    /// One thread per four lanes of an input pixel and channel.
    pub(crate) fn scatter(&self, grad: &GpuFeatureMap, targets: &mut [Option<GpuFeatureMap>]) {
        assert_eq!(grad.shape(), self.shape(), "a gradient has the shape of the rows");
        for (input, first, target, accumulate) in self.product.targets(targets) {
            let [x, affine, has_affine] = input.params();
            let relu = self.product.relu.into();
            let head = [grad.into(), x, affine, has_affine, relu, (&*target).into(), accumulate.into()];
            let threads = input.map.c() * input.map.row() / WIDE;
            let grid = [threads.div_ceil(THREADS), grad.groups(), 1];
            let args: Vec<Param<'_>> = head.into_iter().chain(self.shapes(input.map.c(), first)).collect();
            let reads = if self.product.relu { self.cost_of_input(input) } else { Cost::default() };
            let rows = self.numbers(input);
            let writes = if accumulate { 2 * self.copied(input) } else { target.len() };
            let cost = reads + grad.traffic(rows) + target.traffic(writes) + Cost::flops(rows);
            target.gpu().launch("rows_copy_back", grid, [THREADS, 1, 1], &args, cost);
        }
    }

    /// Shape of the rows, `(n, k·k·c, h_out, w_out)`.
    fn shape(&self) -> (usize, usize, usize, usize) {
        (self.product.n, self.k * self.k * self.product.channels, self.y.out, self.x.out)
    }

    /// Count of numbers in the rows of one input.
    fn numbers(&self, input: &GpuActivation) -> usize {
        self.k * self.k * input.map.c() * input.map.groups() * self.y.out * self.x.out * LANES
    }

    /// Count of an input's numbers that are read: with one tap those of the output's pixels, otherwise all.
    fn copied(&self, input: &GpuActivation) -> usize {
        self.numbers(input).min(input.map.len())
    }

    /// The cost of reading those.
    fn cost_of_input(&self, input: &GpuActivation) -> Cost {
        input.cost_of(self.copied(input))
    }

    /// The last arguments of both kernels, for an input of `c` channels, the first of which is number `first`.
    fn shapes(&self, c: usize, first: usize) -> [Param<'static>; 11] {
        let y = self.y;
        let x = self.x;
        let product = self.product;
        // Both axes have the same padding: every tap count k has (k − 1)/2 with stride 1, one tap has none.
        [c, first, product.channels, y.size, x.size, y.out, x.out, self.k, self.shift, self.offset, y.before]
            .map(Param::Int)
    }
}
