//! Similarity of two images: a 64-bit SimHash to find candidates, and a small copy of each image to compare them.
//!
//! The SimHash (Charikar, STOC 2002) has one bit per random hyperplane: the side on which the small, mean-free copy
//! lies. A bit differs between two copies with a probability proportional to their angle. Saving an image in another
//! format or size therefore changes few bits.

use std::sync::LazyLock;

use enas_rng::Seed;

use crate::image::resize::{Filter, Plane, Resize, resize_plane};

/// Side of the small copy in pixels.
const SIDE: usize = 16;
const PLANE: usize = SIDE * SIDE;

/// Images whose hashes differ in at most this many bits are candidates. That finds 99 % of the pairs at half of
/// [`MAX_DIFFERENCE`], and 96 % of those at all of it.
pub(super) const MAX_BITS: u32 = 3;

/// Maximum difference of near duplicates: the root mean square difference relative to their contrast, see
/// [`SimHash::is_near`].
///
/// No two of the built-in digits are this close. Fashion-MNIST (70,000 images) has 35 such
/// groups, and would have 323 at 0.10. Copies saved as JPEG of quality 60 or at half the size are detected.
const MAX_DIFFERENCE: f64 = 0.06;

/// Minimum standard deviation of a small copy, in pixel values; below it there is too little to compare.
const MIN_DEVIATION: f64 = 4.0;

/// The data kept of an image for comparisons: some hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SimHash {
    pub(super) hash: u64,
    /// Pixels of the small copy, `[c, 16, 16]`.
    thumbnail: Vec<u8>,
    /// Sum of squared deviations from the mean of each channel.
    pub(super) squared_deviation: u64,
}

impl SimHash {
    /// The data of an image with one or three channels.
    pub(super) fn of(planes: &[Plane]) -> Self {
        let mut thumbnail = Vec::with_capacity(planes.len() * PLANE);
        planes.iter().for_each(|plane| {
            resize_plane(plane, SIDE, SIDE, Resize::Stretch, Filter::Smooth, &mut thumbnail)
        });
        let squared_deviation = thumbnail.chunks_exact(PLANE).map(squared_deviation).sum();
        Self { hash: hash(&thumbnail), thumbnail, squared_deviation }
    }

    /// Whether the image has enough contrast for comparisons.
    pub(super) fn has_contrast(&self) -> bool {
        self.squared_deviation as f64 >= MIN_DEVIATION * MIN_DEVIATION * self.thumbnail.len() as f64
    }

    /// Whether the other image is nearly the same, by its pixels.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        self.difference(other) <= MAX_DIFFERENCE
    }

    /// Root mean square difference relative to the contrast: 0 for equal images, about 1.4 for unrelated ones.
    fn difference(&self, other: &Self) -> f64 {
        let pairs = self.thumbnail.iter().zip(&other.thumbnail);
        let squares: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        (2.0 * squares as f64 / (self.squared_deviation + other.squared_deviation).max(1) as f64).sqrt()
    }
}

fn squared_deviation(pixels: &[u8]) -> u64 {
    let (sum, squares) =
        pixels.iter().fold((0u64, 0u64), |(s, q), &p| (s + u64::from(p), q + u64::from(p) * u64::from(p)));
    squares - sum * sum / pixels.len() as u64
}

/// Normals of the 64 random hyperplanes, with components of 1 or -1 for three channels.
static NORMALS: LazyLock<Vec<[i32; 3 * PLANE]>> = LazyLock::new(|| {
    let normal = |bit: u64| {
        let mut stream = Seed::new(0).stream("likeness", &[bit]);
        std::array::from_fn(|_| if stream.chance(0.5) { 1 } else { -1 })
    };
    (0..64).map(normal).collect()
});

/// The SimHash, in integers, so that every machine computes the same.
fn hash(thumbnail: &[u8]) -> u64 {
    // The deviations from the mean, multiplied by the number of pixels to stay integers.
    let centred: Vec<i32> = thumbnail
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

    /// Soft blobs at positions that depend on `seed`.
    fn image(seed: usize, side: usize) -> Plane {
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

    fn simhash(plane: &Plane) -> SimHash {
        SimHash::of(std::slice::from_ref(plane))
    }

    #[test]
    fn another_size_of_an_image_is_near_and_another_image_is_not() {
        for seed in 0..20 {
            let large = simhash(&image(seed, 200));
            let small = simhash(&image(seed, 90));
            assert!((large.hash ^ small.hash).count_ones() <= MAX_BITS && large.is_near(&small), "{seed}");
            let other = simhash(&image(seed + 1, 200));
            assert!(!large.is_near(&other), "{seed}: {}", large.difference(&other));
        }
    }

    #[test]
    fn a_brighter_copy_has_the_same_hash() {
        let plain = image(3, 64);
        let brighter =
            Plane { pixels: plain.pixels.iter().map(|p| p.saturating_add(9)).collect(), ..plain.clone() };
        assert!((simhash(&plain).hash ^ simhash(&brighter).hash).count_ones() <= MAX_BITS);
    }

    #[test]
    fn a_blank_image_tells_nothing() {
        let blank = Plane { width: 40, height: 30, pixels: vec![77; 1200] };
        assert!(!simhash(&blank).has_contrast());
        assert!(simhash(&image(1, 40)).has_contrast());
    }

    #[test]
    fn colours_count() {
        let plane = image(5, 40);
        let grey = Plane { pixels: vec![120; 1600], ..plane.clone() };
        let red = SimHash::of(&[plane.clone(), grey.clone(), grey.clone()]);
        let blue = SimHash::of(&[grey.clone(), grey, plane]);
        assert!(!red.is_near(&blue) && (red.hash ^ blue.hash).count_ones() > 8);
    }
}
