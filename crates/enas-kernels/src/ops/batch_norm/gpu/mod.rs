//! Batch normalisation on a GPU: statistics and the backward pass.

pub(crate) mod batch_stats;
pub(crate) mod gradient;
