//! The random numbers of a training step, for dropout and drop-path.

use enas_rng::Seed;

use crate::backend::Backend;
use crate::config::Config;

/// A source of uniform random numbers for dropout and drop-path.
///
/// `name` says what they are for: `dropout` before the classifier, `drop_path/<edge>` for an edge such as
/// `layer_3/cell_0/x_conv`.
pub trait Noise: Sync {
    /// `len` numbers in `[0, 1)`.
    fn uniform(&self, name: &str, len: usize) -> Vec<f32>;

    /// The key of the stream behind [`uniform`](Self::uniform), if the numbers come from a stream of [`enas_rng`]. A
    /// GPU then computes them itself.
    fn stream_key(&self, _name: &str) -> Option<[u32; 8]> {
        None
    }
}

/// Numbers from streams named by purpose and step, so that no step depends on another.
#[derive(Clone, Copy, Debug)]
pub struct SeededNoise {
    /// The seed of the run.
    pub seed: Seed,
    /// The training step.
    pub step: u64,
}

impl Noise for SeededNoise {
    fn uniform(&self, name: &str, len: usize) -> Vec<f32> {
        let mut stream = self.seed.stream(name, &[self.step]);
        (0..len).map(|_| stream.uniform()).collect()
    }

    fn stream_key(&self, name: &str) -> Option<[u32; 8]> {
        Some(self.seed.stream_key(name, &[self.step]))
    }
}

/// Drop-path in one cell: each edge's operation is dropped for each image with probability `1 − keep`.
#[derive(Clone, Copy)]
pub(crate) struct DropPath<'a> {
    pub(crate) noise: &'a dyn Noise,
    pub(crate) keep: f32,
}

impl DropPath<'_> {
    /// One factor per image, `[n]`: 0 or `1/keep` (`image_ops.py:9-19`).
    pub(crate) fn factors<B: Backend>(&self, backend: &B, scope: &str, n: usize) -> B::Vector {
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
