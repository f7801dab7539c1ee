//! The operations, a folder each: the CPU code, the launches of the GPU (`gpu.rs`) and the CUDA kernels (`.cu`).

pub(crate) mod batch_norm;
pub(crate) mod classifier;
pub(crate) mod conv_block;
pub(crate) mod depthwise_conv;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod im2row;
pub(crate) mod optim;
pub(crate) mod pool;
