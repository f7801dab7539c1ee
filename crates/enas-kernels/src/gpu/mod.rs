//! The operations of this crate on a GPU: a launch in Rust beside each kernel in CUDA C++.
//!
//! Every operation here is the twin of one on the CPU, with the same layout of maps and the same formulas. Kernels
//! reduce in two fixed stages and never with floating-point atomics, so a run repeats to the bit.

#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod lanes;
mod map;
mod memory;
mod moments;
mod norm;
mod product;
mod rows;
mod unit;
mod weight_gradient;

#[cfg(feature = "cuda")]
pub use cuda::Cuda;
pub use device::{Arg, Device, Error, Handle, Launch};
pub use map::{GpuMap, GpuValue};
pub use memory::{Buffer, Gpu, Span};
pub use moments::{GpuMoments, GpuRunningMoments};
pub use rows::GpuRows;
pub use unit::{GpuBranch, GpuUnit, GpuUnitGradient};
