//! The two reductions over the batch that the backward pass of a batch norm needs: `Σ gy` and `Σ gy·(z − mean)`.
//!
//! They can be computed on the way by the kernel that writes the last contribution to `gy` (see [`BlockSums`]).
//! Otherwise they take one pass over `z` and `gy`.

use rayon::prelude::*;

use super::batch_stats::BatchStats;
use crate::feature_map::{FeatureMap, mask};
use enas_simd::{self as simd, AHEAD, Lane, Simd, SimdKernel};

/// Pixels whose gradient sums are computed in single precision. The same chunks are used in all places, so that the
/// results are equal to the bit.
const SUMS_CHUNK: usize = 128;

/// The two sums over a whole batch that the backward pass of a batch norm needs, per channel. Micro-batches are added
/// one after another, in order; the result equals that of the whole batch to the bit.
#[derive(Clone, Debug)]
pub struct GradientSums(pub(super) Vec<(f64, f64)>);

impl GradientSums {
    /// Sums of nothing yet, for `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self(vec![(0.0, 0.0); channels])
    }

    /// Adds the next groups of images: `gy`, `[n, c, h, w]`, is the gradient of the normalised `z`; `stats` are those
    /// of the whole batch.
    pub fn add(&mut self, z: &FeatureMap, stats: &BatchStats, gy: &FeatureMap) {
        let plane = z.h() * z.w();
        let sums: Vec<Vec<(f64, f64)>> = z
            .par_blocks()
            .map(|block| {
                let mut sums = BlockSums::new(stats, mask(z.n(), block));
                let planes = z.block(block).chunks_exact(plane).zip(gy.block(block).chunks_exact(plane));
                planes.enumerate().for_each(|(c, (z, gy))| sums.take(c, z, gy, plane));
                sums.finish()
            })
            .collect();
        self.add_blocks(&sums);
    }

    /// Adds the sums of the next groups.
    pub(super) fn add_blocks(&mut self, blocks: &[Vec<(f64, f64)>]) {
        for block in blocks {
            self.0.iter_mut().zip(block).for_each(|(t, s)| *t = (t.0 + s.0, t.1 + s.1));
        }
    }
}

/// The two sums of one group of images, computed tile by tile while the gradient is written.
pub(crate) struct BlockSums<'a> {
    mean: &'a [f32],
    mask: Lane,
    planes: Vec<PlaneSums>,
}

/// `(Σ gy, Σ gy·(z − mean))` of the first `done` pixels of a plane.
#[derive(Clone, Copy, Default)]
struct PlaneSums {
    sums: (f64, f64),
    done: usize,
}

impl<'a> BlockSums<'a> {
    /// Sums of nothing yet. `stats` are those of `z` over the whole batch; `mask` marks the images of the group.
    pub(crate) fn new(stats: &'a BatchStats, mask: Lane) -> Self {
        let mean = &stats.mean;
        Self { mean, mask, planes: vec![PlaneSums::default(); mean.len()] }
    }

    /// Adds the new pixels of channel `c`; the first `known` pixels of its gradient are final. The sums are always
    /// taken over the same chunks of 128 pixels, so the result does not depend on the tiles.
    pub(crate) fn take(&mut self, c: usize, z: &[Lane], gy: &[Lane], known: usize) {
        let plane = &mut self.planes[c];
        // An incomplete chunk waits for the next tile.
        let end = if known == z.len() { known } else { known - known % SUMS_CHUNK };
        while plane.done < end {
            let chunk = plane.done..end.min(plane.done + SUMS_CHUNK);
            let z = &z[chunk.clone()];
            let gy = &gy[chunk.clone()];
            let mean = self.mean[c];
            let mask = &self.mask;
            let kernel = ChunkSums { z: z.as_ptr(), gy: gy.as_ptr(), pixels: z.len(), mean, mask };
            // SAFETY: both chunks hold `pixels` lanes.
            let (sum, product) = unsafe { simd::run(kernel) };
            plane.sums = (plane.sums.0 + f64::from(sum), plane.sums.1 + f64::from(product));
            plane.done = chunk.end;
        }
    }

    /// The sums of every channel.
    pub(crate) fn finish(self) -> Vec<(f64, f64)> {
        self.planes.into_iter().map(|plane| plane.sums).collect()
    }
}

/// `(Σ m·gy, Σ m·gy·(z − mean))` over `pixels` lanes at `z` and `gy`, `m` being the lane `mask`.
///
/// One pass in memory order, both maps prefetched. Four accumulators per sum, so that additions overlap.
struct ChunkSums<'a> {
    z: *const Lane,
    gy: *const Lane,
    pixels: usize,
    mean: f32,
    mask: &'a Lane,
}

#[allow(unsafe_op_in_unsafe_fn)] // Reads inside the extents of the struct's contract.
impl SimdKernel for ChunkSums<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f32, f32) {
        let mean = S::splat(self.mean);
        let mask = S::load(self.mask);
        let mut sum = [S::splat(0.0); 4];
        let mut product = [S::splat(0.0); 4];
        let mut p = 0;
        while p + 4 <= self.pixels {
            // Constant indices after unrolling: the sums stay in registers.
            for i in 0..4 {
                simd::prefetch(self.gy.wrapping_add(p + i + AHEAD));
                simd::prefetch(self.z.wrapping_add(p + i + AHEAD));
                let g = S::mul(S::load(self.gy.add(p + i)), mask);
                sum[i] = S::add(sum[i], g);
                product[i] = S::fma(g, S::sub(S::load(self.z.add(p + i)), mean), product[i]);
            }
            p += 4;
        }
        while p < self.pixels {
            let g = S::mul(S::load(self.gy.add(p)), mask);
            sum[0] = S::add(sum[0], g);
            product[0] = S::fma(g, S::sub(S::load(self.z.add(p)), mean), product[0]);
            p += 1;
        }
        let total = |v: [S::V; 4]| S::sum(S::add(S::add(v[0], v[1]), S::add(v[2], v[3])));
        (total(sum), total(product))
    }
}
