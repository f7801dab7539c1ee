//! Every operation of the crate against a slow reference, on every instruction set and number of threads.
//!
//! One binary, so that it links once.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

mod elementwise;
mod levels;
mod norm;
mod onto;
mod optim;
mod parts;
mod pool;
mod properties;
mod reference;
mod reference_gradients;
mod support;
mod unit;
