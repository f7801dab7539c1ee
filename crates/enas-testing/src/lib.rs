//! What the tests of several crates share: devices, small data sets, tiny runs, comparisons and processes.
//!
//! A dev-dependency only. Each part has a feature, so that a test compiles no more than it uses.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

pub mod browser;
#[cfg(feature = "goldens")]
pub mod goldens;
#[cfg(feature = "gpus")]
pub mod gpus;
#[cfg(feature = "images")]
pub mod images;
pub mod instruction_sets;
#[cfg(all(unix, feature = "faults"))]
pub mod kills;
#[cfg(all(unix, feature = "faults"))]
pub mod namespace;
pub mod numbers;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "runs")]
pub mod runs;
pub mod signals;
#[cfg(feature = "tensors")]
pub mod tensors;

/// An arc of two nodes per cell that uses every operation.
pub const ARC: &str = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3";
