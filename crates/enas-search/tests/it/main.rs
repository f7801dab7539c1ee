//! The crate from outside: whole searches and trainings on real images.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod auto;
mod divergence;
mod durable;
mod finals;
mod gpu;
mod macro_space;
mod refit;
mod search;
mod strategies;
mod train;
