//! Batch normalisation: its statistics and both directions.
//!
//! `y = γ·(z − μ)/√(v + ε) + β` per channel, over images and pixels, with the biased variance `v` (Ioffe and Szegedy,
//! 2015). The forward direction only computes an [`Affine`](crate::Affine), one factor and summand per channel; the
//! readers of a map apply it.

mod batch_stats;
mod gradient;
mod running;
mod sums;

pub use self::batch_stats::{BatchStats, BatchStatsSums};
pub(crate) use self::batch_stats::{CHUNK, Running};
pub(crate) use self::gradient::Gradient;
pub use self::running::RunningStats;
pub use self::sums::GradientSums;
pub(crate) use self::sums::{BlockSums, TakenSums};

/// The `ε` of TensorFlow's fused batch norm. The authors' code passes `1e-5` (`src/cifar10/image_ops.py` line 92), and
/// TensorFlow raises it to cuDNN's minimum.
pub const EPSILON: f32 = 1.001e-5;
