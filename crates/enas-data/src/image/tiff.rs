//! TIFF files that the `image` crate refuses: palettes, floating-point samples, integers of 32 bits or with a sign,
//! and few bits per sample.

use std::io::Cursor;

use image::{DynamicImage, RgbImage};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::samples::{MAX_DECODED_BYTES, MAX_PIXELS, image_from_samples, is_colour};
use crate::error::{ImageError, unsupported_compression};
use crate::image::white_level::{
    MaxSamples, WhiteLevels, integer_to_8_bits, level_of_floats, level_of_integers, to_8_bits,
};

/// A decoded file with 8-bit samples.
pub(crate) struct Decoded {
    pub(crate) image: DynamicImage,
    pub(crate) max_samples: MaxSamples,
    /// EXIF orientation, 1 to 8.
    pub(crate) orientation: u8,
}

/// Decodes a TIFF file with these white levels.
///
/// # Errors
/// [`ImageError`] if the file is damaged or of an unsupported kind.
pub(crate) fn decode(bytes: &[u8], white: WhiteLevels) -> Result<Decoded, ImageError> {
    let palette = palette_entry(bytes);
    let mut patched = Vec::new();
    let bytes = match palette {
        None => bytes,
        // The decoder reads palette indices as if they were grey values.
        Some(Photometric { at, black_is_zero }) => {
            patched.extend_from_slice(bytes);
            patched[at..at + 2].copy_from_slice(&black_is_zero);
            &patched
        }
    };
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_DECODED_BYTES as usize;
    limits.intermediate_buffer_size = MAX_DECODED_BYTES as usize;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(to_image_error)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(to_image_error)?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(ImageError::TooLarge(format!("it has {width} x {height} pixels")));
    }
    let color = decoder.colortype().map_err(to_image_error)?;
    let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten().unwrap_or(1);
    let raster = Raster::read(&mut decoder, color, (width, height))?;
    if palette.is_some() {
        let colours = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(to_image_error)?;
        let image = apply_palette(&raster, &colours)?;
        return Ok(Decoded { image, max_samples: MaxSamples::default(), orientation });
    }
    let (image, max_samples) = raster.scaled(white)?;
    Ok(Decoded { image, max_samples, orientation })
}

/// The photometric interpretation in the first directory of a palette image.
#[derive(Clone, Copy)]
struct Photometric {
    at: usize,
    /// The value 1 in the byte order of the file.
    black_is_zero: [u8; 2],
}

/// The directory entry that declares a palette image.
fn palette_entry(bytes: &[u8]) -> Option<Photometric> {
    const PHOTOMETRIC: u16 = 262;
    const PALETTE: u16 = 3;
    let little = bytes.starts_with(b"II");
    let word = |at: usize| -> Option<u16> {
        let pair = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
    };
    if word(2)? != 42 {
        return None;
    }
    let first = long(4)?;
    let n = usize::from(word(first)?);
    let entries = (0..n).map_while(|i| first.checked_add(2 + 12 * i));
    let at = entries.into_iter().find(|at| word(*at) == Some(PHOTOMETRIC))?.checked_add(8)?;
    let black_is_zero = if little { 1u16.to_le_bytes() } else { 1u16.to_be_bytes() };
    (word(at)? == PALETTE).then_some(Photometric { at, black_is_zero })
}

/// Samples as they are stored.
struct Raster {
    width: u32,
    height: u32,
    /// Samples per pixel, 1 to 4.
    channels: usize,
    bits: u8,
    samples: DecodingResult,
    /// Distance in samples from one channel of a pixel to the next, and from one pixel to the next.
    strides: [usize; 2],
}

