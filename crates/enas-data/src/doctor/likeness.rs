//! How alike two pictures are: a small copy of each, and a hash that finds candidates quickly.
//!
//! The hash (Zauner, 2010) has one bit for each of the 8 x 8 lowest frequencies of a 32 x 32 grey copy: whether it is
//! above their median. Saving a picture again, in another format or size, changes few bits. Quite different pictures
//! may share them all, so candidates are compared by their pixels.

use std::f32::consts::PI;
use std::sync::LazyLock;

use crate::resize::{Filter, Plane, Resize, fit};

/// Side of the copy that is hashed.
const HASHED: usize = 32;
/// Frequencies along each side.
const FREQUENCIES: usize = 8;
/// Side of the copy that is compared.
const SIDE: usize = 16;

/// Pictures of the same hash but for so many bits are candidates.
pub(super) const MAX_BITS: u32 = 3;

/// Root mean square difference of near duplicates, as a share of their own deviation from grey: [`Likeness::is_near`].
/// Of the built-in digits and of Fashion-MNIST, next to no two distinct pictures are this close; a picture that was
/// saved again as a JPEG of quality 60 or in half its size is.
const MAX_DIFFERENCE: f64 = 0.10;

/// Deviation, in pixel values, below which a small copy shows too little to be compared.
const MIN_DEVIATION: f64 = 4.0;

/// What is kept of a picture to compare it with others: some hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    pub(super) hash: u64,
    /// `[c, 16, 16]`
    small: Vec<u8>,
    /// Sum of squared differences from the mean of each channel.
    spread: u64,
}

impl Likeness {
    /// Of a picture of one or three channels.
    pub(super) fn of(planes: &[Plane]) -> Self {
        let copies: Vec<Vec<u8>> = planes.iter().map(copy).collect();
        let grey: Vec<f32> = (0..HASHED * HASHED)
            .map(|i| copies.iter().map(|c| f32::from(c[i])).sum::<f32>() / copies.len() as f32)
            .collect();
        let small: Vec<u8> = copies.iter().flat_map(|c| halved(c)).collect();
        let spread = small.chunks_exact(SIDE * SIDE).map(spread).sum();
        Self { hash: hash(&grey), small, spread }
    }

    /// Whether there is enough to see to compare it with others.
    pub(super) fn is_telling(&self) -> bool {
        self.spread as f64 >= MIN_DEVIATION * MIN_DEVIATION * self.small.len() as f64
    }

    /// Whether the other is nearly the same picture, judged by pixels alone.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        self.difference(other) <= MAX_DIFFERENCE
    }

    /// Root mean square difference as a share of the deviation: 0 for equal pictures, about 1.4 for unrelated ones.
    fn difference(&self, other: &Self) -> f64 {
        let pairs = self.small.iter().zip(&other.small);
        let squares: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        (2.0 * squares as f64 / (self.spread + other.spread).max(1) as f64).sqrt()
    }
}

fn copy(plane: &Plane) -> Vec<u8> {
    let mut copy = Vec::with_capacity(HASHED * HASHED);
    fit(plane, HASHED, HASHED, Resize::Stretch, Filter::Smooth, &mut copy);
    copy
}

/// Means of 2 x 2 pixels.
fn halved(copy: &[u8]) -> Vec<u8> {
    let pixel = |i: usize| {
        let corner = 2 * (i / SIDE) * HASHED + 2 * (i % SIDE);
        let sum: u16 = [0, 1, HASHED, HASHED + 1].iter().map(|d| u16::from(copy[corner + d])).sum();
        ((sum + 2) / 4) as u8
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

fn spread(pixels: &[u8]) -> u64 {
    let (sum, squares) =
        pixels.iter().fold((0u64, 0u64), |(s, q), &p| (s + u64::from(p), q + u64::from(p) * u64::from(p)));
    squares - sum * sum / pixels.len() as u64
}

/// Row `f` holds `cos(π (x + ½) f / 32)`.
static COSINES: LazyLock<[[f32; HASHED]; FREQUENCIES]> = LazyLock::new(|| {
    let value = |f: usize, x: usize| (PI * (x as f32 + 0.5) * f as f32 / HASHED as f32).cos();
    std::array::from_fn(|f| std::array::from_fn(|x| value(f, x)))
});

fn hash(grey: &[f32]) -> u64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let across: Vec<[f32; FREQUENCIES]> =
        grey.chunks_exact(HASHED).map(|row| std::array::from_fn(|f| dot(row, &COSINES[f]))).collect();
    let along =
        |u: usize, v: usize| -> f32 { across.iter().zip(&COSINES[u]).map(|(row, c)| row[v] * c).sum() };
    let all: Vec<f32> =
        (0..FREQUENCIES * FREQUENCIES).map(|i| along(i / FREQUENCIES, i % FREQUENCIES)).collect();
    // The first is the mean brightness, which says nothing about the picture.
    let mut sorted = all[1..].to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    all[1..].iter().fold(0, |bits, x| bits << 1 | u64::from(*x > median))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Soft blobs at places that depend on `seed`.
    fn picture(seed: usize, side: usize) -> Plane {
        let centre =
            |i: usize| [(seed * 37 + i * 53) % 100, (seed * 71 + i * 29) % 100].map(|c| c as f32 / 100.0);
        let value = |x: f32, y: f32| -> f32 {
            (0..5)
                .map(|i| {
                    let [cx, cy] = centre(i);
                    let distance = (x - cx).powi(2) + (y - cy).powi(2);
                    (-40.0 * distance).exp() * if i % 2 == 0 { 110.0 } else { -70.0 }
                })
                .sum::<f32>()
                + 120.0
        };
        let at = |i: usize| ((i % side) as f32 + 0.5, (i / side) as f32 + 0.5);
        let pixel = |i: usize| {
            let (x, y) = at(i);
            value(x / side as f32, y / side as f32).clamp(0.0, 255.0) as u8
        };
        Plane { width: side, height: side, pixels: (0..side * side).map(pixel).collect() }
    }

    fn likeness(plane: &Plane) -> Likeness {
        Likeness::of(std::slice::from_ref(plane))
    }

    #[test]
    fn another_size_of_a_picture_is_near_and_another_picture_is_not() {
        for seed in 0..20 {
            let (large, small) = (likeness(&picture(seed, 200)), likeness(&picture(seed, 90)));
            assert!((large.hash ^ small.hash).count_ones() <= MAX_BITS && large.is_near(&small), "{seed}");
            let other = likeness(&picture(seed + 1, 200));
            assert!(!large.is_near(&other), "{seed}: {}", large.difference(&other));
        }
    }

    #[test]
    fn a_brighter_copy_has_the_same_hash() {
        let plain = picture(3, 64);
        let brighter =
            Plane { pixels: plain.pixels.iter().map(|p| p.saturating_add(9)).collect(), ..plain.clone() };
        assert!((likeness(&plain).hash ^ likeness(&brighter).hash).count_ones() <= MAX_BITS);
    }

    #[test]
    fn a_blank_picture_tells_nothing() {
        let blank = Plane { width: 40, height: 30, pixels: vec![77; 1200] };
        assert!(!likeness(&blank).is_telling());
        assert!(likeness(&picture(1, 40)).is_telling());
    }

    #[test]
    fn colours_count() {
        let plane = picture(5, 40);
        let grey = Plane { pixels: vec![120; 1600], ..plane.clone() };
        let red = Likeness::of(&[plane.clone(), grey.clone(), grey.clone()]);
        let blue = Likeness::of(&[grey.clone(), grey, plane]);
        assert_eq!(red.hash, blue.hash);
        assert!(!red.is_near(&blue));
    }
}
