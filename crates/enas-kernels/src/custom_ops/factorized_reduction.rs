//! Factorised reduction: halves the height and width, and still uses the odd pixels.
//!
//! The authors' code: `_factorized_reduction` in `src/cifar10/micro_child.py`, line 115.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::gpu_op::{self, Convolution, Gather, GpuArgument, GpuOp};
use super::tensors::{self, Argument};
use crate::feature_map::Activation;
use crate::gpu::Buffer;
use crate::ops::conv_block::{ConvBlock, ConvBranch};
use crate::ops::im2row::Im2row;

const OP: &str = "factorised reduction";

/// Two 1×1 convolutions of x `[n, c, h, w]` side by side: pixels 0, 2, … with `even` `[a, c, 1, 1]`, and pixels 1, 3, …
/// with `odd` `[b, c, 1, 1]`, zero past the edge. Result `[n, a + b, ⌈h/2⌉, ⌈w/2⌉]`.
///
/// # Errors
/// If shapes or element types differ from these.
pub fn factorized_reduction(x: &Tensor, even: &Tensor, odd: &Tensor) -> Result<Tensor> {
    x.apply_op3(even, odd, FactorizedReduction)
}

/// The op behind [`factorized_reduction`].
#[derive(Clone, Copy, Debug)]
pub struct FactorizedReduction;

/// The two branches with their `(outputs, matrix)`.
fn branches<'a>(even: &'a (usize, Vec<f32>), odd: &'a (usize, Vec<f32>)) -> [ConvBranch<'a>; 2] {
    let branch = |offset, (outputs, weight): &'a (usize, Vec<f32>)| ConvBranch {
        rows: Im2row::EverySecond { offset },
        weight,
        outputs: *outputs,
    };
    [branch(0, even), branch(1, odd)]
}

impl CustomOp3 for FactorizedReduction {
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
        let inputs = [Activation::plain(Argument { op: OP, name: "x", storage: s1, layout: l1 }.map()?)];
        let channels = inputs[0].map.c();
        let even = Argument { op: OP, name: "even", storage: s2, layout: l2 }.matrix(channels)?;
        let odd = Argument { op: OP, name: "odd", storage: s3, layout: l3 }.matrix(channels)?;
        let conv_block = ConvBlock { inputs: &inputs, relu: false, branches: &branches(&even, &odd) };
        Ok(tensors::output(&conv_block.forward(false).0))
    }

    gpu_op::cuda_fwd!(s1 l1, s2 l2, s3 l3);

    fn bwd(
        &self,
        x: &Tensor,
        even: &Tensor,
        odd: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        if let Some(gradients) = gpu_op::backward(self, &[x, even, odd], grad)? {
            return gpu_op::triple(gradients);
        }
        let inputs = [tensors::value(OP, "x", x)?];
        let channels = inputs[0].map.c();
        let even_matrix = tensors::with(OP, "even", even, |w| w.matrix(channels))?;
        let odd_matrix = tensors::with(OP, "odd", odd, |w| w.matrix(channels))?;
        let grad = tensors::value(OP, "gradient", grad)?.map;
        let conv_block =
            ConvBlock { inputs: &inputs, relu: false, branches: &branches(&even_matrix, &odd_matrix) };
        let mut gradients = [None];
        let got = conv_block.backward_raw(&grad, x.track_op().then_some(&mut gradients[..]));
        let [gx] = gradients;
        let weight = |i: usize, like| tensors::gradient(tensors::transpose(&got.weights[i], channels), like);
        Ok((tensors::map_gradient(gx, x)?, weight(0, even)?, weight(1, odd)?))
    }
}

impl FactorizedReduction {
    fn on_gpu(&self, args: &[GpuArgument<'_>]) -> Result<Convolution> {
        let x = args[0].value(OP, "x")?;
        let channels = x.map.c();
        let products = vec![args[1].matrix(OP, "even", channels)?, args[2].matrix(OP, "odd", channels)?];
        Ok(Convolution { x, relu: false, gather: Gather::EverySecond, products })
    }
}

impl GpuOp for FactorizedReduction {
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
