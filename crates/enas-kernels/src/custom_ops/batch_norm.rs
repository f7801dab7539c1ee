//! Batch normalisation with the statistics of the batch.

use std::sync::{Arc as SyncArc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gpu_op::{self, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::{Activation, FeatureMap};
use crate::gpu::{Buffer, GpuActivation, GpuBatchStats, batch_norm_backward};
use crate::ops::batch_norm::{self, BatchStats};

const OP: &str = "batch norm";

/// Returns `γ·(x − μ)/√(v + ε) + β` per channel of x `[n, c, h, w]`, with γ and β `[c]`. Also returns the statistics μ
/// and v, for moving averages. ε is [`EPSILON`](crate::EPSILON).
///
/// # Errors
/// If shapes or element types differ from these.
pub fn batch_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<(Tensor, BatchStats)> {
    let op = BatchNorm::default();
    let y = x.apply_op3(gamma, beta, op.clone())?;
    match op.stats() {
        Some(stats) => Ok((y, stats.clone())),
        None => bail!("{OP}: no statistics on {:?}", x.device()),
    }
}

/// The op behind [`batch_norm`]. One object normalises one tensor and then holds its statistics. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct BatchNorm {
    stats: SyncArc<OnceLock<BatchStats>>,
}

impl BatchNorm {
    /// The statistics of the normalised tensor; `None` before the forward pass.
    pub fn stats(&self) -> Option<&BatchStats> {
        self.stats.get()
    }

    fn keep(&self, stats: BatchStats) -> Result<()> {
        if self.stats.set(stats).is_err() {
            bail!("{OP}: this object has already normalised a tensor; make one per call");
        }
        Ok(())
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?;
        let gamma = Argument { op: OP, name: "gamma", storage: s2, layout: l2 }.numbers_of(&[x.c()])?;
        let beta = Argument { op: OP, name: "beta", storage: s3, layout: l3 }.numbers_of(&[x.c()])?;
        let stats = BatchStats::of(&x);
        let shape = Shape::from(x.shape());
        let value = Activation { affine: Some(SyncArc::new(stats.affine(&gamma, &beta))), map: x };
        self.keep(stats)?;
        Ok((CpuStorage::F32(value.to_nchw()), shape))
    }

    gpu_op::cuda_fwd!(s1 l1, s2 l2, s3 l3);

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        if let Some(gradients) = gpu_op::backward(self, &[x, gamma, beta], grad)? {
            return gpu_op::triple(gradients);
        }
        let Some(stats) = self.stats() else { bail!("{OP}: backward before forward") };
        let z = tensors::value(OP, "x", x)?.map;
        let gy = tensors::value(OP, "gradient", grad)?.map;
        let scale = tensors::with(OP, "gamma", gamma, |g| Ok(g.numbers_of(&[z.c()])?.into_owned()))?;
        let norm = batch_norm::Gradient::new(&z, stats, &scale, &gy);
        let gx = x.track_op().then(|| input_gradient(&norm, &z, &gy));
        Ok((
            tensors::map_gradient(gx, x)?,
            tensors::gradient(norm.gamma, gamma)?,
            tensors::gradient(norm.beta, beta)?,
        ))
    }
}

fn input_gradient(norm: &batch_norm::Gradient, z: &FeatureMap, gy: &FeatureMap) -> FeatureMap {
    let (n, c, h, w) = z.shape();
    let mut out = FeatureMap::uninit(n, c, h, w);
    out.lanes_mut().par_chunks_exact_mut(h * w).enumerate().for_each(|(i, out)| {
        let block = i / c;
        let channel = i % c;
        let at = channel * h * w..(channel + 1) * h * w;
        norm.evaluate(channel, block, &z.block(block)[at.clone()], &gy.block(block)[at], out);
    });
    out
}

impl GpuOp for BatchNorm {
    fn forward_gpu(&self, args: &[GpuArgument<'_>]) -> Result<(Buffer, Shape)> {
        let (z, stats) = GpuBatchStats::of(args[0].map(OP, "x")?);
        let c = z.c();
        let shape = Shape::from(z.shape());
        let [gamma, beta] = [args[1].vector(OP, "gamma", c)?, args[2].vector(OP, "beta", c)?];
        let value = GpuActivation { affine: Some(stats.affine(gamma, beta)), map: z };
        self.keep(stats.download()?)?;
        Ok((value.to_images(), shape))
    }

    fn backward_gpu(
        &self,
        args: &[GpuArgument<'_>],
        grad: GpuArgument<'_>,
        wants_first: bool,
    ) -> Result<Vec<Option<Buffer>>> {
        let Some(stats) = self.stats() else { bail!("{OP}: backward before forward") };
        let z = args[0].map(OP, "x")?;
        let gy = grad.map(OP, "gradient")?;
        let stats = GpuBatchStats::upload(z.gpu(), stats);
        let gamma = args[1].vector(OP, "gamma", z.c())?;
        let (gx, gamma, beta) = batch_norm_backward(&z, &stats, gamma, &gy);
        Ok(vec![wants_first.then(|| gpu_op::images(gx).0), Some(gamma), Some(beta)])
    }
}
