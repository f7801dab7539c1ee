//! Images embedded in the page as `data:` URLs of PNG files. Their sizes are limited so that a page has a few
//! megabytes.

use enas_data::{Dataset, SheetTile, Split, contact_tiles};
use image::RgbImage;
use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};

/// Longest side of the image of a mistake, in pixels.
const THUMB: u32 = 96;
/// Maximum size of all augmented images, in bytes. Larger ones are scaled down, but not below [`LEAST`].
const SHEET_BYTES: usize = 600_000;
/// Images whose longest side is at most this many pixels are not scaled down further.
const LEAST: u32 = 32;
/// Number of training images shown, and number of augmented variants of each.
const SHEET: (usize, usize) = (8, 5);

/// An image of the page. Sizes are in pixels.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedImage {
    /// A `data:` URL.
    pub(crate) source: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Image `i` of a split, as the network gets it before normalisation.
///
/// `[channels, height, width]` is the shape of the split's images.
///
/// # Errors
/// If the image has to be read from its file and the file has changed.
pub(crate) fn thumbnail(
    split: &Split,
    i: usize,
    [channels, height, width]: [usize; 3],
) -> enas_run::Result<EmbeddedImage> {
    let pixels = split.image(i)?;
    let plane = height * width;
    let at = |x: u32, y: u32| {
        let offset = y as usize * width + x as usize;
        // Grey images have one channel, which is used for red, green and blue.
        image::Rgb([0, 1, 2].map(|c| pixels[c.min(channels - 1) * plane + offset]))
    };
    let rgb = RgbImage::from_fn(width as u32, height as u32, at);
    Ok(reduced(&rgb, THUMB))
}

/// A training image and its augmented variants.
#[derive(Clone, Debug)]
pub(crate) struct Views {
    /// The name of its class.
    pub(crate) label: String,
    pub(crate) original: EmbeddedImage,
    pub(crate) variations: Vec<EmbeddedImage>,
}

/// Training images with their augmented variants, scaled down until they take at most [`SHEET_BYTES`].
///
/// # Errors
/// As for [`thumbnail`].
pub(crate) fn views(data: &Dataset) -> enas_run::Result<Vec<Views>> {
    let groups = contact_tiles(data, SHEET.0, SHEET.1)?;
    let mut longest = THUMB;
    loop {
        let views: Vec<Views> = groups.iter().filter_map(|tiles| seen(tiles, longest)).collect();
        if longest <= LEAST || views.iter().map(Views::bytes).sum::<usize>() <= SHEET_BYTES {
            return Ok(views);
        }
        longest = longest * 2 / 3;
    }
}

fn seen(tiles: &[SheetTile], longest: u32) -> Option<Views> {
    let (original, variations) = tiles.split_first()?;
    Some(Views {
        label: original.label.clone(),
        original: reduced(&original.image, longest),
        variations: variations.iter().map(|tile| reduced(&tile.image, longest)).collect(),
    })
}

impl Views {
    fn bytes(&self) -> usize {
        std::iter::once(&self.original).chain(&self.variations).map(|image| image.source.len()).sum()
    }
}

/// The image, scaled down if a side is longer than `most` pixels.
fn reduced(image: &RgbImage, most: u32) -> EmbeddedImage {
    let longest = image.width().max(image.height());
    if longest <= most {
        return embedded(image);
    }
    let fit = |side: u32| (side * most / longest).max(1);
    embedded(&resize(image, fit(image.width()), fit(image.height()), FilterType::Triangle))
}

fn embedded(image: &RgbImage) -> EmbeddedImage {
    let mut png = Vec::new();
    image
        .write_with_encoder(PngEncoder::new(&mut png))
        .expect("memory can be written, and PNG holds any RGB image");
    let source = format!("data:image/png;base64,{}", base64(&png));
    EmbeddedImage { source, width: image.width(), height: image.height() }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        pairs.iter().for_each(|(plain, coded)| assert_eq!(base64(plain.as_bytes()), *coded));
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn a_grey_image_becomes_a_png_of_its_own_pixels() {
        let data = enas_data::digits().unwrap();
        let image = thumbnail(&data.test, 3, [1, 8, 8]).unwrap();
        assert_eq!((image.width, image.height), (8, 8));
        let views = views(&data).unwrap();
        assert_eq!(views.len(), 8);
        assert!(
            views.iter().all(|views| views.variations.is_empty()),
            "the digits are not varied by default"
        );
        assert_eq!((views[3].label.as_str(), views[3].original.width), ("3", 8));
    }
}
