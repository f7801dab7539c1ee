//! RandAugment (Cubuk et al., 2020): random operations of equal magnitude, drawn anew for every image.
//!
//! Before them the image is shifted by up to `pad` pixels and flipped if that is allowed. Pixels beyond the edges are
//! reflected, never black.

use enas_rng::Stream;
use image::{GrayImage, ImageBuffer};

use super::config::{Config, MAX_MAGNITUDE};
use super::reflected::{reflect, warp};
use super::shape::{Shape, flip_horizontal};

/// Maximum shift, as a share of the side.
const SHIFT: f32 = 0.3;
/// Maximum rotation, in degrees.
const DEGREES: f32 = 30.0;
/// Maximum shear, in pixels per pixel.
const SHEAR: f32 = 0.3;
/// Maximum scale factor; factors are 1/1.4 to 1.4.
const SCALE: f32 = 1.4;
/// Maximum deviation from 1 of the factors for brightness, contrast, colour and sharpness.
const FACTOR: f32 = 0.9;
/// Maximum number of bits that posterising removes.
const BITS: f32 = 4.0;

/// An operation on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Nothing,
    ShiftX,
    ShiftY,
    Rotate,
    Scale,
    ShearX,
    ShearY,
    Brightness,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    Equalize,
    Colour,
}

/// Geometric operations come first. Grey images use only these, because grey values may distinguish classes.
const OPERATIONS: [Operation; 14] = {
    use Operation::*;
    [
        Nothing, ShiftX, ShiftY, Rotate, Scale, ShearX, ShearY, Brightness, Contrast, Sharpness, Posterize,
        Solarize, Equalize, Colour,
    ]
};
/// Number of geometric operations, including the identity.
const GEOMETRIC: usize = 7;

/// Augments one image `[c, h, w]` in place: shift, flip, then the operations in the order drawn.
pub(super) fn apply(config: &Config, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
    let [dx, dy] = [(); 2].map(|()| stream.below(2 * config.pad + 1) as f32 - config.pad as f32);
    if (dx, dy) != (0.0, 0.0) {
        warp(shape, pixels, [1.0, 0.0, dx, 0.0, 1.0, dy]);
    }
    // Drawn even if unused, so that the setting alone does not change later draws.
    if stream.chance(0.5) && config.flip {
        flip_horizontal(shape.width, pixels);
    }
    let available = if shape.channels == 1 { &OPERATIONS[..GEOMETRIC] } else { &OPERATIONS };
    for _ in 0..config.operations {
        let operation = available[stream.below(available.len())];
        let sign = if stream.chance(0.5) { 1.0 } else { -1.0 };
        operation.apply(shape, pixels, config.magnitude / MAX_MAGNITUDE, sign);
    }
}

impl Operation {
    /// Applies the operation with a `strength` from 0 to 1 in the direction `sign`.
    fn apply(self, shape: Shape, pixels: &mut [u8], strength: f32, sign: f32) {
        let signed = strength * sign;
        let cx = (shape.width as f32 - 1.0) / 2.0;
        let cy = (shape.height as f32 - 1.0) / 2.0;
        // A linear map about the centre, from destination to source.
        let about_middle = |[a, b, c, d]: [f32; 4]| [a, b, cx - a * cx - b * cy, c, d, cy - c * cx - d * cy];
        let factor = 1.0 + FACTOR * signed;
        match self {
            Self::Nothing => {}
            Self::ShiftX => {
                warp(shape, pixels, [1.0, 0.0, SHIFT * signed * shape.width as f32, 0.0, 1.0, 0.0])
            }
            Self::ShiftY => {
                warp(shape, pixels, [1.0, 0.0, 0.0, 0.0, 1.0, SHIFT * signed * shape.height as f32])
            }
            Self::Rotate => {
                let (sin, cos) = (DEGREES * signed).to_radians().sin_cos();
                warp(shape, pixels, about_middle([cos, -sin, sin, cos]));
            }
            Self::Scale => {
                let scale = SCALE.powf(signed);
                warp(shape, pixels, about_middle([scale, 0.0, 0.0, scale]));
            }
            Self::ShearX => warp(shape, pixels, about_middle([1.0, SHEAR * signed, 0.0, 1.0])),
            Self::ShearY => warp(shape, pixels, about_middle([1.0, 0.0, SHEAR * signed, 1.0])),
            Self::Brightness => blend(pixels, |_| 0.0, factor),
            Self::Contrast => {
                let mean = greys(shape, pixels).iter().sum::<f32>() / shape.plane() as f32;
                blend(pixels, |_| mean, factor);
            }
            Self::Sharpness => {
                let smooth = smoothed(shape, pixels);
                blend(pixels, |i| smooth[i], factor);
            }
            Self::Colour => {
                let grey = greys(shape, pixels);
                blend(pixels, |i| grey[i % shape.plane()], factor);
            }
            Self::Posterize => {
                let mask = 0xFFu8 << (BITS * strength).round() as u32;
                pixels.iter_mut().for_each(|p| *p &= mask);
            }
            Self::Solarize => {
                let threshold = 256.0 * (1.0 - strength);
                pixels.iter_mut().filter(|p| f32::from(**p) >= threshold).for_each(|p| *p = 255 - *p);
            }
            Self::Equalize => equalize(shape, pixels),
        }
    }
}

