//! Depthwise convolution: one k×k filter per channel.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::tensors::{self, Argument};
use crate::filter;
use crate::map::Value;

const OP: &str = "depthwise convolution";

/// Filters each channel of x `[n, c, h, w]` with its own filter `[c, 1, k, k]`, k = 3 or 5, stride 1 or 2, SAME
/// padding; result `[n, c, ⌈h/stride⌉, ⌈w/stride⌉]`.
///
/// # Errors
/// If shapes, stride or element types are others.
pub fn depthwise_conv2d(x: &Tensor, filter: &Tensor, stride: usize) -> Result<Tensor> {
    x.apply_op2(filter, DepthwiseConv2d { stride })
}

/// The op behind [`depthwise_conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv2d {
    /// 1 or 2.
    pub stride: usize,
}

impl CustomOp2 for DepthwiseConv2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        check_stride(OP, self.stride)?;
        let input = Value::plain(Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?);
        let (k, filters) =
            Argument { op: OP, name: "filter", storage: s2, layout: l2 }.filter(input.map.c())?;
        Ok(tensors::output(&filter::forward(&input, &filters, k, self.stride)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let input = tensors::value(OP, "x", x)?;
        let (k, filters) = tensors::with(OP, "filter", w, |w| w.filter(input.map.c()))?;
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let (gx, gw) = filter::backward(&input, &filters, (k, self.stride), &grad, x.track_op());
        Ok((tensors::map_gradient(gx, x)?, tensors::gradient(tensors::transpose(&gw, k * k), w)?))
    }
}

pub(super) fn check_stride(op: &str, stride: usize) -> Result<()> {
    if !matches!(stride, 1 | 2) {
        bail!("{op}: stride {stride}, expected 1 or 2");
    }
    Ok(())
}
