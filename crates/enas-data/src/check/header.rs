//! Properties of an image file that decoded pixels do not show, read from its bytes without decoding. For damaged
//! files the result is arbitrary, but reading never panics.

use image::ImageFormat;

use crate::image::png_end::missing_end;

/// Properties of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Colours are palette entries. Not set for GIF, which always has a palette.
    pub(super) palette: bool,
    /// Cyan, magenta, yellow and black.
    pub(super) cmyk: bool,
    /// More than one frame or page.
    pub(super) animated: bool,
    /// The file ends before the image does. JPEG decoders accept that, and PNG files may lack their last chunk.
    pub(super) cut_off: bool,
}

/// Reads the header of a file of this format.
pub(super) fn read(format: ImageFormat, bytes: &[u8]) -> Header {
    let header = match format {
        ImageFormat::Png => png(bytes),
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Bmp => bmp(bytes),
        ImageFormat::Gif => gif(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::Tiff => tiff(bytes),
        _ => None,
    };
    header.unwrap_or_default()
}

/// Reads chunks up to the pixels; an `acTL` chunk there announces an animation.
fn png(bytes: &[u8]) -> Option<Header> {
    // Byte 25 of the IHDR chunk is the colour type; 3 is a palette.
    let palette = *bytes.get(25)? == 3;
    let mut at = 8;
    let mut animated = false;
    while let Some(kind) = bytes.get(at + 4..at + 8) {
        animated |= kind == b"acTL";
        if kind == b"IDAT" {
            break;
        }
        at = at.checked_add(12 + u32::from_be_bytes(array(bytes, at)?) as usize)?;
    }
    Some(Header { palette, animated, cut_off: missing_end(bytes).is_some(), ..Header::default() })
}

/// Reads segments up to the first scan. The file is truncated if no end marker follows.
fn jpeg(bytes: &[u8]) -> Option<Header> {
    let mut header = Header::default();
    let mut at = 2;
    loop {
        let marker = match array::<2>(bytes, at)? {
            [0xff, 0xff] => {
                at += 1;
                continue;
            }
            [0xff, marker] => marker,
            _ => return Some(header),
        };
        // 0xda starts a scan. 0xc0 to 0xcf start a frame, except three of them; byte 9 of a frame is its number of
        // channels.
        match marker {
            0xda => break,
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => header.cmyk = *bytes.get(at + 9)? == 4,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes(array(bytes, at + 2)?));
    }
    header.cut_off = !bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
    Some(header)
}

fn bmp(bytes: &[u8]) -> Option<Header> {
    // The old header has 12 bytes and stores the bits per pixel at another place.
    let old = u32::from_le_bytes(array(bytes, 14)?) == 12;
    let bits = u16::from_le_bytes(array(bytes, if old { 24 } else { 28 })?);
    Some(Header { palette: (1..=8).contains(&bits), ..Header::default() })
}

/// Reads blocks until a second image begins.
fn gif(bytes: &[u8]) -> Option<Header> {
    let colours = |packed: u8| if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) };
    let sub_blocks = |mut at: usize| loop {
        match usize::from(*bytes.get(at)?) {
            0 => return Some(at + 1),
            n => at += 1 + n,
        }
    };
    let mut at = 13 + colours(*bytes.get(10)?);
    let mut images = 0;
    while images < 2 {
        at = match bytes.get(at) {
            Some(0x21) => sub_blocks(at + 2)?,
            Some(0x2c) => {
                images += 1;
                sub_blocks(at + 11 + colours(*bytes.get(at + 9)?))?
            }
            _ => break,
        };
    }
    Some(Header { animated: images > 1, ..Header::default() })
}

/// Reads the flags of the extended format.
fn webp(bytes: &[u8]) -> Option<Header> {
    let animated = bytes.get(12..16)? == b"VP8X" && bytes.get(20)? & 2 != 0;
    Some(Header { animated, ..Header::default() })
}

/// Reads the first directory, and whether there is another one.
fn tiff(bytes: &[u8]) -> Option<Header> {
    let little = bytes.starts_with(b"II");
    let word = |at| {
        let pair = array(bytes, at)?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at| {
        let four = array(bytes, at)?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
    };
    if word(2)? != 42 {
        return None;
    }
    // Tag 262, photometric interpretation: 3 is a palette, 5 is CMYK.
    let first = long(4)?;
    let photometric = 262;
    let n = usize::from(word(first)?);
    let entry = |i: usize| first.checked_add(2 + 12 * i);
    let mut header = Header { animated: long(entry(n)?)? != 0, ..Header::default() };
    for i in 0..n {
        let at = entry(i)?;
        if word(at)? == photometric {
            let colours = word(at.checked_add(8)?)?;
            (header.palette, header.cmyk) = (colours == 3, colours == 5);
        }
    }
    Some(header)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn header(bytes: &[u8]) -> Header {
        read(image::guess_format(bytes).unwrap(), bytes)
    }

    #[test]
    fn properties_are_read_from_files_of_other_programs() {
        let plain = Header::default();
        let palette = Header { palette: true, ..plain };
        let animated = Header { animated: true, ..plain };
        for (name, expected) in [
            ("colour.png", plain),
            ("colour.jpg", plain),
            ("progressive.jpg", plain),
            ("exif-6.jpg", plain),
            ("colour.bmp", plain),
            ("colour.gif", plain),
            ("colour.webp", plain),
            ("colour.tif", plain),
            ("palette.png", palette),
            ("transparent-palette.png", palette),
            ("palette.bmp", palette),
            ("cmyk.jpg", Header { cmyk: true, ..plain }),
            ("animated.gif", animated),
            ("animated.webp", animated),
        ] {
            assert_eq!(header(&file(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_jpeg_without_its_end_is_cut_off() {
        let bytes = file("colour.jpg");
        assert!(header(&bytes[..bytes.len() - 20]).cut_off);
        // Some cameras append bytes, which does no harm.
        assert!(!header(&[&bytes[..], &[0; 64]].concat()).cut_off);
    }

    #[test]
    fn a_tiff_with_a_second_page_has_two() {
        let mut bytes = file("colour.tif");
        let first = u32::from_le_bytes(array(&bytes, 4).unwrap()) as usize;
        let n = usize::from(u16::from_le_bytes(array(&bytes, first).unwrap()));
        assert!(bytes.starts_with(b"II") && !header(&bytes).animated);
        bytes[first + 2 + 12 * n] = 8;
        assert!(header(&bytes).animated);
    }

    #[test]
    fn no_beginning_of_a_file_panics() {
        for name in ["palette.png", "cmyk.jpg", "palette.bmp", "animated.gif", "animated.webp", "colour.tif"]
        {
            let bytes = file(name);
            let format = image::guess_format(&bytes).unwrap();
            for length in 0..bytes.len() {
                read(format, &bytes[..length]);
            }
        }
    }
}
