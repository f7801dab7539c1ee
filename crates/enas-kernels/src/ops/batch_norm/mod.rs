//! Batch normalisation: its statistics and both directions.
//!
//! `y = γ·(z − μ)/√(v + ε) + β` per channel, over images and pixels, with the biased variance `v` (Ioffe and Szegedy,
//! 2015). The forward direction only computes an [`Affine`](crate::Affine), one factor and summand per channel; the
//! readers of a map apply it.

mod batch_stats;
pub(crate) mod gpu;
mod gradient;
mod running;
mod sums;

pub(crate) use self::batch_stats::PartialStats;
pub use self::batch_stats::{BatchStats, BatchStatsSums, EPSILON};
pub(crate) use self::gradient::Gradient;
pub use self::running::RunningStats;
pub(crate) use self::sums::BlockSums;
pub use self::sums::GradientSums;
