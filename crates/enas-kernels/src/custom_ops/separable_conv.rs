//! Separable convolution of a rectified input: ReLU, one filter per channel, then a 1×1 convolution.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::depthwise_conv::check_stride;
use super::gpu_op::{self, Convolution, Gather, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::Activation;
use crate::gpu::Buffer;
use crate::ops::conv_block::{ConvBlock, ConvBranch};
use crate::ops::im2row::Im2row;

const OP: &str = "separable convolution";

/// Filters `max(x, 0)`, `[n, c, h, w]`, with `depthwise` `[c, 1, k, k]` (k = 3 or 5, stride 1 or 2, SAME padding). Then
/// mixes the channels with `pointwise` `[outputs, c, 1, 1]`. Result `[n, outputs, ⌈h/stride⌉, ⌈w/stride⌉]`.
///
/// # Errors
/// If shapes, stride or element types differ from these.
pub fn separable_conv2d(x: &Tensor, depthwise: &Tensor, pointwise: &Tensor, stride: usize) -> Result<Tensor> {
    x.apply_op3(depthwise, pointwise, SeparableConv2d { stride })
}

/// The op behind [`separable_conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct SeparableConv2d {
    /// 1 or 2.
    pub stride: usize,
}

impl CustomOp3 for SeparableConv2d {
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
        check_stride(OP, self.stride)?;
        let inputs = [Activation::plain(Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?)];
        let channels = inputs[0].map.c();
        let (k, filter) = Argument { op: OP, name: "depthwise", storage: s2, layout: l2 }.filter(channels)?;
        let (outputs, weight) =
            Argument { op: OP, name: "pointwise", storage: s3, layout: l3 }.matrix(channels)?;
        let rows = Im2row::Depthwise { filter: &filter, k, stride: self.stride };
        let branches = [ConvBranch { rows, weight: &weight, outputs }];
        Ok(tensors::output(&ConvBlock { inputs: &inputs, relu: true, branches: &branches }.forward(false).0))
    }

    gpu_op::cuda_fwd!(s1 l1, s2 l2, s3 l3);

    fn bwd(
        &self,
        x: &Tensor,
        depthwise: &Tensor,
        pointwise: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        if let Some(gradients) = gpu_op::backward(self, &[x, depthwise, pointwise], grad)? {
            return gpu_op::triple(gradients);
        }
        let inputs = [tensors::value(OP, "x", x)?];
        let channels = inputs[0].map.c();
        let (k, filter) = tensors::with(OP, "depthwise", depthwise, |w| w.filter(channels))?;
        let (outputs, weight) = tensors::with(OP, "pointwise", pointwise, |w| w.matrix(channels))?;
        let rows = Im2row::Depthwise { filter: &filter, k, stride: self.stride };
        let branches = [ConvBranch { rows, weight: &weight, outputs }];
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let mut gradients = [None];
        let conv_block = ConvBlock { inputs: &inputs, relu: true, branches: &branches };
        let got = conv_block.backward_raw(&grad, x.track_op().then_some(&mut gradients[..]));
        let [gx] = gradients;
        let gd = tensors::transpose(&got.filters[0], k * k);
        let gp = tensors::transpose(&got.weights[0], channels);
        Ok((
            tensors::map_gradient(gx, x)?,
            tensors::gradient(gd, depthwise)?,
            tensors::gradient(gp, pointwise)?,
        ))
    }
}

impl SeparableConv2d {
    fn on_gpu(&self, args: &[GpuArgument<'_>]) -> Result<Convolution> {
        check_stride(OP, self.stride)?;
        let x = args[0].value(OP, "x")?;
        let (k, filter) = args[1].filter(OP, "depthwise", x.map.c())?;
        let products = vec![args[2].matrix(OP, "pointwise", x.map.c())?];
        Ok(Convolution { x, relu: true, gather: Gather::Depthwise(filter, k, self.stride), products })
    }
}

impl GpuOp for SeparableConv2d {
    fn forward_gpu(&self, args: &[GpuArgument<'_>]) -> Result<(Buffer, Shape)> {
        Ok(self.on_gpu(args)?.forward())
    }

    fn backward_gpu(
        &self,
        args: &[GpuArgument<'_>],
        grad: GpuArgument<'_>,
        wants_first: bool,
    ) -> Result<Vec<Option<Buffer>>> {
        Ok(self.on_gpu(args)?.backward(&grad.map(OP, "gradient")?, wants_first))
    }
}
