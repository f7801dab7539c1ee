//! Vector instructions: one source of a computation, three instruction sets.
//!
//! Two kinds of kernels are here, with one choice of the instruction set ([`level()`], the variable `ENAS_SIMD`):
//!
//! - [`SimdKernel`]: loops over [`Lane`]s of sixteen numbers through raw pointers, for the operations of
//!   `enas-kernels`. A kernel is plain data and one generic body, `run::<S>()`. The compiler makes three copies of each
//!   body: AVX-512, AVX2 + FMA, and portable Rust. [`run`] chooses one of them once per process.
//! - [`safe::WithSimd`]: loops over slices of any length without `unsafe`, for the policy of `enas-controller`.
//!
//! [`math`] has exp, tanh and the logistic function for the second kind. No arithmetic of any operation is here.
//!
//! `ENAS_SIMD` (`avx512`, `avx2`, `portable`) forces a narrower instruction set, for tests and timings.
// Vectors need raw pointers and processor instructions. Every `unsafe` here states what makes it sound.
#![allow(unsafe_code)]

mod dispatch;
mod lane;
mod level;
pub mod math;
mod portable;
mod prefetch;
pub mod safe;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use dispatch::{run, run_at};
pub use lane::{LANES, Lane};
pub use level::{Level, level};
pub use prefetch::{AHEAD, prefetch, prefetch_for_writing};
pub use vector::{Simd, SimdKernel};

/// Compiles and runs the example of the read-me.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
