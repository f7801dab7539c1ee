//! Moving statistics for inference.

use super::batch_stats::BatchStats;
use crate::feature_map::Affine;

/// Moving mean and variance of a batch norm: an exponential moving average (EMA) with bias correction.
///
/// It follows TensorFlow's `assign_moving_average` with its default zero-debiasing. After the first update the averages
/// equal the statistics of that batch. The authors' code uses it in `src/cifar10/image_ops.py`, lines 119 to 122.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStats {
    /// Moving mean per channel, `[c]`; 0 before the first update.
    pub mean: Vec<f32>,
    /// Moving unbiased variance per channel, `[c]`; 1 before the first update.
    pub variance: Vec<f32>,
    /// Exponentially weighted sum of means, `[c]`, starting at 0: the average before bias correction.
    pub biased_mean: Vec<f32>,
    /// Exponentially weighted sum of unbiased variances, `[c]`, starting at 0.
    pub biased_variance: Vec<f32>,
    /// Number of updates so far.
    pub updates: u64,
}

impl RunningStats {
    /// Share of the old value that an update keeps (`decay` in `src/cifar10/image_ops.py` line 92).
    pub const DECAY: f32 = 0.9;

    /// The state before any update.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            biased_mean: vec![0.0; channels],
            biased_variance: vec![0.0; channels],
            updates: 0,
        }
    }

    /// Adds the statistics of one batch.
    pub fn update(&mut self, batch: &BatchStats) {
        self.updates += 1;
        // The weights of all updates sum to 1 − decayᵗ; dividing by it removes the bias towards the initial zero.
        let weight = 1.0 - f64::from(Self::DECAY).powf(self.updates as f64);
        let blend = |biased: &mut [f32], moving: &mut [f32], values: &[f32]| {
            for ((b, m), v) in biased.iter_mut().zip(moving).zip(values) {
                *b = Self::DECAY * *b + (1.0 - Self::DECAY) * v;
                *m = (f64::from(*b) / weight) as f32;
            }
        };
        blend(&mut self.biased_mean, &mut self.mean, &batch.mean);
        blend(&mut self.biased_variance, &mut self.variance, &batch.unbiased_variance());
    }

    /// The normalisation at inference, with scale `gamma` and offset `beta`, `[c]` each.
    pub fn affine(&self, gamma: &[f32], beta: &[f32]) -> Affine {
        BatchStats { mean: self.mean.clone(), variance: self.variance.clone(), count: 1 }.affine(gamma, beta)
    }
}
