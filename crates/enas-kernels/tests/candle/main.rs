//! What networks that are written with candle need of this crate.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

mod access;
mod adam;
mod nesterov;
mod tie;
