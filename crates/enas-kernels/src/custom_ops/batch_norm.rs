//! Batch normalisation with the statistics of the batch.

use std::sync::{Arc as SyncArc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::tensors::{self, Argument};
use crate::map::{Map, Value};
use crate::norm::{self, Moments};

const OP: &str = "batch norm";

/// `γ·(x − μ)/√(v + ε) + β` per channel of x `[n, c, h, w]`, with γ and β `[c]`; also the statistics μ and v, to
/// feed moving ones with. ε is [`EPSILON`](crate::EPSILON).
///
/// # Errors
/// If shapes or element types are others.
pub fn batch_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<(Tensor, Moments)> {
    let op = BatchNorm::default();
    let y = x.apply_op3(gamma, beta, op.clone())?;
    match op.moments() {
        Some(moments) => Ok((y, moments.clone())),
        None => bail!("{OP}: no statistics on {:?}", x.device()),
    }
}

/// The op behind [`batch_norm`]. One object normalises one tensor and then holds its statistics; clones share
/// them.
#[derive(Clone, Debug, Default)]
pub struct BatchNorm {
    moments: SyncArc<OnceLock<Moments>>,
}

impl BatchNorm {
    /// The statistics of the tensor that was normalised; `None` before that.
    pub fn moments(&self) -> Option<&Moments> {
        self.moments.get()
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
        let moments = Moments::of(&x);
        let shape = Shape::from(x.shape());
        let value = Value { affine: Some(SyncArc::new(moments.affine(&gamma, &beta))), map: x };
        if self.moments.set(moments).is_err() {
            bail!("{OP}: this object has already normalised a tensor; make one per call");
        }
        Ok((CpuStorage::F32(value.to_nchw()), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(moments) = self.moments() else { bail!("{OP}: backward before forward") };
        let z = tensors::value(OP, "x", x)?.map;
        let gy = tensors::value(OP, "gradient", grad)?.map;
        let scale = tensors::with(OP, "gamma", gamma, |g| Ok(g.numbers_of(&[z.c()])?.into_owned()))?;
        let norm = norm::Gradient::new(&z, moments, &scale, &gy);
        let gx = x.track_op().then(|| input_gradient(&norm, &z, &gy));
        Ok((
            tensors::map_gradient(gx, x)?,
            tensors::gradient(norm.gamma, gamma)?,
            tensors::gradient(norm.beta, beta)?,
        ))
    }
}

fn input_gradient(norm: &norm::Gradient, z: &Map, gy: &Map) -> Map {
    let (n, c, h, w) = z.shape();
    let mut out = Map::uninit(n, c, h, w);
    out.lanes_mut().par_chunks_exact_mut(h * w).enumerate().for_each(|(i, out)| {
        let (block, channel) = (i / c, i % c);
        let at = channel * h * w..(channel + 1) * h * w;
        norm.evaluate(channel, block, &z.block(block)[at.clone()], &gy.block(block)[at], out);
    });
    out
}
