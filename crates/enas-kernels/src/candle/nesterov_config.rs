//! The settings of stochastic gradient descent.

/// The settings of [`NesterovSgd`](super::NesterovSgd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NesterovConfig {
    /// Learning rate.
    pub lr: f64,
    /// Momentum `μ`.
    pub momentum: f32,
    /// Weight `λ` of a penalty `λ·Σ w²`.
    pub l2: f32,
    /// Largest norm of the whole gradient, penalty included; a larger gradient is scaled down to it. 0 for no limit.
    pub clip_norm: f32,
}

impl Default for NesterovConfig {
    fn default() -> Self {
        Self { lr: 0.01, momentum: 0.9, l2: 0.0, clip_norm: 0.0 }
    }
}
