//! Tensor operations of ENAS networks, forward and backward, on the CPU and on NVIDIA GPUs.
//!
//! This crate knows shapes, not networks. The central type is [`ConvBlock`], the convolution conv block: it gathers rows (im2row),
//! multiplies them by a matrix and takes the statistics for batch norm (BN). [`Pool`], [`add`] and [`relu_mean`]
//! complete a network. [`Nesterov`] and [`TfAdam`] train it. [`FeatureMap`] holds the activations in a blocked layout: sixteen
//! images form one vector.
//!
//! ```
//! use enas_kernels::{Activation, Branch, ConvBlock, FeatureMap, Im2row};
//!
//! // A 1×1 convolution from one channel to two, on two images of 2×2 pixels.
//! let images = FeatureMap::from_nchw(&[1., 2., 3., 4., 5., 6., 7., 8.], 2, 1, 2, 2);
//! let branch = Branch { rows: Im2row::Pixels, weight: &[1.0, -1.0], outputs: 2 };
//! let conv_block = ConvBlock { inputs: &[Activation::plain(images)], relu: false, branches: &[branch] };
//! let (z, moments) = conv_block.forward(true);
//! assert_eq!(z.to_nchw()[..8], [1., 2., 3., 4., -1., -2., -3., -4.]);
//! assert_eq!(moments.map(|m| m.mean), Some(vec![4.5, -4.5]));
//! ```
// The vector kernels need raw pointers and processor instructions. Every `unsafe` here states what makes it sound.
#![allow(unsafe_code)]

mod allocator;
mod buffer;
mod buffer_pool;
pub mod candle;
mod conv_block;
pub mod custom_ops;
mod depthwise;
mod elementwise;
mod feature_map;
mod filter;
mod gemm;
mod geometry;
pub mod gpu;
mod im2row;
mod memory;
mod norm;
mod operand;
mod optim;
mod pool;
pub mod profile;
mod simd;

pub use allocator::{return_freed_memory, trim_allocator, tune_allocator};
pub use buffer::{limit_buffers, release_idle_buffers};
pub use buffer_pool::BufferLedger;
pub use conv_block::{Branch, ConvBlock, ConvBlockGradient};
pub use elementwise::{Term, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward};
pub use feature_map::{Activation, Affine, FeatureMap};
pub use geometry::Axis;
pub use im2row::Im2row;
pub use norm::{BatchStats, BatchStatsSums, EPSILON, GradientSums, RunningStats};
pub use optim::{Nesterov, TfAdam};
pub use pool::{Pool, PoolKind};
pub use simd::{LANES, Lane, Level, level};

/// Compiles and runs the example of the read-me.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
