//! Inspection of a single file: everything that the findings need to know of it. Only this module decodes for the
//! check.

use image::{DynamicImage, ImageFormat};

use super::header;
use super::likeness::Likeness;
use crate::decode::{decode_upright, kind_name, planes};
use crate::error::PictureError;
use crate::resize::Plane;
use crate::source::{Raw, Source};
use crate::white::{Peaks, WhiteLevels};

/// The result for one file.
pub(super) struct Inspected {
    /// SHA-256 of its bytes; of the empty text if they could not be read.
    pub(super) sha256: [u8; 32],
    pub(super) looks: Result<Looks, PictureError>,
}

/// Properties of a readable image.
pub(super) struct Looks {
    /// Size of the upright image, in pixels.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether it has colours. Always `false` if images are read in grey.
    pub(super) coloured: bool,
    pub(super) likeness: Likeness,
    pub(super) traits: Traits,
    /// The largest samples of more than 8 bits.
    pub(super) peaks: Peaks,
}

/// Properties that a plain 8-bit image does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// The format of the content, if the file name claims another one.
    pub(super) misnamed: Option<&'static str>,
    pub(super) cut_off: bool,
    pub(super) deep: bool,
    pub(super) cmyk: bool,
    /// The alpha channel, if there is one.
    pub(super) alpha: Option<Alpha>,
    pub(super) palette: bool,
    pub(super) turned: bool,
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

/// Reads and decodes image `index` of a source, as network input of `channels`.
pub(super) fn inspect(source: &Source, index: usize, channels: usize, white: WhiteLevels) -> Inspected {
    match source.raw(index) {
        Ok(raw) => {
            Inspected { sha256: raw.sha256(), looks: look(raw, &source.files[index], channels, white) }
        }
        Err(error) => Inspected { sha256: Raw::Bytes(Vec::new()).sha256(), looks: Err(error) },
    }
}

fn look(raw: Raw, name: &str, channels: usize, white: WhiteLevels) -> Result<Looks, PictureError> {
    let bytes = match raw {
        Raw::Bytes(bytes) => bytes,
        Raw::Pixels(plane) => {
            return Ok(Looks::of(&vec![plane; channels], Traits::default(), Peaks::default()));
        }
    };
    let mut upright = decode_upright(&bytes, white)?;
    let peaks = upright.peaks;
    if !peaks.is_none() && white != white.resolved(peaks) {
        // The image's own white levels show the most of it.
        upright = decode_upright(&bytes, white.resolved(peaks))?;
    }
    let header = header::read(upright.format, &bytes);
    let traits = Traits {
        misnamed: misnamed(upright.format, name),
        cut_off: header.cut_off,
        deep: !peaks.is_none(),
        cmyk: header.cmyk,
        alpha: alpha(&upright.picture, upright.format),
        palette: header.palette,
        turned: upright.turned,
        animated: header.animated,
        constant: false,
    };
    Ok(Looks::of(&planes(upright.picture, channels), traits, peaks))
}

impl Looks {
    fn of(planes: &[Plane], traits: Traits, peaks: Peaks) -> Self {
        let constant = planes.iter().all(|plane| plane.pixels.iter().all(|p| *p == plane.pixels[0]));
        let (width, height) = (planes[0].width, planes[0].height);
        let coloured = has_colours(planes);
        Self {
            width,
            height,
            coloured,
            likeness: Likeness::of(planes),
            traits: Traits { constant, ..traits },
            peaks,
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
fn alpha(picture: &DynamicImage, format: ImageFormat) -> Option<Alpha> {
    let transparent = match picture {
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
    if ImageFormat::from_path(name).ok() == Some(format) { None } else { kind_name(format) }
}
