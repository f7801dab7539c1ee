//! The augmentation of the TensorFlow reference without its slips.

use enas_rng::Stream;
use image::{ImageBuffer, Luma};
use imageproc::geometric_transformations::{Border as Outside, Interpolation, Projection, warp_into};

use super::config::{Border, Config};
use super::reflected::warp;
use super::shape::{Shape, flip_horizontal};

/// Probability of each operation.
const PROBABILITY: f32 = 0.5;
const ENLARGEMENT: f32 = 1.2;
/// Standard deviation of the noise in pixel values: 5 % of the range.
const NOISE: f32 = 12.75;

/// Augments one image `[c, h, w]` in place. The choice of operations is drawn first, then their parameters.
pub(super) fn apply(config: &Config, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
    let [enlarge, rotate, light, noise, flip] = std::array::from_fn(|_| stream.chance(PROBABILITY));
    let scale = if enlarge { ENLARGEMENT } else { 1.0 };
    let degrees = if rotate { stream.range(-20.0, 20.0) } else { 0.0 };
    if enlarge || rotate {
        match config.border {
            Border::Black => turn_and_scale(shape, pixels, degrees, scale),
            Border::Reflect => turn_and_scale_reflected(shape, pixels, degrees, scale),
        }
    }
    if light {
        let contrast = stream.range(0.7, 1.3);
        let brightness = stream.range(6.0, 32.0);
        // The cast saturates.
        pixels.iter_mut().for_each(|p| *p = (contrast * f32::from(*p) + brightness).round() as u8);
    }
    if noise {
        pixels.iter_mut().for_each(|p| *p = (f32::from(*p) + NOISE * stream.normal()).round() as u8);
    }
    if flip && config.flip {
        flip_horizontal(shape.width, pixels);
    }
}

/// Rotates and magnifies about the exact centre in a single interpolation, which avoids blurring twice.
fn turn_and_scale(shape: Shape, pixels: &mut [u8], degrees: f32, scale: f32) {
    let width = shape.width as u32;
    let height = shape.height as u32;
    let cx = (shape.width as f32 - 1.0) / 2.0;
    let cy = (shape.height as f32 - 1.0) / 2.0;
    let projection = Projection::translate(cx, cy)
        * Projection::rotate(degrees.to_radians())
        * Projection::scale(scale, scale)
        * Projection::translate(-cx, -cy);
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let source: ImageBuffer<Luma<u8>, Vec<u8>> = ImageBuffer::from_raw(width, height, plane.to_vec())
            .expect("a plane holds height * width pixels");
        let mut out = ImageBuffer::new(width, height);
        let black = Outside::Constant(Luma([0]));
        warp_into(&source, projection, Interpolation::Bilinear, black, &mut out);
        plane.copy_from_slice(&out);
    }
}

