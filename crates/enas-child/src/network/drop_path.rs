//! Drop-path (Larsson et al., 2017): whole edges of a cell are dropped in training.

use crate::backend::Forward;
use crate::config::Config;
use crate::noise::Noise;

/// Drop-path in one cell: each edge's operation is dropped for each image with probability `1 − keep`.
#[derive(Clone, Copy)]
pub(crate) struct DropPath<'a> {
    pub(crate) noise: &'a dyn Noise,
    pub(crate) keep: f32,
}

impl DropPath<'_> {
    /// One factor per image, `[n]`: 0 or `1/keep` (`image_ops.py:9-19`).
    pub(crate) fn factors<B: Forward>(&self, backend: &B, scope: &str, n: usize) -> B::Vector {
        backend.drop_factors(self.noise, &format!("drop_path/{scope}"), n, self.keep)
    }
}

impl Config {
    /// The probability of keeping a path in cell `cell` at step `step` (from 0) of `total`. It falls towards the
    /// output and towards the end of training.
    ///
    /// `keep_l = 1 − (l + 1)/(L + 2)·(1 − keep)`, then `1 − min(1, (step + 1)/total)·(1 − keep_l)` for cell `l` of
    /// `L = layers` (`_apply_drop_path`, `micro_child.py:196-204`).
    pub fn drop_path_keep_at(&self, cell: usize, step: u64, total: u64) -> f32 {
        let depth = (cell + 1) as f64 / (self.layers + 2) as f64;
        let ratio = ((step + 1) as f64 / total.max(1) as f64).min(1.0);
        (1.0 - ratio * depth * (1.0 - f64::from(self.drop_path_keep))) as f32
    }
}
