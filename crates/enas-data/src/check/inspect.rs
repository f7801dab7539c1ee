//! Inspection of a single file: everything that the findings need to know of it. Only this module decodes for the
//! check.

use image::{DynamicImage, ImageFormat};

use super::header;
use super::simhash::SimHash;
use crate::error::ImageError;
use crate::image::decode::{decode_image, format_name, planes};
use crate::image::prepared::{PreparedImage, PreparedImages};
use crate::image::resize::Plane;
use crate::image::white_level::{MaxSamples, WhiteLevels};
use crate::source::files::{RawImage, Source};

/// The result for one file.
pub(super) struct Inspected {
    /// SHA-256 of its bytes; of the empty text if they could not be read.
    pub(super) sha256: [u8; 32],
    pub(super) info: Result<ImageInfo, ImageError>,
    /// The image as network input, if it is to be kept.
    pub(super) prepared: Option<PreparedImage>,
}

/// Properties of a readable image.
pub(super) struct ImageInfo {
    /// Size of the upright image, in pixels.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether it has colours. Always `false` if images are read in grey.
    pub(super) coloured: bool,
    pub(super) simhash: SimHash,
    pub(super) properties: Properties,
    /// The largest samples of more than 8 bits.
    pub(super) max_samples: MaxSamples,
}

/// Properties that a plain 8-bit image does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// The format of the content, if the file name claims another one.
    pub(super) misnamed: Option<&'static str>,
    pub(super) cut_off: bool,
    pub(super) deep: bool,
    pub(super) cmyk: bool,
    /// The alpha channel, if there is one.
    pub(super) alpha: Option<Alpha>,
    pub(super) palette: bool,
    pub(super) rotated: bool,
    pub(super) animated: bool,
    /// All pixels are equal.
    pub(super) constant: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Some pixel is not opaque.
    Transparent,
    /// There is an alpha channel, but every pixel is opaque.
    Opaque,
}

/// Reads and decodes image `index` of a source, as network input of `channels`. With `keep`, a large image is also
/// converted to that input.
pub(super) fn inspect(
    source: &Source,
    index: usize,
    channels: usize,
    white: WhiteLevels,
    keep: Option<&PreparedImages>,
) -> Inspected {
    let raw = match source.read(index) {
        Ok(raw) => raw,
        Err(error) => {
            let sha256 = RawImage::Bytes(Vec::new()).sha256();
            return Inspected { sha256, info: Err(error), prepared: None };
        }
    };
    let sha256 = raw.sha256();
    let mut prepared = None;
    let info = image_info(raw, &source.files[index], channels, white, |planes, is_luma| {
        prepared = keep.and_then(|keep| keep.prepare(planes, is_luma));
    });
    Inspected { sha256, info, prepared }
}

/// Decodes an image and describes it. `keep` receives the planes of an image of at most 8 bits per sample, and whether
/// its samples are grey.
fn image_info(
    raw: RawImage,
    name: &str,
    channels: usize,
    white: WhiteLevels,
    keep: impl FnOnce(&[Plane], bool),
) -> Result<ImageInfo, ImageError> {
    let bytes = match raw {
        RawImage::Bytes(bytes) => bytes,
        RawImage::Pixels(plane) => {
            return Ok(ImageInfo::of(&vec![plane; channels], Properties::default(), MaxSamples::default()));
        }
    };
    let mut upright = decode_image(&bytes, white)?;
    let max_samples = upright.max_samples;
    if !max_samples.is_none() && white != white.resolved(max_samples) {
        // The image's own white levels show the most of it.
        upright = decode_image(&bytes, white.resolved(max_samples))?;
    }
    let header = header::read(upright.format, &bytes);
    let properties = Properties {
        misnamed: misnamed(upright.format, name),
        cut_off: header.cut_off,
        deep: !max_samples.is_none(),
        cmyk: header.cmyk,
        alpha: alpha(&upright.image, upright.format),
        palette: header.palette,
        rotated: upright.rotated,
        animated: header.animated,
        constant: false,
    };
    let is_luma = matches!(upright.image, DynamicImage::ImageLuma8(_));
    let planes = planes(upright.image, channels);
    if max_samples.is_none() {
        keep(&planes, is_luma);
    }
    Ok(ImageInfo::of(&planes, properties, max_samples))
}

impl ImageInfo {
    fn of(planes: &[Plane], properties: Properties, max_samples: MaxSamples) -> Self {
        let constant = planes.iter().all(|plane| plane.pixels.iter().all(|p| *p == plane.pixels[0]));
        let width = planes[0].width;
        let height = planes[0].height;
        let coloured = has_colours(planes);
        Self {
            width,
            height,
            coloured,
            simhash: SimHash::of(planes),
            properties: Properties { constant, ..properties },
            max_samples,
        }
    }
}

/// Whether more than a hundredth of the pixels is coloured. The threshold ignores the slight tint that compression
/// gives grey images.
fn has_colours(planes: &[Plane]) -> bool {
    /// Differences between channels up to this value do not count as colour.
    const TINT: u8 = 12;
    let [red, green, blue] = planes else { return false };
    let pixels = red.pixels.iter().zip(&green.pixels).zip(&blue.pixels);
    let is_coloured = |((r, g), b): ((&u8, &u8), &u8)| r.max(g).max(b) - r.min(g).min(b) > TINT;
    100 * pixels.filter(|pixel| is_coloured(*pixel)).count() > red.pixels.len()
}

/// The alpha channel. GIF is always decoded with one, so only transparency counts there.
fn alpha(image: &DynamicImage, format: ImageFormat) -> Option<Alpha> {
    let transparent = match image {
        DynamicImage::ImageLumaA8(p) => p.pixels().any(|p| p.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(p) => p.pixels().any(|p| p.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(p) => p.pixels().any(|p| p.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(p) => p.pixels().any(|p| p.0[3] < u16::MAX),
        DynamicImage::ImageRgba32F(p) => p.pixels().any(|p| p.0[3] < 1.0),
        _ => return None,
    };
    match transparent {
        true => Some(Alpha::Transparent),
        false if format == ImageFormat::Gif => None,
        false => Some(Alpha::Opaque),
    }
}

fn misnamed(format: ImageFormat, name: &str) -> Option<&'static str> {
    if ImageFormat::from_path(name).ok() == Some(format) { None } else { format_name(format) }
}
