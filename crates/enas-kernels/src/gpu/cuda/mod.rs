//! NVIDIA GPUs as devices of this module, by the CUDA driver that candle opened.
//!
//! Without the feature `cuda` there is none: the types here have no values then.

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
mod loan;
#[cfg(feature = "cuda")]
mod staging;

#[cfg(feature = "cuda")]
pub(super) use self::driver::Cuda;
#[cfg(feature = "cuda")]
pub(super) use self::loan::Loan;

/// Candle's side of a [`Gpu`](super::Gpu).
#[cfg(feature = "cuda")]
pub(super) type Native = Cuda;

/// Candle's side of a [`Gpu`](super::Gpu): there is none.
#[cfg(not(feature = "cuda"))]
#[derive(Clone, Debug)]
pub(super) enum Native {}

/// Memory of a tensor of candle's on a GPU: there is none.
#[cfg(not(feature = "cuda"))]
#[derive(Debug)]
pub(super) enum Loan {}
