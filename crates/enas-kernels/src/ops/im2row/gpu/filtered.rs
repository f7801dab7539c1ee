//! Rows that are filtered per channel: the depthwise half of separable convolutions. The kernels and their method
//! outline are in `filtered.cu`.

use super::inputs::GatherInputs;
use crate::geometry::Axis;
use crate::gpu::buffer::Span;
use crate::gpu::cost::Cost;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};
use crate::gpu::launch::Param;
use enas_simd::LANES;

/// Threads of a block. This constant and the next two also stand in `filtered.cu`.
const THREADS: usize = 128;
/// Threads that work on one pixel's sixteen lanes.
const QUADS: usize = 4;
/// Input pixels that fit into the shared memory of a block.
const PIXELS: usize = 432;

/// Depthwise filters for inputs of a known size.
pub(crate) struct Filter<'a> {
    product: &'a GatherInputs<'a>,
    filter: Span<'a>,
    k: usize,
    stride: usize,
    y: Axis,
    x: Axis,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(filter: Span<'a>, k: usize, stride: usize, product: &'a GatherInputs<'a>) -> Self {
        assert!(matches!((k, stride), (3 | 5, 1 | 2)), "depthwise {k}×{k} with stride {stride}");
        let channels = product.channels;
        assert_eq!(filter.len, k * k * channels, "depthwise filters are [{k}, {k}, {channels}]");
        let y = Axis::same(product.h, k, stride);
        let x = Axis::same(product.w, k, stride);
        Self { product, filter, k, stride, y, x }
    }

    pub(crate) fn gather(&self) -> GpuFeatureMap {
        let rows = self.product.inputs[0].map.another(self.shape());
        let kernel =
            self.kernel(["rows_filter_3_1", "rows_filter_3_2", "rows_filter_5_1", "rows_filter_5_2"]);
        for (input, first) in self.product.parts() {
            let [x, affine, has_affine] = input.params();
            let head = [x, affine, has_affine, self.product.relu.into(), self.filter.into(), (&rows).into()];
            let split = self.outputs(input.map.c());
            let tail = self.shapes(input.map.c(), first, &split);
            let args: Vec<Param<'_>> = head.into_iter().chain(tail).collect();
            let cost = input.cost() + self.cost_of_rows(input);
            rows.gpu().launch(kernel, split.grid(rows.groups()), [THREADS, 1, 1], &args, cost);
        }
        rows
    }

    pub(crate) fn scatter(&self, grad: &GpuFeatureMap, targets: &mut [Option<GpuFeatureMap>]) {
        assert_eq!(grad.shape(), self.shape(), "a gradient has the shape of the rows");
        let kernel = self.kernel([
            "rows_filter_back_3_1",
            "rows_filter_back_3_2",
            "rows_filter_back_5_1",
            "rows_filter_back_5_2",
        ]);
        for (input, first, target, accumulate) in self.product.targets(targets) {
            let [x, affine, has_affine] = input.params();
            let head = [grad.into(), self.filter.into(), x, affine, has_affine];
            let target_args = [self.product.relu.into(), (&*target).into(), accumulate.into()];
            let split = self.inputs(input.map.c());
            let tail = self.shapes(input.map.c(), first, &split);
            let args: Vec<Param<'_>> = head.into_iter().chain(target_args).chain(tail).collect();
            let reads = if self.product.relu { input.cost() } else { Cost::default() };
            let cost = reads + self.cost_of_rows(input) + target.cost_of_writing(accumulate);
            target.gpu().launch(kernel, split.grid(grad.groups()), [THREADS, 1, 1], &args, cost);
        }
    }

    /// Every block writes its partial sums; a second kernel adds them in a fixed order.
    pub(crate) fn filter_gradient(&self, grad: &GpuFeatureMap, into: Span<'_>) {
        assert_eq!(grad.shape(), self.shape(), "a gradient has the shape of the rows");
        assert_eq!(into.len, self.filter.len, "the filters' gradient has the filters' shape");
        let gpu = grad.gpu();
        // All inputs have the same tiles of a plane, whatever their number of channels.
        let count = grad.groups() * self.outputs(1).tiles;
        let partial = gpu.buffer(count * into.len);
        let kernel = self.kernel([
            "rows_filter_gradient_3_1",
            "rows_filter_gradient_3_2",
            "rows_filter_gradient_5_1",
            "rows_filter_gradient_5_2",
        ]);
        for (input, first) in self.product.parts() {
            let [x, affine, has_affine] = input.params();
            let head = [x, affine, has_affine, self.product.relu.into(), grad.into()];
            let split = self.outputs(input.map.c());
            let sums = [(&partial).into(), self.product.n.into()];
            let tail = self.shapes(input.map.c(), first, &split);
            let args: Vec<Param<'_>> = head.into_iter().chain(sums).chain(tail).collect();
            // The partial sums are counted instead of the filters: there is one set for each tile and group.
            let sums = Cost::new((count - 1) * self.filters(input), 0);
            let cost = input.cost() + self.cost_of_rows(input) + sums;
            gpu.launch(kernel, split.grid(grad.groups()), [THREADS, 1, 1], &args, cost);
        }
        let args = [(&partial).into(), into.into(), count.into(), into.len.into()];
        let written = count * into.len;
        // A block of eight warps adds up 32 numbers.
        let cost = Cost::new(written + 2 * into.len, written);
        gpu.launch("rows_filter_sum", [into.len.div_ceil(32), 1, 1], [256, 1, 1], &args, cost);
    }

    /// Count of numbers in the filters of one input's channels.
    fn filters(&self, input: &GpuActivation) -> usize {
        self.k * self.k * input.map.c()
    }

    /// The cost of moving the rows of one input and their filters, and of a multiply-add per tap and number.
    fn cost_of_rows(&self, input: &GpuActivation) -> Cost {
        let rows = input.map.c() * input.map.groups() * self.y.out * self.x.out * LANES;
        input.map.traffic(rows) + Cost::new(self.filters(input), 2 * self.k * self.k * rows)
    }

    /// Shape of the rows, `(n, c, h_out, w_out)`.
    fn shape(&self) -> (usize, usize, usize, usize) {
        (self.product.n, self.product.channels, self.y.out, self.x.out)
    }

    /// The kernel for this size and stride. `names` are 3×3 with stride 1 and 2, then 5×5 with stride 1 and 2.
    fn kernel(&self, names: [&'static str; 4]) -> &'static str {
        names[self.k / 5 * 2 + self.stride - 1]
    }

    /// Output rows that a thread computes, as in `filtered.cu`; fewer with stride 2, since each needs more input rows.
    fn rows_per_thread(&self) -> usize {
        if self.stride == 1 { 8 } else { 4 }
    }

    /// The tiles of the outputs, for an input of `c` channels.
    fn outputs(&self, c: usize) -> Split {
        let max_columns = if self.stride == 1 { 32 } else { 16 };
        let tile = Tile { rows: self.rows_per_thread(), k: self.k, stride: self.stride, height: self.y.size };
        Split::new((c, self.y.out, self.x.out), max_columns, &tile)
    }

    /// The tiles of the inputs, which read the gradient of the outputs. With stride 2 a thread computes blocks of 2×2
    /// inputs; they are counted by the output that the block shares.
    fn inputs(&self, c: usize) -> Split {
        let rows = self.rows_per_thread();
        let height = self.y.out;
        if self.stride == 1 {
            let tile = Tile { rows, k: self.k, stride: 1, height };
            return Split::new((c, self.y.size, self.x.size), 32, &tile);
        }
        let pairs = |axis: Axis| (axis.size + axis.before).div_ceil(2);
        let tile = Tile { rows, k: self.k.div_ceil(2), stride: 1, height };
        Split::new((c, pairs(self.y), pairs(self.x)), 32, &tile)
    }

    /// The last arguments of the three kernels, for an input of `c` channels, the first of which is number `first`.
    fn shapes(&self, c: usize, first: usize, split: &Split) -> [Param<'static>; 12] {
        let y = self.y;
        let x = self.x;
        [
            c,
            first,
            self.product.channels,
            y.size,
            x.size,
            y.out,
            x.out,
            y.before,
            x.before,
            split.columns,
            split.strips,
            split.planes,
        ]
        .map(Param::Int)
    }
}

/// The properties that decide how much input a tile needs.
struct Tile {
    /// Rows that a thread computes in its column.
    rows: usize,
    /// Size and stride of the window.
    k: usize,
    stride: usize,
    /// Height of the input.
    height: usize,
}

/// How planes are cut into tiles, one per block: `columns` wide, `strips` threads high, of `planes` channels.
#[derive(Debug)]
struct Split {
    columns: usize,
    strips: usize,
    planes: usize,
    /// Number of tiles of a plane.
    tiles: usize,
    /// Number of blocks for all channels.
    channels: usize,
}

impl Split {
    /// Chooses the tiles. They have equal width, at most `max_columns`. They are as high as the block's threads and
    /// shared memory allow, which gives the fewest rows at common edges. They hold as many channels as then fit. The
    /// tiles of a plane do not depend on the channels.
    fn new((c, h, w): (usize, usize, usize), max_columns: usize, tile: &Tile) -> Self {
        let columns = w.div_ceil(w.div_ceil(max_columns));
        let pixels = |strips: usize| {
            let rows = ((strips * tile.rows - 1) * tile.stride + tile.k).min(tile.height);
            rows * ((columns - 1) * tile.stride + tile.k)
        };
        let threads = THREADS / QUADS / columns;
        let strips = threads.min(h.div_ceil(tile.rows));
        // One strip of the widest tile always fits.
        let strips = (2..=strips).rev().find(|strips| pixels(*strips) <= PIXELS).unwrap_or(1);
        let planes = (threads / strips).min(PIXELS / pixels(strips)).clamp(1, c);
        let tiles = w.div_ceil(columns) * h.div_ceil(strips * tile.rows);
        Self { columns, strips, planes, tiles, channels: c.div_ceil(planes) }
    }

    fn grid(&self, groups: usize) -> [usize; 3] {
        [self.tiles, self.channels, groups]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Window, stride, rows of a thread and widest tile: of outputs, and of inputs of filters with stride 2.
    const TILES: [(usize, usize, usize, usize); 6] =
        [(3, 1, 8, 32), (5, 1, 8, 32), (3, 2, 4, 16), (5, 2, 4, 16), (2, 1, 4, 32), (3, 1, 4, 32)];

    #[test]
    fn every_tile_fits_its_block() {
        for (size, (k, stride, rows, columns)) in (1..240).flat_map(|size| TILES.map(|tile| (size, tile))) {
            for height in [1, 5, 9, size, 4 * size] {
                let tile = Tile { rows, k, stride, height };
                let outputs = (64, height.div_ceil(stride), size.div_ceil(stride));
                let split = Split::new(outputs, columns, &tile);
                let staged = ((split.strips * rows - 1) * stride + k).min(height)
                    * ((split.columns - 1) * stride + k)
                    * split.planes;
                assert!(staged <= PIXELS, "{k} {stride} {height}x{size}: {split:?} needs {staged} pixels");
                let threads = QUADS * split.columns * split.strips * split.planes;
                assert!(
                    threads <= THREADS,
                    "{k} {stride} {height}x{size}: {split:?} needs {threads} threads"
                );
            }
        }
    }

    #[test]
    fn common_sizes_keep_blocks_busy() {
        for (size, busy) in
            [(32, 128), (16, 128), (8, 128), (4, 128), (224, 128), (28, 112), (14, 112), (7, 112)]
        {
            let tile = Tile { rows: 8, k: 5, stride: 1, height: size };
            let split = Split::new((64, size, size), 32, &tile);
            assert_eq!(QUADS * split.columns * split.strips * split.planes, busy, "{size}: {split:?}");
        }
    }
}