/// The same with reflected borders.
fn turn_and_scale_reflected(shape: Shape, pixels: &mut [u8], degrees: f32, scale: f32) {
    let cx = (shape.width as f32 - 1.0) / 2.0;
    let cy = (shape.height as f32 - 1.0) / 2.0;
    let (sin, cos) = degrees.to_radians().sin_cos();
    // The inverse map, from destination to source.
    let a = cos / scale;
    let b = sin / scale;
    warp(shape, pixels, [a, b, cx - a * cx - b * cy, -b, a, cy + b * cx - a * cy]);
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    const SHAPE: Shape = Shape { channels: 3, height: 9, width: 9 };

    fn config(flip: bool) -> Config {
        Config { flip, ..Config::default() }
    }

    #[test]
    fn a_reflected_border_leaves_no_black_corner_and_the_inside_as_it_is() {
        let start: Vec<u8> = (0..243).map(|i| 100 + (i % 9 * 6 + i / 9 % 9 * 4) as u8).collect();
        let mut black = start.clone();
        let mut reflected = start;
        turn_and_scale(SHAPE, &mut black, 20.0, 1.0);
        turn_and_scale_reflected(SHAPE, &mut reflected, 20.0, 1.0);
        assert!(black.contains(&0) && reflected.iter().all(|p| *p >= 100), "{black:?} {reflected:?}");
        // Both rotate in the same direction. Pixels from inside agree, except that `imageproc` truncates fractions
        // twice.
        for (y, x) in (2..7).flat_map(|y| (2..7).map(move |x| (y, x))) {
            assert!(black[y * 9 + x].abs_diff(reflected[y * 9 + x]) <= 2, "{y} {x}: {black:?} {reflected:?}");
        }
        let mut black = vec![50; 243];
        let mut reflected = vec![50; 243];
        turn_and_scale(SHAPE, &mut black, -20.0, 1.2);
        turn_and_scale_reflected(SHAPE, &mut reflected, -20.0, 1.2);
        assert_eq!((black[4 * 9 + 4], reflected), (50, vec![50; 243]));
    }

    #[test]
    fn turning_by_nothing_keeps_every_pixel_and_a_half_turn_reverses_them() {
        let start: Vec<u8> = (0..243).collect();
        let mut pixels = start.clone();
        turn_and_scale(SHAPE, &mut pixels, 0.0, 1.0);
        assert_eq!(pixels, start);
        turn_and_scale(SHAPE, &mut pixels, 180.0, 1.0);
        // Positions on the outermost row and column may fall just outside by rounding.
        let inner = |i: &usize| (1..8).contains(&(i % 9)) && (1..8).contains(&(i % 81 / 9));
        for i in (0..243).filter(inner) {
            let plane = i / 81 * 81;
            let at = i % 81;
            assert!(pixels[i].abs_diff(start[plane + 80 - at]) <= 1, "{i}");
        }
    }

    #[test]
    fn enlarging_keeps_the_middle_in_the_middle() {
        let mut pixels = vec![0; 243];
        pixels[40] = 200;
        turn_and_scale(SHAPE, &mut pixels, 0.0, 1.2);
        assert_eq!(pixels[40], 200);
        assert!(pixels[39] == pixels[41] && pixels[31] == pixels[49] && pixels[39] > 0);
    }

    /// Many draws for a constant image; rotation and magnification leave its centre unchanged.
    fn middles(may_flip: bool) -> Vec<[u8; 3]> {
        let one = |i| {
            let mut pixels = vec![100; 243];
            apply(&config(may_flip), SHAPE, &mut pixels, &mut Seed::new(8).stream("augment", &[i]));
            [pixels[40], pixels[81 + 40], pixels[162 + 40]]
        };
        (0..4000).map(one).collect()
    }

    #[test]
    fn light_changes_all_channels_alike_and_over_the_whole_range() {
        let even: Vec<u8> =
            middles(true).into_iter().filter(|m| m[0] == m[1] && m[1] == m[2]).map(|m| m[0]).collect();
        // A quarter of the draws has neither light nor noise, a quarter has light only.
        let untouched = even.iter().filter(|&&v| v == 100).count();
        assert!((900..1150).contains(&untouched), "{untouched}");
        let low = even.iter().min().unwrap();
        let high = even.iter().max().unwrap();
        assert!((76..=82).contains(low) && (155..=162).contains(high), "70 + 6 to 130 + 32: {low} to {high}");
    }

    #[test]
    fn noise_is_normal_with_the_documented_deviation() {
        let noisy: Vec<f64> = middles(false)
            .iter()
            .filter(|m| !(m[0] == m[1] && m[1] == m[2]))
            .map(|m| f64::from(m[0]) - f64::from(m[1]))
            .collect();
        let variance = noisy.iter().map(|d| d * d).sum::<f64>() / noisy.len() as f64;
        // The difference of two channels has twice the variance.
        let deviation = (variance / 2.0).sqrt();
        assert!((deviation - 12.75).abs() < 0.6, "{deviation}");
    }

    #[test]
    fn nothing_is_mirrored_without_the_flag() {
        let mirrored = |may_flip| {
            let one = |i| {
                let mut pixels: Vec<u8> = (0..243).map(|i| if i % 9 < 3 { 200 } else { 0 }).collect();
                apply(&config(may_flip), SHAPE, &mut pixels, &mut Seed::new(9).stream("augment", &[i]));
                pixels[40 + 4] > 100 && pixels[40 - 4] < 100
            };
            (0..200).filter(|&i| one(i)).count()
        };
        assert_eq!(mirrored(false), 0);
        assert!(mirrored(true) > 60);
    }
}
