//! The operations on a GPU: the common part of `cuda_fwd` and of the custom ops' backward passes.

use candle_core::{CudaStorage, Layout, Result, Shape, Tensor, bail};

use super::tensors::{filter_dims, image_dims, matrix_dims};
use crate::gpu::{
    self, Buffer, Gpu, GpuActivation, GpuConvBlock, GpuConvBranch, GpuFeatureMap, GpuIm2row, Precision, Span,
    transpose_numbers,
};

/// An argument of an operation, on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct GpuArgument<'a> {
    /// Its numbers, in logical order.
    pub numbers: &'a Buffer,
    /// Its dimensions.
    pub dims: &'a [usize],
}

/// An operation of this module on a GPU. Its custom op calls this for candle's tensors on NVIDIA GPUs. It also serves
/// devices that candle does not know.
pub trait GpuOp {
    /// Returns the result and its dimensions.
    ///
    /// # Errors
    /// If an argument has other dimensions than the operation takes.
    fn forward_gpu(&self, args: &[GpuArgument<'_>]) -> Result<(Buffer, Shape)>;

    /// Returns the gradients of the arguments, given the gradient of the result. The gradient of the first argument is
    /// `None` unless `wants_first`.
    ///
    /// # Errors
    /// If an argument has other dimensions than the operation takes.
    fn backward_gpu(
        &self,
        args: &[GpuArgument<'_>],
        grad: GpuArgument<'_>,
        wants_first: bool,
    ) -> Result<Vec<Option<Buffer>>>;
}

/// The method `cuda_fwd` of a custom op that is a [`GpuOp`]: a storage and a layout for each argument.
macro_rules! cuda_fwd {
    ($($storage:ident $layout:ident),+) => {
        fn cuda_fwd(
            &self,
            $($storage: &candle_core::CudaStorage, $layout: &Layout),+
        ) -> Result<(candle_core::CudaStorage, Shape)> {
            $crate::custom_ops::gpu_op::forward(self, &[$(($storage, $layout)),+])
        }
    };
}
pub(super) use cuda_fwd;

/// The forward pass of a custom op for candle's tensors on a GPU.
pub(super) fn forward(op: &impl GpuOp, args: &[(&CudaStorage, &Layout)]) -> Result<(CudaStorage, Shape)> {
    let (result, shape) = gpu::with_buffers(args, |numbers| {
        let args = numbers.iter().zip(args);
        let args: Vec<GpuArgument<'_>> =
            args.map(|(numbers, (_, layout))| GpuArgument { numbers, dims: layout.dims() }).collect();
        op.forward_gpu(&args)
    })?;
    result.into_storage(shape)
}

/// The gradients of tensors on a GPU; `None` if they are on the CPU.
pub(super) fn backward(
    op: &impl GpuOp,
    args: &[&Tensor],
    grad: &Tensor,
) -> Result<Option<Vec<Option<Tensor>>>> {
    if !grad.device().is_cuda() {
        return Ok(None);
    }
    let there = |tensor: &Tensor| Ok(Buffer::of(&tensor.detach().contiguous()?)?);
    let numbers = args.iter().map(|arg| there(arg)).collect::<Result<Vec<_>>>()?;
    let result = there(grad)?;
    let on_gpu: Vec<GpuArgument<'_>> =
        numbers.iter().zip(args).map(|(numbers, arg)| GpuArgument { numbers, dims: arg.dims() }).collect();
    let grad = GpuArgument { numbers: &result, dims: grad.dims() };
    let gradients = op.backward_gpu(&on_gpu, grad, args[0].track_op())?;
    let tensor = |(gradient, arg): (Option<Buffer>, &&Tensor)| {
        gradient.map(|gradient| gradient.into_tensor(arg.shape())).transpose()
    };
    gradients.into_iter().zip(args).map(tensor).collect::<Result<_>>().map(Some)
}

impl GpuArgument<'_> {
    /// Images as a value without pending normalisation.
    pub(super) fn value(&self, op: &str, name: &str) -> Result<GpuActivation> {
        Ok(GpuActivation::plain(self.map(op, name)?))
    }

    /// Images in the blocked layout.
    pub(super) fn map(&self, op: &str, name: &str) -> Result<GpuFeatureMap> {
        Ok(GpuFeatureMap::from_images(self.numbers, Precision::F32, image_dims(op, name, self.dims)?))
    }

    /// The number of outputs of a 1×1 weight `[outputs, inputs, 1, 1]`, and its matrix, `[inputs, outputs]`.
    pub(super) fn matrix(&self, op: &str, name: &str, inputs: usize) -> Result<(usize, Buffer)> {
        let outputs = matrix_dims(op, name, self.dims, inputs)?;
        Ok((outputs, transpose_numbers(self.numbers.span(0, inputs * outputs), outputs)))
    }

    /// The size `k` of depthwise filters `[channels, 1, k, k]`, and their numbers as `[k, k, channels]`.
    pub(super) fn filter(&self, op: &str, name: &str, channels: usize) -> Result<(usize, Buffer)> {
        let k = filter_dims(op, name, self.dims, channels)?;
        Ok((k, transpose_numbers(self.numbers.span(0, channels * k * k), channels)))
    }

    /// A vector `[len]`.
    pub(super) fn vector(&self, op: &str, name: &str, len: usize) -> Result<Span<'_>> {
        if self.dims != [len] {
            bail!("{op}: {name} is {:?}, expected [{len}]", self.dims);
        }
        Ok(self.numbers.span(0, len))
    }
}

/// The gradients of two arguments.
pub(super) fn pair(gradients: Vec<Option<Tensor>>) -> Result<(Option<Tensor>, Option<Tensor>)> {
    match <[_; 2]>::try_from(gradients) {
        Ok([a, b]) => Ok((a, b)),
        Err(other) => bail!("{} gradients of two arguments", other.len()),
    }
}

/// The gradients of three arguments.
pub(super) fn triple(
    gradients: Vec<Option<Tensor>>,
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    match <[_; 3]>::try_from(gradients) {
        Ok([a, b, c]) => Ok((a, b, c)),
        Err(other) => bail!("{} gradients of three arguments", other.len()),
    }
}

/// A map as the result of an operation.
pub(super) fn images(map: GpuFeatureMap) -> (Buffer, Shape) {
    let shape = Shape::from(map.shape());
    (GpuActivation::plain(map).to_images(), shape)
}

/// How the rows of a convolution's products are gathered.
pub(super) enum Gather {
    Pixels,
    EverySecond,
    /// Filters `[k, k, channels]`, their size and their stride.
    Depthwise(Buffer, usize, usize),
}

/// A convolution without a batch norm: one product, or one for each offset of its pixels.
pub(super) struct Convolution {
    pub(super) x: GpuActivation,
    pub(super) relu: bool,
    pub(super) gather: Gather,
    /// Number of outputs and matrix of each product.
    pub(super) products: Vec<(usize, Buffer)>,
}

impl Convolution {
    pub(super) fn forward(&self) -> (Buffer, Shape) {
        images(self.with_conv_block(|conv_block| conv_block.forward(false).0))
    }

