//! Batch statistics, the resulting normalisation, and moving averages; the kernels are in `batch_stats.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::device::Error;
use crate::gpu::feature_map::GpuFeatureMap;
use crate::gpu::launch::Param;
use crate::gpu::memory::Gpu;
use crate::ops::batch_norm::{BatchStats, EPSILON, RunningStats};

/// Threads of a block.
const THREADS: usize = 128;
/// Positions of a tile: those that a block of the product computes, as in `product.cu`.
pub(crate) const POSITIONS: usize = 128;
/// Numbers that describe a tile: count, pivot, mean less the pivot, sum of squared deviations.
pub(crate) const PARTIAL: usize = 4;

/// Statistics of every tile of a map, `[c, tiles, 4]`, written by the product that writes the map.
pub(crate) struct Partials {
    data: Buffer,
    tiles: usize,
}

impl Partials {
    /// Memory for the statistics of `z`.
    pub(crate) fn of(z: &GpuFeatureMap) -> Self {
        let tiles = tiles(z);
        Self { data: z.gpu().buffer(z.c() * tiles * PARTIAL), tiles }
    }

    /// The address of the statistics of channel `c`.
    pub(crate) fn of_channel(&self, c: usize) -> Param<'_> {
        Param::Buffer(&self.data, c * self.tiles * PARTIAL)
    }

    /// Merges them, in double precision and in a fixed order, into the statistics of `z`.
    ///
    /// Reads 16 bytes per channel and 128 positions.
    pub(crate) fn merge(self, z: &GpuFeatureMap) -> GpuBatchStats {
        let (n, c, h, w) = z.shape();
        let data = z.gpu().buffer(2 * c);
        let args = [(&self.data).into(), self.tiles.into(), (&data).into(), c.into()];
        // Merging two tiles takes about eight operations.
        let cost = Cost::new(c * self.tiles * PARTIAL + 2 * c, 8 * c * self.tiles);
        z.gpu().launch("moments_merge", [c, 1, 1], [THREADS, 1, 1], &args, cost);
        GpuBatchStats { data, c, count: n * h * w }
    }
}

/// Number of tiles of positions that a product cuts a map into.
pub(crate) fn tiles(map: &GpuFeatureMap) -> usize {
    map.positions().div_ceil(POSITIONS)
}

/// Mean and biased variance of every channel of a map, on the device: the counterpart of [`BatchStats`].
#[derive(Clone, Debug)]
pub struct GpuBatchStats {
    /// Means then variances, `[2, c]`.
    pub(crate) data: Buffer,
    pub(crate) c: usize,
    /// Count of numbers behind each: images × pixels.
    pub(crate) count: usize,
}

impl GpuBatchStats {
    /// A copy of `stats` on the device.
    pub(crate) fn upload(gpu: &Gpu, stats: &BatchStats) -> Self {
        let data = gpu.upload(&[&stats.mean[..], &stats.variance].concat());
        Self { data, c: stats.mean.len(), count: stats.count }
    }

    /// The normalisation with these statistics, scale `gamma` and offset `beta`, `[c]` each: factors then summands,
    /// `[2, c]`.
    ///
    /// Moves a few numbers per channel.
    pub fn affine(&self, gamma: Span<'_>, beta: Span<'_>) -> Buffer {
        affine(&self.data, self.c, gamma, beta)
    }

    /// Waits for all earlier work and returns a copy in host memory.
    ///
    /// # Errors
    /// The first failure on the device.
    pub fn download(&self) -> Result<BatchStats, Error> {
        let mut mean = self.data.download(0, 2 * self.c)?;
        let variance = mean.split_off(self.c);
        Ok(BatchStats { mean, variance, count: self.count })
    }
}

fn affine(stats: &Buffer, c: usize, gamma: Span<'_>, beta: Span<'_>) -> Buffer {
    assert_eq!((gamma.len, beta.len), (c, c), "one scale and one offset per channel");
    let gpu = stats.gpu();
    let affine = stats.gpu().buffer(2 * c);
    let args = [stats.into(), gamma.into(), beta.into(), (&affine).into(), c.into(), EPSILON.into()];
    let cost = Cost::new(6 * c, 6 * c);
    gpu.launch("moments_affine", [c.div_ceil(THREADS), 1, 1], [THREADS, 1, 1], &args, cost);
    affine
}

/// Moving mean and variance of a batch norm, on the device: the counterpart of [`RunningStats`].
#[derive(Debug)]
pub struct GpuRunningStats {
    /// Mean, variance, biased mean, biased variance, `[4, c]`.
    data: Buffer,
    c: usize,
    updates: u64,
}

impl GpuRunningStats {
    /// A copy of `stats` on the device.
    pub fn upload(gpu: &Gpu, stats: &RunningStats) -> Self {
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = stats;
        let data = gpu.upload(&[&mean[..], variance, biased_mean, biased_variance].concat());
        Self { data, c: mean.len(), updates: *updates }
    }

    /// Adds the statistics of one batch.
    ///
    /// Moves a few numbers per channel.
    ///
    /// # Panics
    /// If the numbers of channels differ.
    pub fn update(&mut self, batch: &GpuBatchStats) {
        assert_eq!(batch.c, self.c, "statistics of as many channels");
        self.updates += 1;
        let decay = RunningStats::DECAY;
        let exact_weight = 1.0 - f64::from(decay).powf(self.updates as f64);
        // Kernels take no doubles. Two floats together keep at least 47 bits.
        let weight = exact_weight as f32;
        let weight_rest = (exact_weight - f64::from(weight)) as f32;
        let old = (&self.data).into();
        let new = (&batch.data).into();
        let [decay, weight, weight_rest] = [decay, weight, weight_rest].map(Param::from);
        let args = [new, old, self.c.into(), batch.count.into(), decay, weight, weight_rest];
        let grid = [(2 * self.c).div_ceil(THREADS), 1, 1];
        let cost = Cost::new(8 * self.c, 9 * self.c);
        self.data.gpu().launch("moments_running", grid, [THREADS, 1, 1], &args, cost);
    }

    /// The normalisation at inference, with scale `gamma` and offset `beta`, `[c]` each: factors then summands,
    /// `[2, c]`.
    ///
    /// Moves a few numbers per channel.
    pub fn affine(&self, gamma: Span<'_>, beta: Span<'_>) -> Buffer {
        affine(&self.data, self.c, gamma, beta)
    }

    /// Waits for all earlier work and returns a copy in host memory.
    ///
    /// # Errors
    /// The first failure on the device.
    pub fn download(&self) -> Result<RunningStats, Error> {
        let numbers = self.data.download(0, 4 * self.c)?;
        let part = |i: usize| numbers[i * self.c..][..self.c].to_vec();
        let [mean, variance, biased_mean, biased_variance] = [0, 1, 2, 3].map(part);
        Ok(RunningStats { mean, variance, biased_mean, biased_variance, updates: self.updates })
    }
}
