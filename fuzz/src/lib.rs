//! One function for each kind of untrusted input.
//!
//! Whatever the bytes are, a function must not panic, use unbounded memory or touch files outside its directory.
//! Further properties are asserted.
//!
//! The programs in `fuzz_targets` pass libFuzzer's inputs to these functions; `cargo xtask fuzz` runs all of them.
#![forbid(unsafe_code)]

mod arcs;
mod checkpoints;
mod cifar;
mod config;
mod http;
mod idx;
mod images;
mod logs;
mod models;
mod place;
mod records;
mod zips;

pub use arcs::arcs;
pub use checkpoints::checkpoints;
pub use cifar::cifar;
pub use config::config;
pub use http::http;
pub use idx::idx;
pub use images::images;
pub use logs::logs;
pub use models::models;
pub use records::records;
pub use zips::zips;
