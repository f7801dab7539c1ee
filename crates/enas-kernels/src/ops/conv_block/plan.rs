//! How a conv block's work is cut into tiles, and how much scratch memory it needs.

use super::block::ConvBlock;
use crate::ops::gemm::{NR, WEIGHT_GRADIENT_PANEL};
use crate::ops::im2row::Gather;
use enas_simd::Lane;

/// GradientTarget size in bytes of a tile's gathered rows. With it, tile, product and weights fit into the second-level
/// cache.
const TILE_BYTES: usize = 320 << 10;

/// A range of output rows.
#[derive(Clone, Copy)]
pub(super) struct RowTile {
    /// First row and end row.
    pub(super) y: (usize, usize),
    /// Index of the first pixel.
    pub(super) first: usize,
    /// Number of pixels.
    pub(super) pixels: usize,
}

/// How a conv block's work is cut up. Depends on shapes alone.
pub(super) struct Plan<'a> {
    pub(super) gathers: Vec<Gather<'a>>,
    /// Output channels of each branch.
    pub(super) outputs: Vec<usize>,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) plane: usize,
    pub(super) rows_per_tile: usize,
    pub(super) forward_scratch: usize,
    pub(super) backward_scratch: usize,
}

impl<'a> Plan<'a> {
    /// Checks the shapes and computes the plan.
    ///
    /// # Panics
    /// If shapes do not fit: callers build conv blocks from a checked network description.
    pub(super) fn new(conv_block: &ConvBlock<'a>) -> Self {
        let first = &conv_block.inputs[0].map;
        for input in conv_block.inputs {
            let (n, _, h, w) = input.map.shape();
            assert_eq!(
                (n, h, w),
                (first.n(), first.h(), first.w()),
                "inputs of one conv block have one size"
            );
        }
        let channels = conv_block.inputs.iter().map(|i| i.map.c()).sum();
        let gathers: Vec<Gather> =
            conv_block.branches.iter().map(|b| Gather::new(b.rows, channels, first.h(), first.w())).collect();
        for (branch, gather) in conv_block.branches.iter().zip(&gathers) {
            assert_eq!(
                branch.weight.len(),
                gather.k * branch.outputs,
                "the matrix is [{}, {}]",
                gather.k,
                branch.outputs
            );
        }
        let height = gathers[0].y.out;
        let width = gathers[0].x.out;
        for gather in &gathers {
            assert_eq!(
                (gather.y.out, gather.x.out),
                (height, width),
                "branches of one conv block have one output size"
            );
        }
        let k = gathers.iter().map(|g| g.k).max().unwrap_or(1);
        let outputs = conv_block.branches.iter().map(|b| b.outputs).max().unwrap_or(1);
        let rows_per_tile = (TILE_BYTES / (k * width * size_of::<Lane>())).clamp(1, height);
        let pixels = rows_per_tile * width;
        let max = |of: &dyn Fn(&Gather<'_>) -> usize| gathers.iter().map(of).max().unwrap_or(0);
        let fill = max(&|g| g.fill_scratch(rows_per_tile));
        let propagate = max(&|g| g.propagate_scratch(rows_per_tile));
        let halo = max(&|g| g.halo());
        let taps = max(&|g| g.tap_lanes());
        // 1×1 convolutions: a packed panel forwards; `gz` and the panel of the weight gradient backwards. Others:
        // gathered rows and their border forwards; gathered rows, `gz`, gradient of the rows with halo, tap sums
        // backwards.
        let (forward_scratch, backward_scratch) = if gathers.iter().all(Gather::is_direct) {
            (k * NR, outputs * padded_stride(pixels) + WEIGHT_GRADIENT_PANEL)
        } else {
            let gathered = k * padded_stride(pixels)
                + outputs * padded_stride(pixels)
                + k * padded_stride(pixels + halo * width);
            (
                k * padded_stride(pixels) + fill,
                gathered + taps + fill.max(propagate).max(WEIGHT_GRADIENT_PANEL),
            )
        };
        Self {
            outputs: conv_block.branches.iter().map(|b| b.outputs).collect(),
            height,
            width,
            plane: height * width,
            rows_per_tile,
            forward_scratch,
            backward_scratch,
            gathers,
        }
    }

    pub(super) fn tiles(&self) -> impl Iterator<Item = RowTile> {
        (0..self.height).step_by(self.rows_per_tile).map(|y| {
            let end = (y + self.rows_per_tile).min(self.height);
            RowTile { y: (y, end), first: y * self.width, pixels: (end - y) * self.width }
        })
    }

    /// Rows of gradient that the next tile needs again; none if one tile covers the map.
    pub(super) fn halo(&self, gather: &Gather<'_>) -> usize {
        if self.rows_per_tile < self.height { gather.halo() } else { 0 }
    }

    pub(super) fn name(&self, direction: &'static str) -> (&'static str, &'static str) {
        (self.gathers[0].name(), direction)
    }

    /// Floating-point operations of the forward pass over `n` images: each product and each filter once.
    pub(super) fn flops(&self, n: usize) -> f64 {
        self.work(n, 1.0, 1.0)
    }

    /// Floating-point operations of the backward pass over `n` images: two products (inputs, matrix) and three filters
    /// (gather again, inputs, filters).
    pub(super) fn backward_flops(&self, n: usize) -> f64 {
        self.work(n, 2.0, 3.0)
    }

    fn work(&self, n: usize, products: f64, filters: f64) -> f64 {
        let per_pixel = self.sum(|gather, outputs| {
            let (product, filter) = gather.flops_per_pixel(outputs);
            products * product + filters * filter
        });
        per_pixel * (n * self.plane) as f64
    }

    pub(super) fn bytes(&self, n: usize) -> f64 {
        self.sum(|gather, outputs| gather.floats_per_pixel(outputs)) * (4 * n * self.plane) as f64
    }

    fn sum(&self, cost: impl Fn(&Gather<'_>, usize) -> f64) -> f64 {
        self.gathers.iter().zip(&self.outputs).map(|(gather, outputs)| cost(gather, *outputs)).sum()
    }
}

/// Padded row stride in lanes, for rows of `pixels` lanes that are read side by side. Long rows a power of two apart
/// would fall into the same few sets of the first-level cache; an odd stride spreads them.
pub(super) fn padded_stride(pixels: usize) -> usize {
    if pixels < 64 { pixels } else { pixels | 1 }
}
