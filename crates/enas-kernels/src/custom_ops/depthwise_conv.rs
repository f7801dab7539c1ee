//! Depthwise convolution: one k×k filter per channel.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::gpu_op::{self, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::Activation;
use crate::gpu::{Buffer, GpuActivation, GpuFeatureMap, GpuIm2row, transpose_numbers};
use crate::ops::depthwise_conv;

const OP: &str = "depthwise convolution";

/// Filters each channel of x `[n, c, h, w]` with its own filter `[c, 1, k, k]`, k = 3 or 5, stride 1 or 2, SAME
/// padding. Result `[n, c, ⌈h/stride⌉, ⌈w/stride⌉]`.
///
/// # Errors
/// If shapes, stride or element types differ from these.
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
        let input = Activation::plain(Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?);
        let (k, filters) =
            Argument { op: OP, name: "filter", storage: s2, layout: l2 }.filter(input.map.c())?;
        Ok(tensors::output(&depthwise_conv::forward(&input, &filters, k, self.stride)))
    }

    gpu_op::cuda_fwd!(s1 l1, s2 l2);

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if let Some(gradients) = gpu_op::backward(self, &[x, w], grad)? {
            return gpu_op::pair(gradients);
        }
        let input = tensors::value(OP, "x", x)?;
        let (k, filters) = tensors::with(OP, "filter", w, |w| w.filter(input.map.c()))?;
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let (gx, gw) = depthwise_conv::backward(&input, &filters, k, self.stride, &grad, x.track_op());
        Ok((tensors::map_gradient(gx, x)?, tensors::gradient(tensors::transpose(&gw, k * k), w)?))
    }
}

pub(super) fn check_stride(op: &str, stride: usize) -> Result<()> {
    if !matches!(stride, 1 | 2) {
        bail!("{op}: stride {stride}, expected 1 or 2");
    }
    Ok(())
}

impl DepthwiseConv2d {
    /// Calls `body` with x, the way in which it is filtered, and the number of filter weights.
    fn on_gpu<R>(
        &self,
        args: &[GpuArgument<'_>],
        body: impl FnOnce(&GpuActivation, GpuIm2row<'_>, usize) -> Result<R>,
    ) -> Result<R> {
        check_stride(OP, self.stride)?;
        let x = args[0].value(OP, "x")?;
        let (k, filter) = args[1].filter(OP, "filter", x.map.c())?;
        let len = k * k * x.map.c();
        body(&x, GpuIm2row::Depthwise { filter: filter.span(0, len), k, stride: self.stride }, len)
    }
}

impl GpuOp for DepthwiseConv2d {
    fn forward_gpu(&self, args: &[GpuArgument<'_>]) -> Result<(Buffer, Shape)> {
        self.on_gpu(args, |x, rows, _| Ok(gpu_op::images(rows.gather(std::slice::from_ref(x), false))))
    }

    fn backward_gpu(
        &self,
        args: &[GpuArgument<'_>],
        grad: GpuArgument<'_>,
        wants_first: bool,
    ) -> Result<Vec<Option<Buffer>>> {
        let grad = grad.map(OP, "gradient")?;
        self.on_gpu(args, |x, rows, len| {
            let inputs = std::slice::from_ref(x);
            let filters = grad.gpu().zeros(len);
            rows.filter_gradient(inputs, false, &grad, filters.span(0, len));
            let mut gx = [None];
            if wants_first {
                rows.scatter(inputs, false, &grad, &mut gx);
            }
            let [gx] = gx.map(|gx: Option<GpuFeatureMap>| gx.map(|gx| gpu_op::images(gx).0));
            Ok(vec![gx, Some(transpose_numbers(filters.span(0, len), len / x.map.c()))])
        })
    }
}
