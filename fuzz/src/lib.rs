//! One function for each kind of input that others may have written: bytes in, nothing out, and no panic, no endless
//! memory, no file outside of its folder, whatever the bytes are. What else must hold is asserted.
//!
//! `fuzz_targets` hands them to libFuzzer, `cargo xtask fuzz` runs them all.
#![forbid(unsafe_code)]

mod arcs;
mod checkpoints;
mod cifar;
mod config;
mod http;
mod idx;
mod logs;
mod models;
mod pictures;
mod place;
mod records;
mod zips;

pub use arcs::arcs;
pub use checkpoints::checkpoints;
pub use cifar::cifar;
pub use config::config;
pub use http::http;
pub use idx::idx;
pub use logs::logs;
pub use models::models;
pub use pictures::pictures;
pub use records::records;
pub use zips::zips;
