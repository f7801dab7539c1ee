//! The ENAS child network: shared weights ω for every arc, or private weights for one arc (Pham et al. 2018, sections
//! 2.2 and 2.4).
//!
//! This crate knows networks. It knows neither data sets nor training loops: the caller passes the arc, the images
//! and the learning rate. [`enas_kernels`] computes the operations.
//!
//! Each weight is a candle variable under the name that it has in the authors' code. The whole network is one candle
//! operation: [`seeded`] makes the variables in a `VarMap`. [`Child::features`], [`Child::forward`] and
//! [`Child::loss`] return tensors whose `backward` reaches all of them, and [`FixedNet`] is a candle module.
//! [`Child::train_step`] takes the same steps, bit for bit, without a candle graph.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use enas_child::{Child, Config, InputShape, Norm, Seed, Step};
//!
//! let config = Config { l2: 1e-4, ..Config::plain(4, 1, 2) };
//! let input = InputShape { channels: 1, height: 8, width: 8 };
//! let mut child = Child::shared(&config, input, 2, Seed::new(0))?;
//!
//! // Two bright and two dark images, and one of many arcs.
//! let arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse()?;
//! let bright = Tensor::new(&[1.0f32, -1.0, 1.0, -1.0], &Device::Cpu)?;
//! let images = bright.reshape((4, 1, 1, 1))?.repeat((1, 1, 8, 8))?;
//! let labels = Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?;
//! let step = Step { lr: 0.05, global_step: 0, total_steps: 1, seed: Seed::new(0) };
//! let before = child.train_step(&arc, &images, &labels, &step)?.loss;
//! let after = child.train_step(&arc, &images, &labels, &step)?.loss;
//! assert!(after < before);
//!
//! let logits = child.logits(&arc, &images, Norm::BatchStatistics, None)?;
//! assert_eq!(logits.dims(), [4, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod analysis;
mod autograd;
mod backend;
mod batch;
mod checkpointing;
mod child;
mod config;
mod error;
mod fixed_network;
mod layer;
mod loss;
mod macro_net;
mod network;
mod noise;
mod params;
pub mod schedule;

pub use analysis::{
    Convolution, Costs, Footprint, InferenceGraph, LayerCost, NonFiniteLayer, NonFiniteReport, Operation,
    ValueKind, Work, worst_arcs,
};
pub use batch::{Batch, MixedLabels, ResidentImages};
pub use checkpointing::Recompute;
pub use child::{
    Along, BatchStatistics, Child, FixedNet, ForwardMode, Inspection, LoadedWeights, Norm, Outputs, Step,
    StepStats,
};
pub use config::{AuxHead, Config, InputShape, Reductions, SharedInit};
pub use error::Error;
pub use fixed_network::FixedNetwork;
pub use macro_net::{FixedOps, MacroChild, MacroConfig};
pub use network::layout::{CellLayout, NetworkLayout};
pub use noise::{Noise, SeededNoise};
pub use params::{InitialWeights, NamedTensor, seeded};

/// Types of lower crates that occur in this crate's interface.
pub use enas_arc::{Arc, MacroArc, MacroOp};
pub use enas_kernels::gpu::Gpu;
pub use enas_kernels::{Axis, Pool, PoolKind};
pub use enas_rng::{Seed, Stream};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
