//! Gradients of the matrices of products; the kernels and their method outline are in `weight_gradient.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::ops::gemm::gpu::product::{Channels, Operand};

/// Threads of a block, and the positions it stages at once, as in `weight_gradient.cu`.
const THREADS: usize = 256;
const STAGE: usize = 64;
/// Number of blocks that fills a large GPU.
const BLOCKS: usize = 512;
/// Least number of stages per part: each part writes a tile, so short parts would mostly write.
const STAGES: usize = 4;
/// Elements that a block of the final sum handles.
const SUMS: usize = 16;

/// Adds `Σ x[k]·gz[o]` over all pixels and images to element `(k, o)` of `into`, `[k, o]`. `gz` is zero in lanes
/// without an image.
///
/// Reads `x` and `gz` once per tile of at most 40×40 elements. Writes and reads at most 512 partial tiles, or one
/// matrix.
pub(crate) fn add_weight_gradient(x: Operand<'_>, gz: Channels<'_>, into: Span<'_>) {
    let k = x.channels.count;
    let outputs = gz.count;
    assert_eq!(into.len, k * outputs, "the gradient of a matrix [{k}, {outputs}]");
    let gpu = gz.map.gpu();
    let positions = gz.map.positions();
    let plan = Plan::new(k, outputs, positions);
    let partials: Buffer = gpu.buffer(plan.parts * k * outputs);
    let mut args = Vec::from(x.params());
    args.extend([gz.start(), gz.map.c().into(), outputs.into(), (&partials).into()]);
    args.extend([gz.map.row().into(), positions.into(), plan.positions_per_part.into()]);
    let written = plan.parts * into.len;
    let cost = x.cost() + gz.cost() + Cost::new(written, 2 * k * gz.len());
    let grid = [plan.tiles.0, plan.tiles.1, plan.parts];
    gpu.launch(plan.kernel, grid, [THREADS, 1, 1], &args, cost);

    let args = [(&partials).into(), plan.parts.into(), into.len.into(), into.into()];
    let grid = [into.len.div_ceil(SUMS), 1, 1];
    let cost = Cost::new(written + 2 * into.len, written);
    gpu.launch("weight_gradient_sum", grid, [THREADS, 1, 1], &args, cost);
}

/// How a sum is cut up (split-K). Depends on shapes alone.
#[derive(Debug)]
struct Plan {
    kernel: &'static str,
    /// Number of tiles along the inputs and along the outputs of the matrix.
    tiles: (usize, usize),
    /// Number of parts of the positions.
    parts: usize,
    positions_per_part: usize,
}

impl Plan {
    fn new(k: usize, outputs: usize, positions: usize) -> Self {
        let idle = |side: usize| k.next_multiple_of(side) * outputs.next_multiple_of(side);
        let shapes = [(40, "weight_gradient_40"), (32, "weight_gradient_32"), (24, "weight_gradient_24")];
        // The least padded area wins; of equals the first, because larger tiles read less often.
        let (side, kernel) =
            shapes.into_iter().min_by_key(|(side, _)| idle(*side)).expect("there are three shapes");
        let tiles = (k.div_ceil(side), outputs.div_ceil(side));
        let stages = positions.div_ceil(STAGE).max(1);
        let most = (BLOCKS / (tiles.0 * tiles.1)).min(stages / STAGES).max(1);
        let per_part = stages.div_ceil(most);
        Self { kernel, tiles, parts: stages.div_ceil(per_part), positions_per_part: per_part * STAGE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_fill_a_gpu_and_partial_sums_stay_small() {
        for (channels, side) in [(20, 32), (40, 16), (80, 8), (36, 32), (72, 16), (144, 8), (160, 8)] {
            let plan = Plan::new(channels, channels, 160 * side * side);
            let blocks = plan.tiles.0 * plan.tiles.1 * plan.parts;
            assert!((128..=BLOCKS).contains(&blocks), "{channels}: {plan:?}");
            assert!(plan.parts * channels * channels * 4 < 32 << 20, "{channels}: {plan:?}");
        }
    }

    #[test]
    fn every_position_is_in_exactly_one_part() {
        for positions in [16, 64, 80, 1024, 4096, 10_240, 163_840, 1_000_000] {
            for (k, outputs) in [(1, 1), (20, 20), (27, 36), (1440, 160), (9216, 1024)] {
                let plan = Plan::new(k, outputs, positions);
                let all = plan.parts * plan.positions_per_part;
                let each = plan.positions_per_part;
                assert!(all >= positions && all - each < positions, "{positions}: {plan:?}");
            }
        }
    }
}
