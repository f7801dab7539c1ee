//! Samples of decoded images, and the limits of decoding.

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

/// Size limit of an image file in bytes. Larger files are rarely images, and every decoding thread would need that
/// memory.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;

/// Limits of an image's claims: longest side, number of pixels, and memory for decoding. A tiny file can claim any
/// size, so they are checked before memory is allocated.
pub(crate) const MAX_SIDE: u32 = 32_768;
pub(crate) const MAX_PIXELS: u64 = 64 << 20;
pub(crate) const MAX_DECODED_BYTES: u64 = 256 << 20;

/// Whether a sample is a colour rather than alpha, which is the last of two or four channels.
pub(crate) fn is_colour(sample: usize, channels: usize) -> bool {
    !channels.is_multiple_of(2) || sample % channels != channels - 1
}

/// An 8-bit image from its samples; `None` if there are too few.
pub(crate) fn image_from_samples(
    bytes: Vec<u8>,
    channels: usize,
    width: u32,
    height: u32,
) -> Option<DynamicImage> {
    match channels {
        1 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::from),
        2 => GrayAlphaImage::from_raw(width, height, bytes).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, bytes).map(DynamicImage::from),
        _ => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::from),
    }
}