/// `plain + factor·(pixel − plain)`: interpolates towards `plain`, or extrapolates away from it for factors above
/// 1.
fn blend(pixels: &mut [u8], plain: impl Fn(usize) -> f32, factor: f32) {
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let plain = plain(i);
        // The cast saturates.
        *pixel = (plain + factor * (f32::from(*pixel) - plain)).round() as u8;
    }
}

/// The luma of every pixel (ITU-R BT.601).
fn greys(shape: Shape, pixels: &[u8]) -> Vec<f32> {
    let at = |channel: usize, i: usize| f32::from(pixels[channel * shape.plane() + i]);
    let grey = |i| match shape.channels {
        1 => at(0, i),
        _ => 0.299 * at(0, i) + 0.587 * at(1, i) + 0.114 * at(2, i),
    };
    (0..shape.plane()).map(grey).collect()
}

/// A 3×3 smoothing filter with weight 5 for the centre and 1 for each of its eight neighbours (`SMOOTH` of Pillow).
fn smoothed(shape: Shape, pixels: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(pixels.len());
    for plane in pixels.chunks_exact(shape.plane()) {
        for (y, x) in (0..shape.height).flat_map(|y| (0..shape.width).map(move |x| (y, x))) {
            let mut sum = 4.0 * f32::from(plane[y * shape.width + x]);
            for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy - 1, dx - 1))) {
                let row = reflect(y as i64 + dy, shape.height);
                sum += f32::from(plane[row * shape.width + reflect(x as i64 + dx, shape.width)]);
            }
            out.push(sum / 13.0);
        }
    }
    out
}

