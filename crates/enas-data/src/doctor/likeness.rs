//! How alike two pictures are: a small copy of each, and a hash that finds candidates quickly.
//!
//! Each of the 64 bits of the hash says on which side of a random plane the small copy lies, its mean taken out
//! (Charikar, 2002). A bit differs between two copies with the angle between them, so saving a picture again, in another
//! format or size, changes few bits. Candidates are then compared by their pixels.

use std::sync::LazyLock;

use enas_rng::Seed;

use crate::resize::{Filter, Plane, Resize, fit};

/// Side of the small copy.
const SIDE: usize = 16;
const PLANE: usize = SIDE * SIDE;

/// Pictures of the same hash but for so many bits are candidates. Of pairs that differ by half of what
/// [`MAX_DIFFERENCE`] allows, 99 of 100 are; of those that differ by all of it, 96.
pub(super) const MAX_BITS: u32 = 3;

/// Root mean square difference of near duplicates, as a share of their own deviation from grey: [`Likeness::is_near`].
/// No two of the built-in digits are this close, and 35 groups of the 70,000 pictures of Fashion-MNIST; at 0.10 it would
/// be 323. A picture that was saved again as a JPEG of quality 60 or in half its size is.
const MAX_DIFFERENCE: f64 = 0.06;

/// Deviation, in pixel values, below which a small copy shows too little to be compared.
const MIN_DEVIATION: f64 = 4.0;

/// What is kept of a picture to compare it with others: some hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    pub(super) hash: u64,
    /// `[c, 16, 16]`
    small: Vec<u8>,
    /// Sum of squared differences from the mean of each channel.
    pub(super) spread: u64,
}

impl Likeness {
    /// Of a picture of one or three channels.
    pub(super) fn of(planes: &[Plane]) -> Self {
        let mut small = Vec::with_capacity(planes.len() * PLANE);
        planes.iter().for_each(|plane| fit(plane, SIDE, SIDE, Resize::Stretch, Filter::Smooth, &mut small));
        let spread = small.chunks_exact(PLANE).map(spread).sum();
        Self { hash: hash(&small), small, spread }
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

fn spread(pixels: &[u8]) -> u64 {
    let (sum, squares) =
        pixels.iter().fold((0u64, 0u64), |(s, q), &p| (s + u64::from(p), q + u64::from(p) * u64::from(p)));
    squares - sum * sum / pixels.len() as u64
}

/// The normals of the random planes: 64 times three channels of 1 or -1.
static NORMALS: LazyLock<Vec<[i32; 3 * PLANE]>> = LazyLock::new(|| {
    let normal = |bit: u64| {
        let mut stream = Seed::new(0).stream("likeness", &[bit]);
        std::array::from_fn(|_| if stream.chance(0.5) { 1 } else { -1 })
    };
    (0..64).map(normal).collect()
});

/// In whole numbers, so that every machine hashes alike.
fn hash(small: &[u8]) -> u64 {
    // As many times too large as a channel has pixels.
    let centred: Vec<i32> = small
        .chunks_exact(PLANE)
        .flat_map(|channel| {
            let sum: i32 = channel.iter().map(|p| i32::from(*p)).sum();
            channel.iter().map(move |p| PLANE as i32 * i32::from(*p) - sum)
        })
        .collect();
    let side = |normal: &[i32]| centred.iter().zip(normal).map(|(x, n)| x * n).sum::<i32>() > 0;
    NORMALS.iter().fold(0, |bits, normal| bits << 1 | u64::from(side(normal)))
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
        assert!(!red.is_near(&blue) && (red.hash ^ blue.hash).count_ones() > 8);
    }
}
