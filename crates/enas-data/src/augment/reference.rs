//! The variations of the TensorFlow reference, with its slips, for runs that reproduce its numbers.
//!
//! The reference keeps OpenCV's blue-green-red order and we keep red-green-blue, so "channel 0" is another
//! colour here; to a network trained from scratch the order means nothing.

use enas_rng::Stream;

use super::warp::{rotation_and_scale, warp};
use super::{Shape, mirror};

/// Probability of each variation, magnification of the first, and share of pixels that the fourth blackens.
const PROBABILITY: f32 = 0.5;
const ENLARGEMENT: f64 = 1.2;
const DROPOUT: f32 = 0.1;

/// Varies one picture `[c, h, w]` in place. Which variations apply is drawn first, then what each needs.
pub(super) fn vary(shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
    let [enlarge, rotate, brighten, drop, flip] = std::array::from_fn(|i| {
        // The fifth, mirroring, exists for colour pictures only and draws nothing for grey ones.
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
        mirror(shape.width, pixels);
    }
}

/// Scales all channels, then brightens channel 0 only: what OpenCV 3 makes of adding a bare number.
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
