//! 1×1 convolution.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::gpu_op::{self, Convolution, Gather, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::Activation;
use crate::gpu::Buffer;
use crate::ops::conv_block::{ConvBlock, ConvBranch};
use crate::ops::im2row::Im2row;

const OP: &str = "pointwise convolution";

/// Mixes the channels of x `[n, c, h, w]` with `weight`, `[outputs, c, 1, 1]`; result `[n, outputs, h, w]`.
///
/// # Errors
/// If shapes or element types differ from these.
pub fn pointwise_conv2d(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.apply_op2(weight, PointwiseConv2d)
}

/// The op behind [`pointwise_conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct PointwiseConv2d;

impl CustomOp2 for PointwiseConv2d {
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
        let inputs = [Activation::plain(Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?)];
        let weight = Argument { op: OP, name: "weight", storage: s2, layout: l2 };
        let (outputs, weight) = weight.matrix(inputs[0].map.c())?;
        let branches = [ConvBranch { rows: Im2row::Pixels, weight: &weight, outputs }];
        let conv_block = ConvBlock { inputs: &inputs, relu: false, branches: &branches };
        Ok(tensors::output(&conv_block.forward(false).0))
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
        let inputs = [tensors::value(OP, "x", x)?];
        let channels = inputs[0].map.c();
        let (outputs, weight) = tensors::with(OP, "weight", w, |w| w.matrix(channels))?;
        let branches = [ConvBranch { rows: Im2row::Pixels, weight: &weight, outputs }];
        let conv_block = ConvBlock { inputs: &inputs, relu: false, branches: &branches };
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let mut gradients = [None];
        let got = conv_block.backward_raw(&grad, x.track_op().then_some(&mut gradients[..]));
        let [gx] = gradients;
        let gw = tensors::transpose(&got.weights[0], channels);
        Ok((tensors::map_gradient(gx, x)?, tensors::gradient(gw, w)?))
    }
}

impl PointwiseConv2d {
    fn on_gpu(&self, args: &[GpuArgument<'_>]) -> Result<Convolution> {
        let x = args[0].value(OP, "x")?;
        let products = vec![args[1].matrix(OP, "weight", x.map.c())?];
        Ok(Convolution { x, relu: false, gather: Gather::Pixels, products })
    }
}

impl GpuOp for PointwiseConv2d {
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