impl Raster {
    fn read(
        decoder: &mut Decoder<Cursor<&[u8]>>,
        color: ColorType,
        (width, height): (u32, u32),
    ) -> Result<Self, ImageError> {
        let (channels, bits) = match color {
            ColorType::Gray(bits) => (1, bits),
            ColorType::GrayA(bits) => (2, bits),
            ColorType::RGB(bits) => (3, bits),
            ColorType::RGBA(bits) => (4, bits),
            other => return Err(ImageError::Decode(format!("TIFF colours {other:?} are not known"))),
        };
        let mut samples = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut samples).map_err(to_image_error)?;
        if samples.as_buffer(0).as_bytes().len() < layout.complete_len {
            return Err(ImageError::TooLarge("its planes take too much memory".into()));
        }
        let pixels = width as usize * height as usize;
        let strides = if layout.planes > 1 { [pixels, 1] } else { [1, channels] };
        let is_unsigned = matches!(samples, DecodingResult::U8(_));
        let is_packed = (1..8).contains(&bits) && is_unsigned && channels == 1 && layout.planes == 1;
        if !(is_packed || matches!(bits, 8 | 16 | 32 | 64)) {
            return Err(ImageError::Decode(format!("TIFF samples of {bits} bits are not known")));
        }
        let raster = Self { width, height, channels, bits, samples, strides };
        let needed = if is_packed { raster.packed_row() * height as usize } else { pixels * channels };
        if raster.len() < needed {
            return Err(ImageError::Decode("the TIFF file holds fewer samples than it says".into()));
        }
        Ok(raster)
    }

    fn len(&self) -> usize {
        match &self.samples {
            DecodingResult::U8(v) => v.len(),
            DecodingResult::U16(v) => v.len(),
            DecodingResult::U32(v) => v.len(),
            DecodingResult::U64(v) => v.len(),
            DecodingResult::F16(v) => v.len(),
            DecodingResult::F32(v) => v.len(),
            DecodingResult::F64(v) => v.len(),
            DecodingResult::I8(v) => v.len(),
            DecodingResult::I16(v) => v.len(),
            DecodingResult::I32(v) => v.len(),
            DecodingResult::I64(v) => v.len(),
        }
    }

    /// Bytes per row of packed samples.
    fn packed_row(&self) -> usize {
        (self.width as usize * usize::from(self.bits)).div_ceil(8)
    }

    /// Index in the storage of sample `i` in pixel order (interleaved channels).
    fn place(&self, i: usize) -> usize {
        let pixel = i / self.channels;
        let channel = i % self.channels;
        channel * self.strides[0] + pixel * self.strides[1]
    }

    /// Sample `i` as an integer, clamped to 32 unsigned bits; `None` for floats.
    fn integer(&self, i: usize) -> Option<u32> {
        let large = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        let signed = |v: i64| large(u64::try_from(v).unwrap_or(0));
        let at = self.place(i);
        Some(match &self.samples {
            DecodingResult::U8(v) if self.bits < 8 => u32::from(self.packed(v, i)),
            DecodingResult::U8(v) => u32::from(v[at]),
            DecodingResult::U16(v) => u32::from(v[at]),
            DecodingResult::U32(v) => v[at],
            DecodingResult::U64(v) => large(v[at]),
            DecodingResult::I8(v) => signed(v[at].into()),
            DecodingResult::I16(v) => signed(v[at].into()),
            DecodingResult::I32(v) => signed(v[at].into()),
            DecodingResult::I64(v) => signed(v[at]),
            DecodingResult::F16(_) | DecodingResult::F32(_) | DecodingResult::F64(_) => return None,
        })
    }

    /// Sample `i` of several per byte; the first is in the highest bits.
    fn packed(&self, bytes: &[u8], i: usize) -> u8 {
        let y = i / self.width as usize;
        let x = i % self.width as usize;
        let bit = x * usize::from(self.bits);
        let mask = (1u16 << self.bits) - 1;
        let at = y * self.packed_row() + bit / 8;
        let pair = u16::from(bytes[at]) << 8 | u16::from(*bytes.get(at + 1).unwrap_or(&0));
        (pair >> (16 - bit % 8 - usize::from(self.bits)) & mask) as u8
    }

    fn float(&self, i: usize) -> f32 {
        let at = self.place(i);
        match &self.samples {
            DecodingResult::F16(v) => v[at].to_f32(),
            DecodingResult::F32(v) => v[at],
            DecodingResult::F64(v) => v[at] as f32,
            _ => self.integer(i).map_or(0.0, |v| v as f32),
        }
    }

    /// The image with 8-bit samples, and the largest samples found.
    fn scaled(&self, white: WhiteLevels) -> Result<(DynamicImage, MaxSamples), ImageError> {
        let n = self.width as usize * self.height as usize * self.channels;
        // The alpha channel has the full range of its type.
        let is_colour = |i: &usize| is_colour(*i, self.channels);
        if self.integer(0).is_none() {
            let peak = (0..n).filter(is_colour).map(|i| self.float(i)).filter(|v| v.is_finite());
            let peak = peak.fold(0.0, f32::max);
            let level = white.float.unwrap_or_else(|| level_of_floats(peak));
            let byte = |i| to_8_bits(self.float(i), if is_colour(&i) { level } else { 1 });
            return Ok((self.image((0..n).map(byte).collect())?, MaxSamples::of_floats(peak, level)));
        }
        let sample = |i| self.integer(i).expect("all samples are of one type");
        let max_value = self.max_value();
        let peak = (0..n).filter(is_colour).map(sample).max().unwrap_or(0);
        let is_wide = self.bits > 16;
        let level = match max_value {
            0..=255 => max_value,
            // No real image uses all 32 bits.
            _ if is_wide => white.of_wide().unwrap_or_else(|| level_of_integers(peak)),
            _ => white.integer.unwrap_or(max_value),
        };
        let byte = |i| integer_to_8_bits(sample(i), if is_colour(&i) { level } else { max_value });
        let max_samples = match max_value {
            0..=255 => MaxSamples::default(),
            _ if is_wide => MaxSamples::of_wide(peak, level),
            _ => MaxSamples::of_integers(peak, level),
        };
        Ok((self.image((0..n).map(byte).collect())?, max_samples))
    }

    /// The maximum of the integer type.
    fn max_value(&self) -> u32 {
        let is_signed = matches!(
            self.samples,
            DecodingResult::I8(_) | DecodingResult::I16(_) | DecodingResult::I32(_) | DecodingResult::I64(_)
        );
        let bits = u32::from(self.bits.min(32)) - u32::from(is_signed);
        u32::MAX >> (32 - bits)
    }

    fn image(&self, bytes: Vec<u8>) -> Result<DynamicImage, ImageError> {
        image_from_samples(bytes, self.channels, self.width, self.height)
            .ok_or_else(|| ImageError::Decode("the TIFF file holds fewer samples than it says".into()))
    }
}

