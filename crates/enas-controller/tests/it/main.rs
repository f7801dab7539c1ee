//! The controller from outside: gradients, plans, instruction sets and candle's view.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

mod candle;
mod gradient;
mod instruction_sets;
mod plans;
mod policy;
