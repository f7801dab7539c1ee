//! The random numbers of a training step, for dropout and drop-path.

use enas_rng::Seed;

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