/// Colours of palette indices. The palette holds all reds, all greens, then all blues, 16 bits each.
fn apply_palette(raster: &Raster, colours: &[u16]) -> Result<DynamicImage, ImageError> {
    let n = colours.len() / 3;
    // Some programs write 8-bit values into the 16 bits.
    let is_narrow = colours.iter().all(|value| *value < 256);
    let byte = |value: u16| if is_narrow { value as u8 } else { (value >> 8) as u8 };
    let mut bytes = Vec::with_capacity(3 * raster.width as usize * raster.height as usize);
    for i in 0..raster.width as usize * raster.height as usize {
        let index = raster.integer(i).unwrap_or(u32::MAX) as usize;
        if index >= n {
            return Err(ImageError::Decode(format!("colour {index} is not among the {n} of its palette")));
        }
        bytes.extend([index, n + index, 2 * n + index].map(|at| byte(colours[at])));
    }
    let image = RgbImage::from_raw(raster.width, raster.height, bytes);
    Ok(DynamicImage::ImageRgb8(image.expect("there are three bytes for each pixel")))
}

fn to_image_error(error: TiffError) -> ImageError {
    match error {
        TiffError::LimitsExceeded => ImageError::TooLarge("its TIFF data take too much memory".into()),
        other => unsupported_compression(&other.to_string()).unwrap_or_else(|| ImageError::decode(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 4×2 pixels in one strip of zeros, with samples of `format` (1 unsigned, 2 signed, 3 float).
    fn file_of(bits: u16, format: u16, channels: u16) -> Vec<u8> {
        const SHORT: u16 = 3;
        const LONG: u16 = 4;
        let strip = vec![0x55; (usize::from(bits) * usize::from(channels) * 4).div_ceil(8) * 2];
        let photometric = if channels < 3 { 1 } else { 2 };
        let entries: [(u16, u16, u32); 9] = [
            (256, SHORT, 4),
            (257, SHORT, 2),
            (258, SHORT, bits.into()),
            (259, SHORT, 1),
            (262, SHORT, photometric),
            (273, LONG, 8),
            (277, SHORT, channels.into()),
            (279, LONG, strip.len() as u32),
            (339, SHORT, format.into()),
        ];
        let mut file = b"II*\0".to_vec();
        file.extend((8 + strip.len() as u32).to_le_bytes());
        file.extend(&strip);
        file.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, value) in entries {
            file.extend(tag.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(1u32.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        file
    }

    #[test]
    fn samples_of_every_width_and_sign_are_decoded_or_refused() {
        let mut decoded = Vec::new();
        for bits in 0..=65 {
            for format in 0..=4 {
                for channels in 1..=4 {
                    if decode(&file_of(bits, format, channels), WhiteLevels::default()).is_ok() {
                        decoded.push((bits, format, channels));
                    }
                }
            }
        }
        for grey in
            [(1, 1, 1), (4, 1, 1), (8, 1, 1), (8, 2, 1), (16, 1, 1), (32, 1, 1), (32, 2, 1), (32, 3, 1)]
        {
            assert!(decoded.contains(&grey), "{grey:?} is not among {decoded:?}");
        }
        assert!(!decoded.iter().any(|(bits, format, _)| *bits < 8 && *format != 1), "{decoded:?}");
    }
}
