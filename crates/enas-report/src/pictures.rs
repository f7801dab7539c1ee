//! Pictures inside the page: PNG files as `data:` addresses, small enough for a page of a few megabytes.

use std::io::Cursor;

use enas_data::{Dataset, Split, contact_sheet};
use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};

/// Longest side of a mistake's picture, in pixels.
const THUMB: u32 = 96;
/// Most bytes of the sheet of varied pictures.
const SHEET_BYTES: usize = 600_000;
/// Pictures on that sheet, and variations of each.
const SHEET: (usize, usize) = (8, 5);

/// A picture of the page.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// A `data:` address.
    pub(crate) source: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Picture `i` of a split, as the network gets it before normalisation.
///
/// `shape` is channels, height and width.
///
/// # Errors
/// If the picture is read from its file and that is no longer what it was.
pub(crate) fn thumbnail(
    split: &Split,
    i: usize,
    [channels, height, width]: [usize; 3],
) -> enas_search::Result<Picture> {
    let pixels = split.image(i)?;
    let plane = height * width;
    let at = |x: u32, y: u32| {
        let offset = y as usize * width + x as usize;
        // Grey has one channel, which then serves all three colours.
        image::Rgb([0, 1, 2].map(|c| pixels[c.min(channels - 1) * plane + offset]))
    };
    let picture = RgbImage::from_fn(width as u32, height as u32, at);
    let longest = picture.width().max(picture.height());
    if longest <= THUMB {
        return Ok(embedded(&picture));
    }
    let fit = |side: u32| (side * THUMB / longest).max(1);
    Ok(embedded(&resize(&picture, fit(picture.width()), fit(picture.height()), FilterType::Triangle)))
}

/// Training pictures beside their variations, and how many there are on the sheet.
///
/// # Errors
/// As for [`thumbnail`].
pub(crate) fn sheet(data: &Dataset) -> enas_search::Result<(Picture, usize)> {
    let sheet = contact_sheet(data, SHEET.0, SHEET.1)?;
    let mut image = sheet.image;
    let mut picture = embedded(&image);
    while picture.source.len() > SHEET_BYTES {
        image = resize(
            &image,
            (image.width() * 2 / 3).max(1),
            (image.height() * 2 / 3).max(1),
            FilterType::Triangle,
        );
        picture = embedded(&image);
    }
    Ok((picture, sheet.images))
}

fn embedded(image: &RgbImage) -> Picture {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).expect("memory can be written, and PNG holds any RGB picture");
    let source = format!("data:image/png;base64,{}", base64(png.get_ref()));
    Picture { source, width: image.width(), height: image.height() }
}

/// Base 64 of RFC 4648, with padding.
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
    fn a_grey_picture_becomes_a_png_of_its_own_pixels() {
        let data = enas_data::digits().unwrap();
        let picture = thumbnail(&data.test, 3, [1, 8, 8]).unwrap();
        assert_eq!((picture.width, picture.height), (8, 8));
        let (sheet, images) = sheet(&data).unwrap();
        assert!(sheet.source.len() < SHEET_BYTES && images == 8, "the digits are not varied by default");
    }
}
