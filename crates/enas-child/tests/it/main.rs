//! The tests of the crate but for those that compare with the authors' code (`golden`, `published`) and those that
//! count launches (`launches`). One binary links faster than many.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

mod batches;
mod candle;
mod candle_gpu;
mod child;
mod custom_ops_gpu;
mod digest;
mod examples;
mod gpu;
mod inference_graph;
mod macro_child;
mod memory;
mod support;
mod task;
