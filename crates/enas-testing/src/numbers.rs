//! Random numbers, and comparisons with a tolerance.

use enas_rng::Stream;

/// `n` numbers between −1 and 1.
pub fn uniform(stream: &mut Stream, n: usize) -> Vec<f32> {
    (0..n).map(|_| stream.range(-1.0, 1.0)).collect()
}

/// The bits of numbers: equal only if the numbers are the same bytes.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// How far numbers may be from what they should be.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// The allowed difference as a share of the largest expected number.
    pub share: f32,
    /// What counts as the largest expected number if all are smaller.
    pub least: f32,
}

/// Fails unless all numbers agree within `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: Tolerance) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let largest = want.iter().fold(tolerance.least, |m, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let agree = (got - want).abs() <= tolerance.share * largest;
        assert!(agree, "{what}: number {i} is {got}, not {want} (largest {largest})");
    }
}
