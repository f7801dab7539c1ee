//! What networks that are written with candle need of this crate.
#![forbid(unsafe_code)]

mod access;
mod adam;
mod nesterov;
mod tie;
