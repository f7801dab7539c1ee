//! The reference's variations as they were probably meant.

use enas_rng::Stream;
use image::{ImageBuffer, Luma};
use imageproc::geometric_transformations::{Border, Interpolation, Projection, warp_into};

use super::{Shape, mirror};

/// Probability of each variation.
const PROBABILITY: f32 = 0.5;
const ENLARGEMENT: f32 = 1.2;
/// Standard deviation of the noise, in pixel values: 5 % of the range.
const NOISE: f32 = 12.75;

/// Varies one picture `[c, h, w]` in place. Which variations apply is drawn first, then what each needs.
pub(super) fn vary(shape: Shape, pixels: &mut [u8], may_flip: bool, stream: &mut Stream) {
    let [enlarge, rotate, light, noise, flip] = std::array::from_fn(|_| stream.chance(PROBABILITY));
    let scale = if enlarge { ENLARGEMENT } else { 1.0 };
    let degrees = if rotate { stream.range(-20.0, 20.0) } else { 0.0 };
    if enlarge || rotate {
        turn_and_scale(shape, pixels, degrees, scale);
    }
    if light {
        let (contrast, brightness) = (stream.range(0.7, 1.3), stream.range(6.0, 32.0));
        // The cast saturates.
        pixels.iter_mut().for_each(|p| *p = (contrast * f32::from(*p) + brightness).round() as u8);
    }
    if noise {
        pixels.iter_mut().for_each(|p| *p = (f32::from(*p) + NOISE * stream.normal()).round() as u8);
    }
    if flip && may_flip {
        mirror(shape.width, pixels);
    }
}

/// Rotates and magnifies about the exact middle in one interpolation, so that nothing is blurred twice.
fn turn_and_scale(shape: Shape, pixels: &mut [u8], degrees: f32, scale: f32) {
    let (width, height) = (shape.width as u32, shape.height as u32);
    let (cx, cy) = ((shape.width as f32 - 1.0) / 2.0, (shape.height as f32 - 1.0) / 2.0);
    let projection = Projection::translate(cx, cy)
        * Projection::rotate(degrees.to_radians())
        * Projection::scale(scale, scale)
        * Projection::translate(-cx, -cy);
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let source: ImageBuffer<Luma<u8>, Vec<u8>> = ImageBuffer::from_raw(width, height, plane.to_vec())
            .expect("a plane holds height * width pixels");
        let mut out = ImageBuffer::new(width, height);
        let black = Border::Constant(Luma([0]));
        warp_into(&source, projection, Interpolation::Bilinear, black, &mut out);
        plane.copy_from_slice(&out);
    }
}
