//! From splits to batches: order, augmentation and prefetching.

pub mod augment;
pub(crate) mod batches;
pub(crate) mod plan;
mod sampling;
#[cfg(feature = "candle")]
mod tensors;
