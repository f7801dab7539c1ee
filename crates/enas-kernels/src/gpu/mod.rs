//! GPUs: devices, their memory, launches, and feature maps on them. The operations themselves are in `ops`, each next
//! to its counterpart on the CPU: a launch in Rust (`gpu.rs`) and the kernel in CUDA C++ (`.cu`).
//!
//! Every operation on a GPU has the layout of maps and the formulas of its counterpart on the CPU. Kernels reduce in
//! two fixed stages and never with floating-point atomics, so a run repeats to the bit.

pub(crate) mod buffer;
mod candle;
pub(crate) mod copy;
pub(crate) mod cost;
mod counting_device;
mod cuda;
pub(crate) mod device;
pub(crate) mod feature_map;
mod images;
pub(crate) mod launch;
mod layout;
pub(crate) mod memory;
mod precision;

pub use crate::ops::batch_norm::gpu::batch_stats::{GpuBatchStats, GpuRunningStats};
pub(crate) use crate::ops::batch_norm::gpu::gradient::batch_norm_backward;
pub use crate::ops::classifier::gpu::{
    GpuLossRule, GpuTargets, classifier_backward, classifier_forward, cross_entropy, scale_features,
};
pub use crate::ops::conv_block::gpu::{GpuConvBlock, GpuConvBlockGradient, GpuConvBranch};
pub use crate::ops::dropout::gpu::drop_factors;
pub use crate::ops::elementwise::gpu::{
    GpuTerm, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward,
};
pub use crate::ops::im2row::gpu::GpuIm2row;
pub use crate::ops::optim::gpu::move_averages;
pub use crate::ops::optim::tensor_list::TensorList;
pub use buffer::{Buffer, Span};
pub use candle::{for_device, open, with_buffers};
pub use copy::{add_numbers, copy_numbers, transpose_numbers};
pub use cost::{Cost, KernelCost};
pub use counting_device::{CountingDevice, LaunchCounts};
pub use device::{Arg, Device, Error, Handle, Launch};
pub use feature_map::{GpuActivation, GpuFeatureMap};
pub use images::{GpuImages, SelectedImages};
pub use memory::Gpu;
pub use precision::Precision;
