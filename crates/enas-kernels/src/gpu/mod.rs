//! The operations of this crate on a GPU: a launch in Rust next to each kernel in CUDA C++.
//!
//! Every operation here is the counterpart of one on the CPU, with the same layout of maps and the same formulas.
//! Kernels reduce in two fixed stages and never with floating-point atomics, so a run repeats to the bit.

mod apart;
mod buffer;
mod candle;
mod cost;
mod device;
mod dry;
mod elementwise;
mod head;
mod lanes;
mod map;
mod memory;
mod moments;
mod noise;
mod norm;
mod optim;
mod param;
mod pictures;
mod pool;
mod precision;
mod product;
mod rows;
mod unit;
mod weight_gradient;

pub use apart::Apart;
pub use buffer::{Buffer, Span};
pub use candle::{lend, on, open};
pub use cost::{Cost, KernelCost};
pub use device::{Arg, Device, Error, Handle, Launch};
pub use dry::{Counts, Dry};
pub use elementwise::{GpuTerm, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward};
pub use head::{
    GpuLossRule, GpuTargets, classifier_backward, classifier_forward, cross_entropy, scale_features,
};
pub use lanes::{add_numbers, copy_numbers, transpose_numbers};
pub use map::{GpuMap, GpuValue};
pub use memory::Gpu;
pub use moments::{GpuMoments, GpuRunningMoments};
pub use noise::drop_factors;
pub(crate) use norm::batch_norm_backward;
pub use optim::move_averages;
pub use pictures::{Chosen, GpuPictures};
pub use precision::Precision;
pub use rows::GpuRows;
pub use unit::{GpuBranch, GpuUnit, GpuUnitGradient};
