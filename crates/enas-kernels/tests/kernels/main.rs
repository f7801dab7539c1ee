//! Every operation of the crate against a slow reference, on every instruction set and number of threads.
//!
//! One binary, so that it links once.

mod elementwise;
mod levels;
mod norm;
mod optim;
mod pool;
mod properties;
mod reference;
mod reference_gradients;
mod support;
mod unit;
