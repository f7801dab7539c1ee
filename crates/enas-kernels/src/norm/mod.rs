//! Batch normalisation: statistics, and the pieces of its two directions.
//!
//! `y = γ·(z − μ)/√(v + ε) + β` per channel, over images and pixels, with the biased variance `v` (Ioffe and
//! Szegedy, 2015). The forward direction only produces an [`Affine`](crate::Affine); readers apply it.

mod gradient;
mod moments;
mod running;
mod sums;

pub(crate) use self::gradient::Gradient;
pub(crate) use self::moments::{CHUNK, Running};
pub use self::moments::{MomentSums, Moments};
pub use self::running::RunningMoments;
pub use self::sums::GradientSums;
pub(crate) use self::sums::{BlockSums, TakenSums};

/// The `ε` of TensorFlow's fused batch norm, which raises the usual `1e-5` to cuDNN's minimum.
pub const EPSILON: f32 = 1.001e-5;
