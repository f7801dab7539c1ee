//! The operations as candle custom ops: ordinary tensors in and out, gradients through candle's autograd.
//!
//! For networks that are written with candle. Each call converts its tensors to the blocked layout and back. A network
//! saves these passes over memory if it keeps [`FeatureMap`](crate::FeatureMap)s between operations.
//!
//! Tensors are `f32`, `[n, c, h, w]`, of any strides. They are on the CPU or, with the feature `cuda`, on an NVIDIA
//! GPU. Other tensors are refused with an error that names the shapes. Convolution weights have candle's layout,
//! `[outputs, inputs, k, k]`. Padding is TensorFlow's SAME.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use enas_kernels::custom_ops::depthwise_conv2d;
//!
//! # fn main() -> candle_core::Result<()> {
//! let x = Tensor::ones((2, 3, 8, 8), candle_core::DType::F32, &Device::Cpu)?;
//! let filter = Var::ones((3, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let y = depthwise_conv2d(&x, &filter, 2)?;
//! assert_eq!(y.dims(), [2, 3, 4, 4]);
//! let gradients = y.sum_all()?.backward()?;
//! assert!(gradients.get(&filter).is_some());
//! # Ok(())
//! # }
//! ```

mod batch_norm;
mod depthwise_conv;
mod factorized_reduction;
mod gpu_op;
mod pointwise_conv;
mod pool;
mod separable_conv;
mod tensors;

pub use batch_norm::{BatchNorm, batch_norm};
pub use depthwise_conv::{DepthwiseConv2d, depthwise_conv2d};
pub use factorized_reduction::{FactorizedReduction, factorized_reduction};
pub use gpu_op::{GpuArgument, GpuOp};
pub use pointwise_conv::{PointwiseConv2d, pointwise_conv2d};
pub use pool::{Padding, Pool2d, pool2d};
pub use separable_conv::{SeparableConv2d, separable_conv2d};
