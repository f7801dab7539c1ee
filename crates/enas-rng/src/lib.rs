//! Named random streams: one seed gives any number of independent streams.
//!
//! Every random choice of a run comes from a [`Stream`]. Its name is its purpose and its position, such as
//! `("augment", [epoch, image])`. A stream depends on nothing but the seed and its name. So results do not change with
//! the number of threads, with the order in which streams are used, or with an interruption of the run.
//!
//! Method: SplitMix64 hashes seed, purpose and position to a key of 256 bits. The stream is ChaCha8 under this key, a
//! cipher in counter mode. So a GPU can compute any of its numbers from the key and the number's position.
//!
//! The distributions are written here and not taken from a library, because their bit patterns are part of
//! reproducibility: they must not change when a dependency does.
//!
//! ```
//! use enas_rng::Seed;
//!
//! let seed = Seed::new(7);
//! let mut a = seed.stream("dropout", &[3, 14]);
//! let mut b = seed.stream("dropout", &[3, 14]);
//! assert_eq!(a.uniform(), b.uniform());
//! assert_ne!(a.uniform(), seed.stream("dropout", &[3, 15]).uniform());
//! ```
#![forbid(unsafe_code)]

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// The root seed of one run: all its random numbers derive from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// A root seed. Equal values give equal runs.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number from which this seed was made.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The stream of random numbers for `purpose` at `position` (epoch, step, image, …).
    pub fn stream(self, purpose: &str, position: &[u64]) -> Stream {
        Stream(ChaCha8Rng::from_seed(self.stream_seed(purpose, position)))
    }

    /// The [key](Stream::key) of [`stream`](Self::stream)`(purpose, position)`, for callers that compute its numbers
    /// elsewhere.
    pub fn stream_key(self, purpose: &str, position: &[u64]) -> [u32; 8] {
        words(self.stream_seed(purpose, position))
    }

    /// The key of a stream: four independent 64-bit hashes of seed, purpose and position.
    fn stream_seed(self, purpose: &str, position: &[u64]) -> [u8; 32] {
        let mut key = [0u64; 4];
        for (lane, word) in key.iter_mut().enumerate() {
            let mut hash = mix(self.0 ^ mix(lane as u64 + 1));
            for byte in purpose.bytes() {
                hash = mix(hash ^ u64::from(byte));
            }
            for (i, p) in position.iter().enumerate() {
                // The index in the upper byte makes the hash depend on the order and number of positions.
                hash = mix(hash ^ mix(p.wrapping_add((i as u64 + 1) << 56)));
            }
            *word = hash;
        }
        let mut bytes = [0u8; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(key) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// The little-endian words of a key.
fn words(bytes: [u8; 32]) -> [u32; 8] {
    std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|j| bytes[4 * i + j])))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), a hash of 64 bits: every input bit affects every output
/// bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A reproducible sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The key of the cipher, in the order of ChaCha's state.
    ///
    /// [`next_u32`](RngCore::next_u32) yields the words of ChaCha8's blocks under this key one by one, with a 64-bit
    /// block counter from 0 and stream 0. So the key suffices to compute the numbers anywhere, from any position on.
    pub fn key(&self) -> [u32; 8] {
        words(self.0.get_seed())
    }

    /// A seed for a part of the work that has streams of its own, such as one of several repeats.
    pub fn seed(&mut self) -> Seed {
        Seed(self.0.next_u64())
    }

    /// A uniform number in `[0, 1)` with 24 random bits, the resolution of `f32`.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// A uniform number in `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// A uniform integer in `0..n`, without modulo bias (rejection sampling).
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below(0): nothing to choose from");
        let n = n as u64;
        // Rejects the incomplete last copy of 0..n in the 64-bit range.
        let limit = u64::MAX - (u64::MAX % n + 1) % n;
        loop {
            let x = self.0.next_u64();
            if x <= limit {
                return (x % n) as usize;
            }
        }
    }

    /// `true` with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.uniform() < probability
    }

    /// A standard normal number (Box and Muller, 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(self.uniform());
        (radius * angle.cos()) as f32
    }

    /// A truncated normal number of mean 0 and standard deviation `sigma` before truncation: numbers beyond two
    /// deviations are drawn again, as in TensorFlow's `truncated_normal`.
    pub fn truncated_normal(&mut self, sigma: f32) -> f32 {
        loop {
            let x = self.normal();
            if x.abs() <= 2.0 {
                return x * sigma;
            }
        }
    }

    /// Shuffles `items` uniformly (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, destination: &mut [u8]) {
        self.0.fill_bytes(destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_every_position() {
        let first = |seed, purpose, position: &[u64]| Seed::new(seed).stream(purpose, position).next_u64();
        let base = first(1, "arc", &[2, 3]);
        for other in [
            first(2, "arc", &[2, 3]),
            first(1, "arcs", &[2, 3]),
            first(1, "arc", &[3, 2]),
            first(1, "arc", &[2]),
            first(1, "arc", &[2, 3, 0]),
        ] {
            assert_ne!(base, other);
        }
    }

    /// A change of these numbers changes every run ever made: bump the run format if it must happen.
    #[test]
    fn the_first_numbers_are_pinned() {
        let mut stream = Seed::new(42).stream("pin", &[1]);
        let got: Vec<u32> = (0..3).map(|_| stream.next_u32()).collect();
        assert_eq!(got, PINNED);
    }
    const PINNED: [u32; 3] = [2_712_200_854, 2_666_828_273, 21_742_128];

    /// One block of ChaCha8 (Bernstein, 2008) in plain words.
    fn block(key: [u32; 8], counter: u64) -> [u32; 16] {
        let mut start = [0; 16];
        start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        start[4..12].copy_from_slice(&key);
        (start[12], start[13]) = (counter as u32, (counter >> 32) as u32);
        let mut x = start;
        let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
            for (to, from, target, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                x[to] = x[to].wrapping_add(x[from]);
                x[target] = (x[target] ^ x[to]).rotate_left(by);
            }
        };
        for _ in 0..4 {
            (0..4).for_each(|i| quarter(i, 4 + i, 8 + i, 12 + i));
            (0..4).for_each(|i| quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4));
        }
        std::array::from_fn(|i| x[i].wrapping_add(start[i]))
    }

    #[test]
    fn a_streams_key_tells_all_its_numbers() {
        let purpose = "dropout";
        let position = &[5, 1 << 40];
        let mut stream = Seed::new(42).stream(purpose, position);
        let key = stream.key();
        assert_eq!(key, Seed::new(42).stream_key(purpose, position));
        for counter in 0..9 {
            assert_eq!(std::array::from_fn(|_| stream.next_u32()), block(key, counter), "block {counter}");
        }
        assert_eq!(stream.key(), key, "drawing changes the position, not the key");
    }

    #[test]
    fn uniform_normal_and_truncated_normal_have_their_moments() {
        let mut s = Seed::new(0).stream("moments", &[]);
        let n = 200_000;
        let moments = |draw: &mut dyn FnMut() -> f32| {
            let mut sum = 0.0;
            let mut squares = 0.0;
            for _ in 0..n {
                let x = f64::from(draw());
                sum += x;
                squares += x * x;
            }
            let mean = sum / f64::from(n);
            (mean, squares / f64::from(n) - mean * mean)
        };
        let (mean, variance) = moments(&mut || s.uniform());
        assert!((mean - 0.5).abs() < 3e-3 && (variance - 1.0 / 12.0).abs() < 1e-3, "{mean} {variance}");
        let (mean, variance) = moments(&mut || s.normal());
        assert!(mean.abs() < 1e-2 && (variance - 1.0).abs() < 2e-2, "{mean} {variance}");
        // The variance of a standard normal cut at two deviations is 0.7737.
        let (mean, variance) = moments(&mut || s.truncated_normal(1.0));
        assert!(mean.abs() < 1e-2 && (variance - 0.7737).abs() < 1e-2, "{mean} {variance}");
    }

    #[test]
    fn below_reaches_every_value_evenly() {
        let mut s = Seed::new(3).stream("below", &[]);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[s.below(7)] += 1);
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }

    #[test]
    fn shuffle_keeps_the_items() {
        let mut items: Vec<_> = (0..50).collect();
        Seed::new(5).stream("shuffle", &[]).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

/// Compiles and runs the example of the read-me.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
