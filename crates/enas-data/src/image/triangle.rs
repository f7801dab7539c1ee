//! Bilinear resizing with antialiasing: the triangle filter of the `image` crate, with the same bits.
//!
//! That crate computes column after column, which is slow for photos: it reads memory in steps of a row. Here a row of
//! the image is added to a row of sums at a time. Each sum has its terms in the same order, so rounding is the same.

use super::plane::Plane;

/// The source positions of one destination position, from `first` on, with their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resizes one channel to `height` × `width` pixels, first vertically, then horizontally.
pub(super) fn resize(plane: &Plane, height: usize, width: usize) -> Vec<u8> {
    let columns = taps(plane.width, width);
    let mut out = Vec::with_capacity(height * width);
    let mut sums = vec![0.0f32; plane.width];
    for Taps { first, weights } in taps(plane.height, height) {
        sums.fill(0.0);
        let rows = plane.pixels.chunks_exact(plane.width).skip(first);
        for (row, weight) in rows.zip(&weights) {
            sums.iter_mut().zip(row).for_each(|(sum, pixel)| *sum += f32::from(*pixel) * weight);
        }
        out.extend(columns.iter().map(|taps| {
            let values = sums[taps.first..].iter().zip(&taps.weights);
            let sum = values.fold(0.0, |sum, (value, weight)| sum + value * weight);
            sum.clamp(0.0, 255.0).round() as u8
        }));
    }
    out
}

/// The taps of every destination position along one axis. When shrinking, the filter covers all source positions.
fn taps(source: usize, destination: usize) -> Vec<Taps> {
    let ratio = source as f32 / destination as f32;
    let support = ratio.max(1.0);
    let of_position = |position: usize| {
        let centre = (position as f32 + 0.5) * ratio;
        let first = ((centre - support).floor() as i64).clamp(0, source as i64 - 1);
        let end = ((centre + support).ceil() as i64).clamp(first + 1, source as i64);
        // The centre of a pixel is position 0 of the filter.
        let centre = centre - 0.5;
        let weight = |i: i64| {
            let distance = ((i as f32 - centre) / support).abs();
            if distance < 1.0 { 1.0 - distance } else { 0.0 }
        };
        let weights: Vec<f32> = (first..end).map(weight).collect();
        let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
        Taps { first: first as usize, weights: weights.iter().map(|weight| weight / sum).collect() }
    };
    (0..destination).map(of_position).collect()
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};
    use image::{ImageBuffer, Luma};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bits_are_those_of_the_image_crate(
            (height, width) in (1usize..70, 1usize..70),
            (to_height, to_width) in (1usize..50, 1usize..50),
            seed in any::<u64>(),
        ) {
            let mut stream = enas_rng::Seed::new(seed).stream("pixels", &[]);
            let pixels: Vec<u8> = (0..height * width).map(|_| stream.below(256) as u8).collect();
            let image: ImageBuffer<Luma<u8>, &[u8]> =
                ImageBuffer::from_raw(width as u32, height as u32, &pixels[..]).unwrap();
            let expected = imageops::resize(&image, to_width as u32, to_height as u32, FilterType::Triangle);
            let plane = Plane { width, height, pixels: pixels.clone() };
            prop_assert_eq!(resize(&plane, to_height, to_width), expected.into_raw());
        }
    }

    #[test]
    fn a_photo_gives_the_bits_of_the_image_crate() {
        let height = 1203;
        let width = 1604;
        let pixels: Vec<u8> = (0..height * width).map(|i| ((i * i) >> 5) as u8).collect();
        let image: ImageBuffer<Luma<u8>, &[u8]> =
            ImageBuffer::from_raw(width as u32, height as u32, &pixels[..]).unwrap();
        let plane = Plane { width, height, pixels: pixels.clone() };
        for side in [16, 48, 64] {
            let expected = imageops::resize(&image, side, side, FilterType::Triangle).into_raw();
            assert_eq!(resize(&plane, side as usize, side as usize), expected);
        }
    }
}
