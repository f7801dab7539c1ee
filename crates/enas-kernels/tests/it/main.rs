//! Every operation of the crate against a slow reference, on every instruction set and number of threads.
//!
//! One binary, so that it links once.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

mod batch_norm;
mod conv_block;
mod elementwise;
mod fused_stats;
mod levels;
mod micro_batches;
mod optim;
mod pool;
mod properties;
mod reference;
mod reference_gradients;
mod support;