    /// The gradients of x (if requested), of the filters (if there are any) and of the matrices, in candle's layouts.
    pub(super) fn backward(&self, grad: &GpuFeatureMap, wants_x: bool) -> Vec<Option<Buffer>> {
        let gpu = grad.gpu();
        let channels = self.x.map.c();
        let matrices: Vec<Buffer> =
            self.products.iter().map(|(outputs, _)| gpu.zeros(channels * outputs)).collect();
        let filters = self.filters(gpu, channels);
        let spans = self.products.iter().zip(&matrices).map(|((outputs, _), matrix)| {
            (matrix.span(0, channels * outputs), filters.as_ref().map(|(all, len, _)| all.span(0, *len)))
        });
        let spans = spans.collect::<Vec<_>>();
        let mut gx = [None];
        self.with_conv_block(|conv_block| {
            conv_block.backward_raw(grad, wants_x.then_some(&mut gx[..]), &spans)
        });
        let [gx] = gx;
        let filters = filters.map(|(all, len, taps)| transpose_numbers(all.span(0, len), taps));
        let matrices = self.products.iter().zip(&matrices);
        let transposed = matrices
            .map(|((outputs, _), matrix)| transpose_numbers(matrix.span(0, channels * outputs), channels));
        let x = gx.map(|gx| GpuActivation::plain(gx).to_images());
        std::iter::once(x).chain(filters.map(Some)).chain(transposed.map(Some)).collect()
    }

    /// Zeros for the gradient of the filters, their count, and the count of their taps.
    fn filters(&self, gpu: &Gpu, channels: usize) -> Option<(Buffer, usize, usize)> {
        match self.gather {
            Gather::Depthwise(_, k, _) => Some((gpu.zeros(channels * k * k), channels * k * k, k * k)),
            _ => None,
        }
    }

    fn with_conv_block<R>(&self, body: impl FnOnce(&GpuConvBlock<'_>) -> R) -> R {
        let channels = self.x.map.c();
        let rows = |offset| match &self.gather {
            Gather::Pixels => GpuIm2row::Pixels,
            Gather::EverySecond => GpuIm2row::EverySecond { offset },
            Gather::Depthwise(filter, k, stride) => {
                let filter = filter.span(0, channels * k * k);
                GpuIm2row::Depthwise { filter, k: *k, stride: *stride }
            }
        };
        let parts = self.products.iter().enumerate();
        let branches: Vec<GpuConvBranch<'_>> = parts
            .map(|(offset, (outputs, matrix))| {
                let weight = matrix.span(0, channels * outputs);
                let outputs = *outputs;
                GpuConvBranch { rows: rows(offset), weight, outputs }
            })
            .collect();
        let inputs = std::slice::from_ref(&self.x);
        body(&GpuConvBlock { inputs, relu: self.relu, branches: &branches })
    }
}
