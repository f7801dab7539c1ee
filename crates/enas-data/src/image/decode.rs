//! Decoding: from the bytes of a file to upright 8-bit pixels, without resizing.

use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbaImage};

use super::png_end::with_end;
use super::samples::{MAX_DECODED_BYTES, MAX_PIXELS, MAX_SIDE, image_from_samples, is_colour};
use super::tiff;
use crate::error::{ImageError, unsupported_compression};
use crate::image::resize::Plane;
use crate::image::white_level::{
    MaxSamples, WHITE_16, WhiteLevels, integer_to_8_bits, level_of_floats, to_8_bits,
};

/// Pixels that are converted to planes at a time, so that a large image never exists twice.
const STRIP_PIXELS: u32 = 1 << 20;

/// Decodes an image into `channels` planes, upright, 8 bits per sample.
///
/// The format is detected from the content, not the file name. Only the first frame of an animation is used. The EXIF
/// orientation is applied, samples of more than 8 bits are scaled by their white level, transparent pixels are
/// composited over white, and colour is converted to grey or grey to three equal planes.
///
/// # Errors
/// [`ImageError`] if the bytes are not a usable image.
pub(crate) fn decode(
    bytes: &[u8],
    channels: usize,
    white: WhiteLevels,
) -> Result<(Vec<Plane>, MaxSamples), ImageError> {
    let upright = decode_image(bytes, white)?;
    Ok((planes(upright.image, channels), upright.max_samples))
}

/// A decoded image and properties of its file.
pub(crate) struct DecodedImage {
    pub(crate) image: DynamicImage,
    pub(crate) format: ImageFormat,
    /// Whether the EXIF orientation rotated or mirrored it.
    pub(crate) rotated: bool,
    /// The largest samples of more than 8 bits.
    pub(crate) max_samples: MaxSamples,
}

/// The first half of [`decode`]: the image in the colours of its file.
pub(crate) fn decode_image(bytes: &[u8], white: WhiteLevels) -> Result<DecodedImage, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    // A decoder that panics on a damaged file has a bug, but must not end the user's run.
    panic::catch_unwind(AssertUnwindSafe(|| decode_with_or_without_end(bytes, white)))
        .unwrap_or_else(|_| Err(ImageError::Decode("the decoder failed unexpectedly".into())))
}

/// Decodes a file, also a PNG file that lacks nothing but its last chunk.
fn decode_with_or_without_end(bytes: &[u8], white: WhiteLevels) -> Result<DecodedImage, ImageError> {
    decode_guarded(bytes, white).or_else(|error| match with_end(bytes) {
        Some(mended) => decode_guarded(&mended, white).map_err(|_of_mended| error),
        None => Err(error),
    })
}

fn decode_guarded(bytes: &[u8], white: WhiteLevels) -> Result<DecodedImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| ImageError::Read(e.to_string()))?;
    let format = reader.format().ok_or(ImageError::UnknownFormat)?;
    reader.limits(limits());
    let mut decoder = match reader.into_decoder() {
        Ok(decoder) => decoder,
        Err(image::ImageError::Unsupported(_)) if format == ImageFormat::Tiff => {
            return unusual_tiff(bytes, white);
        }
        Err(error) => return Err(to_image_error(error)),
    };
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge(format!(
            "it has {width} x {height} pixels, at most {MAX_PIXELS} are read; make it smaller"
        )));
    }
    if width == 0 || height == 0 {
        return Err(ImageError::Decode(format!("it has {width} x {height} pixels")));
    }
    // The memory of the pixels is not available to the decoder itself.
    let mut rest = limits();
    rest.reserve(decoder.total_bytes()).and_then(|()| decoder.set_limits(rest)).map_err(to_image_error)?;
    // A damaged EXIF block does not make the pixels unusable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(to_image_error)?;
    let (image, max_samples) = scale_by_white_level(image, white);
    Ok(DecodedImage::of(image, format, orientation, max_samples))
}

/// Decodes a TIFF file of a kind that the `image` crate refuses.
fn unusual_tiff(bytes: &[u8], white: WhiteLevels) -> Result<DecodedImage, ImageError> {
    let tiff::Decoded { image, max_samples, orientation } = tiff::decode(bytes, white)?;
    let orientation = Orientation::from_exif(orientation).unwrap_or(Orientation::NoTransforms);
    Ok(DecodedImage::of(image, ImageFormat::Tiff, orientation, max_samples))
}

impl DecodedImage {
    fn of(
        mut image: DynamicImage,
        format: ImageFormat,
        orientation: Orientation,
        max_samples: MaxSamples,
    ) -> Self {
        image.apply_orientation(orientation);
        Self { image, format, rotated: orientation != Orientation::NoTransforms, max_samples }
    }
}

