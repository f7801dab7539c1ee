//! Tensor operations of ENAS networks, forward and backward, on the CPU and on NVIDIA GPUs.
//!
//! This crate knows shapes, not networks. The central type is [`ConvBlock`], the convolution block: it gathers rows
//! (im2row), multiplies them by a matrix and takes the statistics for batch norm (BN). [`Pool`], [`add`] and
//! [`relu_mean`] complete a network. [`Nesterov`] trains it. [`FeatureMap`] holds the activations in a blocked layout:
//! sixteen images form one vector.
//!
//! ```
//! use enas_kernels::{Activation, ConvBranch, ConvBlock, FeatureMap, Im2row};
//!
//! // A 1×1 convolution from one channel to two, on two images of 2×2 pixels.
//! let images = FeatureMap::from_nchw(&[1., 2., 3., 4., 5., 6., 7., 8.], 2, 1, 2, 2);
//! let branch = ConvBranch { rows: Im2row::Pixels, weight: &[1.0, -1.0], outputs: 2 };
//! let conv_block = ConvBlock { inputs: &[Activation::plain(images)], relu: false, branches: &[branch] };
//! let (z, statistics) = conv_block.forward(true);
//! assert_eq!(z.to_nchw()[..8], [1., 2., 3., 4., -1., -2., -3., -4.]);
//! assert_eq!(statistics.map(|m| m.mean), Some(vec![4.5, -4.5]));
//! ```
// The vector kernels need raw pointers and processor instructions. Every `unsafe` here states what makes it sound.
#![allow(unsafe_code)]

// From the ground up: memory and feature maps; `gpu` for the same on devices; `ops`, one folder per operation; `candle`
// and `custom_ops` for candle's tensors.
mod allocator;
mod buffer;
mod buffer_pool;
pub mod candle;
pub mod custom_ops;
mod feature_map;
mod geometry;
pub mod gpu;
mod memory;
mod ops;
pub mod profile;

pub use allocator::{return_freed_memory, trim_allocator, tune_allocator};
pub use buffer::limit_buffers;
pub use buffer_pool::BufferLedger;
pub use enas_simd::{LANES, Lane, Level, level};
pub use feature_map::{Activation, Affine, FeatureMap};
pub use geometry::Axis;
pub use ops::batch_norm::{BatchStats, BatchStatsSums, EPSILON, GradientSums, RunningStats};
pub use ops::conv_block::{ConvBlock, ConvBlockGradient, ConvBranch};
pub use ops::elementwise::{Term, add, add_backward, concat, concat_backward, relu_mean, relu_mean_backward};
pub use ops::im2row::Im2row;
pub use ops::optim::Nesterov;
pub use ops::pool::{Pool, PoolKind};

/// Compiles and runs the example of the read-me.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
