//! One look at one file: all that is kept of it for the findings. The only place where the doctor decodes.

use image::{DynamicImage, ImageFormat};

use super::header;
use super::likeness::Likeness;
use crate::decode::{decode_upright, kind_name, planes};
use crate::error::PictureError;
use crate::resize::Plane;
use crate::source::{Raw, Source};
use crate::white::{Peaks, WhiteLevels};

/// What became of one file.
pub(super) struct Inspected {
    /// SHA-256 of its bytes; of nothing when they could not be read.
    pub(super) sha256: [u8; 32],
    pub(super) looks: Result<Looks, PictureError>,
}

/// What a readable picture is like.
pub(super) struct Looks {
    /// Upright, in pixels.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether it has colours, as far as it was looked at in colour.
    pub(super) coloured: bool,
    pub(super) likeness: Likeness,
    pub(super) traits: Traits,
    /// Its largest samples of more than 8 bits.
    pub(super) peaks: Peaks,
}

/// What sets a file apart from a plain 8-bit picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// The kind of picture it is, if its name says another.
    pub(super) misnamed: Option<&'static str>,
    pub(super) cut_off: bool,
    pub(super) deep: bool,
    pub(super) cmyk: bool,
    /// Whether there is transparency, and if not, whether there could be.
    pub(super) alpha: Option<Alpha>,
    pub(super) palette: bool,
    pub(super) turned: bool,
    pub(super) animated: bool,
    /// All pixels are alike.
    pub(super) constant: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Some pixel lets something through.
    Transparent,
    /// There is an alpha channel, in which every pixel is opaque.
    Opaque,
}

/// Reads and decodes picture `index` of a source, as network input of `channels`.
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
        // For a look at one picture, its own levels show the most.
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

/// Whether a hundredth of the pixels is anything but grey: compression tints grey images a little.
fn has_colours(planes: &[Plane]) -> bool {
    /// Differences of channels up to this are not seen as a colour.
    const TINT: u8 = 12;
    let [red, green, blue] = planes else { return false };
    let pixels = red.pixels.iter().zip(&green.pixels).zip(&blue.pixels);
    let is_coloured = |((r, g), b): ((&u8, &u8), &u8)| r.max(g).max(b) - r.min(g).min(b) > TINT;
    100 * pixels.filter(|pixel| is_coloured(*pixel)).count() > red.pixels.len()
}

/// GIF files are always decoded with an alpha channel, so only transparency counts there.
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