/// Scales samples of more than 8 bits by their white level, unless that is the maximum of the type.
fn scale_by_white_level(image: DynamicImage, white: WhiteLevels) -> (DynamicImage, MaxSamples) {
    let channels = usize::from(image.color().channel_count());
    let (bytes, max_samples) = match &image {
        DynamicImage::ImageLuma16(p) => scale_integers(p.as_raw(), channels, white),
        DynamicImage::ImageLumaA16(p) => scale_integers(p.as_raw(), channels, white),
        DynamicImage::ImageRgb16(p) => scale_integers(p.as_raw(), channels, white),
        DynamicImage::ImageRgba16(p) => scale_integers(p.as_raw(), channels, white),
        DynamicImage::ImageRgb32F(p) => scale_floats(p.as_raw(), channels, white),
        DynamicImage::ImageRgba32F(p) => scale_floats(p.as_raw(), channels, white),
        _ => (None, MaxSamples::default()),
    };
    let width = image.width();
    let height = image.height();
    let scaled = bytes.and_then(|bytes| image_from_samples(bytes, channels, width, height));
    (scaled.unwrap_or(image), max_samples)
}

/// Scales 16-bit samples to 8 bits, unless white is the maximum of 16 bits. Also returns the largest sample.
fn scale_integers(samples: &[u16], channels: usize, white: WhiteLevels) -> (Option<Vec<u8>>, MaxSamples) {
    let numbered = || samples.iter().enumerate();
    let colours = numbered().filter(|(i, _)| is_colour(*i, channels));
    let peak = colours.map(|(_, s)| u32::from(*s)).max().unwrap_or(0);
    let level = white.integer.unwrap_or(WHITE_16);
    // The alpha channel always uses the full range.
    let byte = |(i, s): (usize, &u16)| {
        integer_to_8_bits((*s).into(), if is_colour(i, channels) { level } else { WHITE_16 })
    };
    let bytes = (level != WHITE_16).then(|| numbered().map(byte).collect());
    (bytes, MaxSamples::of_integers(peak, level))
}

