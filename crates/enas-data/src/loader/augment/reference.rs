//! The augmentation of the TensorFlow reference including its slips, for runs that reproduce its numbers.
//!
//! The reference stores channels as blue, green, red (OpenCV), this program as red, green, blue. "Channel 0" is
//! therefore another colour here, which makes no difference to a network trained from scratch.

use enas_rng::Stream;

use super::shape::{Shape, flip_horizontal};
use super::warp::{rotation_and_scale, warp};

/// Probability of each operation, factor of the first one, and share of pixels that the fourth one blackens.
const PROBABILITY: f32 = 0.5;
const ENLARGEMENT: f64 = 1.2;
const DROPOUT: f32 = 0.1;

/// Augments one image `[c, h, w]` in place. The choice of operations is drawn first, then their parameters.
pub(super) fn apply(shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
    let [enlarge, rotate, brighten, drop, flip] = std::array::from_fn(|i| {
        // The fifth operation, flipping, exists for colour images only; grey ones make no draw for it.
        (i < 4 || shape.channels == 3) && stream.uniform() > PROBABILITY
    });
    let centre = (shape.width / 2) as f64;
    if enlarge {
        warp(shape, pixels, rotation_and_scale(centre, centre, 0.0, ENLARGEMENT));
    }
    if rotate {
        let degrees = stream.below(41) as f64 - 20.0;
        warp(shape, pixels, rotation_and_scale(centre, centre, degrees, 1.0));
    }
    if brighten {
        let contrast = stream.range(0.1, 1.0).clamp(0.7, 1.3);
        let brightness = stream.range(6.0, 32.0);
        change_light(shape, pixels, contrast, brightness);
    }
    if drop {
        drop_pixels(shape, pixels, stream);
    }
    if flip {
        flip_horizontal(shape.width, pixels);
    }
}

/// Scales all channels, then brightens channel 0 only: OpenCV 3 adds a scalar to the first channel only.
fn change_light(shape: Shape, pixels: &mut [u8], contrast: f32, brightness: f32) {
    for pixel in pixels.iter_mut() {
        *pixel = (contrast * f32::from(*pixel)).round_ties_even() as u8;
    }
    let brightness = brightness.round_ties_even() as u8;
    pixels[..shape.plane()].iter_mut().for_each(|p| *p = p.saturating_add(brightness));
}

/// Blackens each pixel, all channels together, with probability 0.1.
fn drop_pixels(shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
    for i in 0..shape.plane() {
        if stream.chance(DROPOUT) {
            (0..shape.channels).for_each(|c| pixels[c * shape.plane() + i] = 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    const GREY: Shape = Shape { channels: 1, height: 8, width: 8 };
    const COLOUR: Shape = Shape { channels: 3, ..GREY };

    #[test]
    fn contrast_is_rounded_half_to_even_and_brightness_reaches_channel_0_only() {
        let mut pixels = vec![5; 192];
        change_light(COLOUR, &mut pixels, 0.7, 6.5);
        // 3.5 rounds to 4, 6.5 to 6.
        assert!(pixels[..64].iter().all(|&p| p == 10) && pixels[64..].iter().all(|&p| p == 4), "{pixels:?}");
        let mut pixels = vec![250; 64];
        change_light(GREY, &mut pixels, 1.0, 30.0);
        assert_eq!(pixels, [255; 64], "saturates");
    }

    #[test]
    fn dropped_pixels_are_black_in_all_channels_and_a_tenth_of_all() {
        let shape = Shape { channels: 3, height: 100, width: 100 };
        let mut pixels = vec![9; 30_000];
        drop_pixels(shape, &mut pixels, &mut Seed::new(1).stream("augment", &[]));
        let black = pixels[..10_000].iter().filter(|&&p| p == 0).count();
        assert!((880..1120).contains(&black), "{black}");
        assert!(pixels[..10_000] == pixels[10_000..20_000] && pixels[..10_000] == pixels[20_000..]);
    }

    /// Results for an image with one bright column at the right, over many draws.
    fn outcomes(shape: Shape) -> Vec<Vec<u8>> {
        let start: Vec<u8> = (0..shape.len()).map(|i| if i % 8 == 7 { 200 } else { 10 }).collect();
        let vary_one = |i| {
            let mut pixels = start.clone();
            apply(shape, &mut pixels, &mut Seed::new(3).stream("augment", &[0, i]));
            pixels
        };
        (0..2000).map(vary_one).collect()
    }

    #[test]
    fn one_copy_in_sixteen_grey_or_thirty_two_coloured_is_left_alone() {
        for (shape, expected) in [(GREY, 125), (COLOUR, 62)] {
            let start: Vec<u8> = (0..shape.len()).map(|i| if i % 8 == 7 { 200 } else { 10 }).collect();
            let same = outcomes(shape).iter().filter(|o| **o == start).count();
            assert!(same.abs_diff(expected) < 40, "{same} of 2000");
        }
    }

    #[test]
    fn only_colour_images_are_mirrored() {
        let bright_left = |o: &Vec<u8>| (0..8).filter(|y| o[y * 8] > 100).count() >= 4;
        assert_eq!(outcomes(GREY).iter().filter(|o| bright_left(o)).count(), 0);
        // Half are flipped, and half of those are not magnified, which would push the column out of the image.
        assert!(outcomes(COLOUR).iter().filter(|o| bright_left(o)).count() > 300);
    }

    #[test]
    fn two_thirds_of_the_contrasts_are_exactly_the_lower_bound() {
        // A pixel in the middle that only contrast and brightness change: 200 -> 140 at 0.7, channel 1 of colour.
        let mut stream = Seed::new(5).stream("augment", &[]);
        let clamped = (0..3000).filter(|_| stream.range(0.1, 1.0).clamp(0.7, 1.3) == 0.7).count();
        assert!((1880..2120).contains(&clamped), "{clamped}");
        let flat = |i| {
            let mut pixels = vec![200; 192];
            apply(COLOUR, &mut pixels, &mut Seed::new(6).stream("augment", &[i]));
            pixels[64 + 27]
        };
        let lowest = (0..3000).filter(|&i| flat(i) == 140).count();
        // Half change the light, two thirds of those by 0.7, and some of those lose the pixel: 0.5 * 0.67 * 0.95.
        assert!((850..1050).contains(&lowest), "{lowest}");
    }
}