fn equalize(shape: Shape, pixels: &mut [u8]) {
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let mut image: GrayImage =
            ImageBuffer::from_raw(shape.width as u32, shape.height as u32, plane.to_vec())
                .expect("a plane holds height * width pixels");
        imageproc::contrast::equalize_histogram_mut(&mut image);
        plane.copy_from_slice(&image);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enas_rng::Seed;

    use super::*;

    const SHAPE: Shape = Shape { channels: 3, height: 7, width: 9 };

    fn image() -> Vec<u8> {
        (0..SHAPE.len()).map(|i| (i * 37 % 251) as u8).collect()
    }

    fn config() -> Config {
        Config { mode: super::super::AugmentMode::RandAugment, pad: 0, ..Config::default() }
    }

    #[test]
    fn no_strength_changes_nothing_but_the_histogram() {
        for operation in OPERATIONS.into_iter().filter(|o| *o != Operation::Equalize) {
            for sign in [1.0, -1.0] {
                let mut pixels = image();
                operation.apply(SHAPE, &mut pixels, 0.0, sign);
                assert_eq!(pixels, image(), "{operation:?}");
            }
        }
    }

    #[test]
    fn every_operation_at_full_strength_changes_an_image_and_never_blackens_a_flat_one() {
        for operation in OPERATIONS.into_iter().filter(|o| *o != Operation::Nothing) {
            let mut pixels = image();
            operation.apply(SHAPE, &mut pixels, 1.0, 1.0);
            assert_ne!(pixels, image(), "{operation:?}");
        }
        for operation in &OPERATIONS[..GEOMETRIC] {
            let mut flat = vec![100; SHAPE.len()];
            operation.apply(SHAPE, &mut flat, 1.0, -1.0);
            assert!(flat.iter().all(|p| *p == 100), "{operation:?}: what comes in is not black");
        }
    }

    #[test]
    fn a_shift_moves_by_its_share_of_the_side() {
        let shape = Shape { channels: 1, height: 1, width: 10 };
        let mut pixels: Vec<u8> = (0..10).map(|i| 10 * i).collect();
        Operation::ShiftX.apply(shape, &mut pixels, 1.0, 1.0);
        assert_eq!(pixels, [30, 40, 50, 60, 70, 80, 90, 80, 70, 60]);
    }

    #[test]
    fn a_half_turn_is_two_quarters_of_the_largest_rotation_and_more() {
        // Rotating there and back changes pixels only by the blur of the interpolation.
        let smooth: Vec<u8> = (0..SHAPE.len()).map(|i| (100 + i % 9 * 3 + i / 9 % 7 * 2) as u8).collect();
        let mut pixels = smooth.clone();
        Operation::Rotate.apply(SHAPE, &mut pixels, 0.3, 1.0);
        assert_ne!(pixels, smooth);
        Operation::Rotate.apply(SHAPE, &mut pixels, 0.3, -1.0);
        let middle = 3 * 9 + 4;
        assert!(pixels[middle].abs_diff(smooth[middle]) <= 1);
    }

    #[test]
    fn posterising_and_solarising_do_what_their_names_say() {
        let shape = Shape { channels: 1, height: 1, width: 4 };
        let run = |operation: Operation, strength| {
            let mut pixels = vec![5, 100, 200, 255];
            operation.apply(shape, &mut pixels, strength, 1.0);
            pixels
        };
        assert_eq!(run(Operation::Posterize, 1.0), [0, 96, 192, 240]);
        assert_eq!(run(Operation::Solarize, 0.5), [5, 100, 55, 0]);
        assert_eq!(run(Operation::Brightness, 1.0), [10, 190, 255, 255]);
    }

    #[test]
    fn grey_images_are_only_moved_and_mirroring_obeys_its_switch() {
        let shape = Shape { channels: 1, height: 1, width: 8 };
        // Geometric operations keep pixels between the two values; a change of light would leave that range.
        for i in 0..300 {
            let mut pixels = vec![100, 100, 100, 100, 120, 120, 120, 120];
            let config = Config { operations: 3, magnitude: 10.0, flip: true, ..config() };
            apply(&config, shape, &mut pixels, &mut Seed::new(3).stream("augment", &[i]));
            assert!(pixels.iter().all(|p| (100..=120).contains(p)), "{pixels:?}");
        }
        let outcomes = |flip| -> BTreeSet<Vec<u8>> {
            let config = Config { operations: 0, flip, ..config() };
            let one = |i| {
                let mut pixels: Vec<u8> = (0..8).collect();
                apply(&config, shape, &mut pixels, &mut Seed::new(3).stream("augment", &[i]));
                pixels
            };
            (0..50).map(one).collect()
        };
        assert_eq!((outcomes(false).len(), outcomes(true).len()), (1, 2));
    }

    #[test]
    fn the_border_is_reflected_where_an_image_is_moved() {
        let shape = Shape { channels: 1, height: 1, width: 5 };
        let config = Config { operations: 0, pad: 2, ..config() };
        let one = |i| {
            let mut pixels = vec![10, 20, 30, 40, 50];
            apply(&config, shape, &mut pixels, &mut Seed::new(3).stream("augment", &[i]));
            pixels
        };
        let seen: BTreeSet<Vec<u8>> = (0..100).map(one).collect();
        let expected = [
            [30, 20, 10, 20, 30],
            [20, 10, 20, 30, 40],
            [10, 20, 30, 40, 50],
            [20, 30, 40, 50, 40],
            [30, 40, 50, 40, 30],
        ];
        assert_eq!(seen, expected.map(Vec::from).into());
    }
}