/// Scales floating-point samples to 8 bits, unless white is 1. Also returns the largest sample.
fn scale_floats(samples: &[f32], channels: usize, white: WhiteLevels) -> (Option<Vec<u8>>, MaxSamples) {
    let numbered = || samples.iter().enumerate();
    let colours = numbered().filter(|(i, s)| is_colour(*i, channels) && s.is_finite());
    let peak = colours.map(|(_, s)| *s).fold(0.0, f32::max);
    let level = white.float.unwrap_or_else(|| level_of_floats(peak));
    let byte = |(i, s): (usize, &f32)| to_8_bits(*s, if is_colour(i, channels) { level } else { 1 });
    let bytes = (level != 1).then(|| numbered().map(byte).collect());
    (bytes, MaxSamples::of_floats(peak, level))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

fn to_image_error(error: image::ImageError) -> ImageError {
    match error {
        image::ImageError::Limits(_) => ImageError::TooLarge(format!(
            "it has a side above {MAX_SIDE} pixels or takes more than {} MiB to decode; make it smaller",
            MAX_DECODED_BYTES >> 20
        )),
        other => unsupported_compression(&other.to_string()).unwrap_or_else(|| ImageError::decode(other)),
    }
}

/// Splits an image into one grey or three colour planes.
pub(crate) fn planes(image: DynamicImage, channels: usize) -> Vec<Plane> {
    let width = image.width();
    let height = image.height();
    let plane = |pixels| Plane { width: width as usize, height: height as usize, pixels };
    let image = match image {
        DynamicImage::ImageLuma8(grey) => {
            return vec![plane(grey.into_raw()); if channels == 1 { 1 } else { 3 }];
        }
        DynamicImage::ImageRgb8(image) => {
            return opaque_planes(image.as_raw(), channels).map(plane).collect();
        }
        image => image,
    };
    let rows = (STRIP_PIXELS / width.max(1)).max(1);
    let mut planes: Vec<Plane> = (0..if channels == 1 { 1 } else { 3 })
        .map(|_| {
            let width = width as usize;
            let height = height as usize;
            Plane { width, height, pixels: Vec::with_capacity(width * height) }
        })
        .collect();
    if height <= rows {
        extend(&mut planes, &image.into_rgba8());
    } else {
        for top in (0..height).step_by(rows as usize) {
            extend(&mut planes, &image.crop_imm(0, top, width, rows).into_rgba8());
        }
    }
    planes
}

/// The samples of one grey or three colour planes from the samples of an image without alpha.
fn opaque_planes(samples: &[u8], channels: usize) -> impl Iterator<Item = Vec<u8>> {
    let grey = |p: &[u8; 3]| grey(p[0], p[1], p[2]);
    let (pixels, _) = samples.as_chunks::<3>();
    (0..if channels == 1 { 1 } else { 3 }).map(move |c| match channels {
        1 => pixels.iter().map(grey).collect(),
        _ => pixels.iter().map(|p| p[c]).collect(),
    })
}

/// Appends rows of pixels to one grey or three colour planes.
fn extend(planes: &mut [Plane], rows: &RgbaImage) {
    let append = |plane: &mut Plane, value: &dyn Fn([u8; 4]) -> u8| {
        plane.pixels.extend(rows.pixels().map(|p| value(p.0)));
    };
    match planes {
        [one] => append(one, &|[r, g, b, a]| grey(over_white(r, a), over_white(g, a), over_white(b, a))),
        all => all.iter_mut().enumerate().for_each(|(c, plane)| append(plane, &|p| over_white(p[c], p[3]))),
    }
}

/// Composites a sample with this alpha over white, the usual background of images with transparency.
fn over_white(value: u8, alpha: u8) -> u8 {
    let value = u32::from(value);
    let alpha = u32::from(alpha);
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// `0.299 r + 0.587 g + 0.114 b` in OpenCV's 14-bit fixed point; equal channels keep their value exactly.
fn grey(r: u8, g: u8, b: u8) -> u8 {
    ((4899 * u32::from(r) + 9617 * u32::from(g) + 1868 * u32::from(b) + (1 << 13)) >> 14) as u8
}

/// The usual name of an image format; `None` if it is not supported.
pub(crate) fn format_name(format: ImageFormat) -> Option<&'static str> {
    match format {
        ImageFormat::Png => Some("PNG"),
        ImageFormat::Jpeg => Some("JPEG"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::Gif => Some("GIF"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Tiff => Some("TIFF"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_weights_are_the_television_ones_and_keep_grey() {
        assert_eq!((grey(255, 0, 0), grey(0, 255, 0), grey(0, 0, 255)), (76, 150, 29));
        assert!((0..=255).all(|v| grey(v, v, v) == v));
    }

    #[test]
    fn transparency_lies_over_white() {
        assert_eq!((over_white(10, 255), over_white(10, 0), over_white(0, 128)), (10, 255, 127));
    }

    #[test]
    fn no_bytes_and_no_image_are_told_apart() {
        assert!(matches!(decode(&[], 1, WhiteLevels::default()), Err(ImageError::Empty)));
        assert!(matches!(
            decode(b"<html>not found</html>", 1, WhiteLevels::default()),
            Err(ImageError::UnknownFormat)
        ));
    }

    #[test]
    fn strips_of_a_large_image_are_the_whole() {
        let pixel = |x: u32, y: u32| image::Rgba([x as u8, (x >> 3) as u8 ^ y as u8, y as u8, (x + y) as u8]);
        let image = RgbaImage::from_fn(1000, 2500, pixel);
        for channels in [1, 3] {
            let mut whole = vec![Plane { width: 1000, height: 2500, pixels: Vec::new() }; channels];
            extend(&mut whole, &image);
            assert!(planes(image.clone().into(), channels) == whole, "{channels} channels");
        }
    }

    #[test]
    fn images_without_alpha_have_the_planes_of_opaque_ones() {
        let pixel = |x: u32, y: u32| image::Rgb([x as u8, (x * 7 + y * 3) as u8, (y * 5) as u8]);
        let image = DynamicImage::from(image::RgbImage::from_fn(37, 23, pixel));
        for image in [image.to_luma8().into(), image] {
            for channels in [1, 3] {
                let opaque = DynamicImage::from(image.to_rgba8());
                assert!(planes(image.clone(), channels) == planes(opaque, channels), "{channels} channels");
            }
        }
    }

    /// The beginning of a colour PNG, with a valid checksum and no data after it.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend(width.to_be_bytes());
        png.extend(height.to_be_bytes());
        png.extend([8, 2, 0, 0, 0]);
        let crc = crc32(&png[12..29]).to_be_bytes();
        png.extend(crc);
        png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        png
    }

    #[test]
    fn what_a_header_claims_is_refused_before_memory_is_taken() {
        for (width, height, expected) in [
            (100_000, 100_000, "a side above 32768 pixels"),
            (100_000, 1, "a side above 32768 pixels"),
            (8192, 8193, "it has 8192 x 8193 pixels, at most 67108864 are read; make it smaller"),
        ] {
            let error = decode(&png_header(width, height), 3, WhiteLevels::default()).unwrap_err();
            assert!(matches!(error, ImageError::TooLarge(_)), "{width} x {height}: {error}");
            assert!(error.to_string().contains(expected), "{width} x {height}: {error}");
        }
        // Just allowed; decoding then finds that the file is truncated.
        assert!(matches!(decode(&png_header(64, 64), 3, WhiteLevels::default()), Err(ImageError::Decode(_))));
    }

    /// The CRC-32 of PNG chunks, bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
        !bytes.iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), |c, _| step(c)))
    }
}
