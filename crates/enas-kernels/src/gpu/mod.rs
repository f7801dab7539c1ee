//! The operations of this crate on a GPU: a launch in Rust next to each kernel in CUDA C++.
//!
//! Every operation here is the counterpart of one on the CPU, with the same layout of maps and the same formulas.
//! Kernels reduce in two fixed stages and never with floating-point atomics, so a run repeats to the bit.

mod apart;
mod batch_stats;
mod buffer;
mod candle;
mod conv_block;
mod cost;
mod counting_device;
mod device;
mod elementwise;
mod feature_map;
mod head;
mod im2row;
mod images;
mod lanes;
mod memory;
mod noise;
mod norm;
mod optim;
mod param;
mod pool;
mod precision;
mod product;
mod weight_gradient;

pub use apart::Apart;
pub use batch_stats::{GpuBatchStats, GpuRunningStats};
pub use buffer::{Buffer, Span};
pub use candle::{lend, on, open};
pub use conv_block::{GpuBranch, GpuConvBlock, GpuConvBlockGradient};
pub use cost::{Cost, KernelCost};
pub use counting_device::{CountingDevice, Counts};
pub use device::{Arg, Device, Error, Handle, Launch};
pub use elementwise::{GpuTerm, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward};
pub use feature_map::{GpuActivation, GpuFeatureMap};
pub use head::{
    GpuLossRule, GpuTargets, classifier_backward, classifier_forward, cross_entropy, scale_features,
};
pub use im2row::GpuIm2row;
pub use images::{Chosen, GpuImages};
pub use lanes::{add_numbers, copy_numbers, transpose_numbers};
pub use memory::Gpu;
pub use noise::drop_factors;
pub(crate) use norm::batch_norm_backward;
pub use optim::move_averages;
pub use precision::Precision;
