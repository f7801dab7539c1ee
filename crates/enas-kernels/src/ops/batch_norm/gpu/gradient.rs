//! The backward pass of a batch normalisation; the kernels and their method outline are in `gradient.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::feature_map::GpuFeatureMap;
use crate::gpu::launch::Param;
use crate::ops::batch_norm::EPSILON;
use crate::ops::batch_norm::gpu::batch_stats::GpuBatchStats;

/// Threads of the kernel with one block per channel, and of those over maps, as in `gradient.cu`.
const CHANNEL_THREADS: usize = 128;
const MAP_THREADS: usize = 256;
/// Positions of a block that sums, as in `gradient.cu`.
const CHUNK: usize = 4096;

/// The operands of a batch normalisation's backward pass.
pub(crate) struct Gradient<'a> {
    /// The raw map.
    pub(crate) z: &'a GpuFeatureMap,
    /// Its statistics.
    pub(crate) stats: &'a GpuBatchStats,
    /// The scale, `[c]`.
    pub(crate) gamma: Span<'a>,
    /// The gradient of the normalised map.
    pub(crate) gy: &'a GpuFeatureMap,
}

/// Returns the gradient of a map that was normalised with `stats` and scaled by `gamma`, and those of γ and β, `[c]`
/// each. `z`, `gy` and the result are `[n, c, h, w]`.
///
/// # Panics
/// If shapes do not fit.
pub(crate) fn batch_norm_backward(
    z: &GpuFeatureMap,
    stats: &GpuBatchStats,
    gamma: Span<'_>,
    gy: &GpuFeatureMap,
) -> (GpuFeatureMap, Buffer, Buffer) {
    let [gamma_grad, beta_grad] = [(); 2].map(|()| z.gpu().zeros(z.c()));
    let to_gamma = gamma_grad.span(0, z.c());
    let to_beta = beta_grad.span(0, z.c());
    let gz = Gradient { z, stats, gamma, gy }.propagate(Some(to_gamma), Some(to_beta));
    (gz, gamma_grad, beta_grad)
}

impl Gradient<'_> {
    /// Returns the gradient of the raw map, zero in lanes without an image. Adds the gradients of γ and β to the spans,
    /// if there are any.
    ///
    /// Reads `z` and `gy` twice, writes the result.
    pub(crate) fn propagate(&self, gamma: Option<Span<'_>>, beta: Option<Span<'_>>) -> GpuFeatureMap {
        let c = self.z.c();
        assert_eq!(self.z.shape(), self.gy.shape(), "a gradient has the shape of its map");
        assert_eq!((self.stats.c, self.gamma.len), (c, c), "statistics and a scale for every channel");
        let coefficients = self.coefficients(&self.sums(), gamma, beta);
        self.evaluate(&coefficients)
    }

    /// Number of parts that the positions are cut into.
    fn parts(&self) -> usize {
        self.z.positions().div_ceil(CHUNK)
    }

    /// `Σ gy` and `Σ gy·(z − mean)` of every part, `[c, parts, 2]`.
    fn sums(&self) -> Buffer {
        let z = self.z;
        let parts = self.parts();
        let sums = z.gpu().buffer(z.c() * parts * 2);
        let (n, c, _, _) = z.shape();
        let mut args = vec![z.into(), self.gy.into(), (&self.stats.data).into()];
        args.extend([(&sums).into(), c.into(), z.row().into(), z.positions().into(), n.into()]);
        let cost = z.traffic(2 * z.len()) + Cost::new(2 * c * parts + c, 4 * z.len());
        z.gpu().launch("norm_sums", [parts, c, 1], [MAP_THREADS, 1, 1], &args, cost);
        sums
    }

    /// Factor, mean term, slope and mean of every channel, `[4, c]`.
    fn coefficients(&self, sums: &Buffer, gamma: Option<Span<'_>>, beta: Option<Span<'_>>) -> Buffer {
        let gpu = self.z.gpu();
        let c = self.z.c();
        let coefficients = gpu.buffer(4 * c);
        let mut args = vec![sums.into(), self.parts().into()];
        args.extend([(&self.stats.data).into(), self.gamma.into()]);
        for target in [gamma, beta] {
            assert!(target.is_none_or(|target| target.len == c), "one gradient for every channel");
            // Without a target nothing is written, so any valid address serves.
            args.extend([target.map_or((&coefficients).into(), Param::from), target.is_some().into()]);
        }
        args.extend([(&coefficients).into(), c.into(), self.stats.count.into(), EPSILON.into()]);
        let sums = 2 * c * self.parts();
        let gradients = c * [gamma, beta].iter().flatten().count();
        let cost = Cost::new(sums + 3 * c + 2 * gradients + 4 * c, sums + 2 * gradients + 10 * c);
        gpu.launch("norm_coefficients", [c, 1, 1], [CHANNEL_THREADS, 1, 1], &args, cost);
        coefficients
    }

    /// `factor·gy − mean term − slope·(z − mean)`.
    fn evaluate(&self, coefficients: &Buffer) -> GpuFeatureMap {
        let z = self.z;
        let gz = z.another(z.shape());
        let (n, c, _, _) = z.shape();
        let quads = gz.len() / 4;
        let mut args = vec![z.into(), self.gy.into(), coefficients.into()];
        args.extend([(&gz).into(), c.into(), z.row().into(), quads.into(), n.into()]);
        let cost = z.traffic(3 * z.len()) + Cost::new(4 * c, 5 * z.len());
        let grid = [quads.div_ceil(MAP_THREADS), 1, 1];
        z.gpu().launch("norm_gradient", grid, [MAP_THREADS, 1, 1], &args, cost);
        gz
    }
}
