//! Labelled images of one size in memory: the output of the format readers and the input of the PNG writer.

use anyhow::Context;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::error::Error;

/// Labelled images of one size.
#[derive(Debug, PartialEq)]
pub struct RawImages {
    /// Number of channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Pixels, `[n, channels, height, width]`.
    pub pixels: Vec<u8>,
    /// Labels, `[n]`, each 0 to 9.
    pub labels: Vec<u8>,
}

/// The training and the test part of a data set, as published.
#[derive(Debug, PartialEq)]
pub struct TrainTest {
    /// The training part, which is split into `train` and `valid`.
    pub train: RawImages,
    /// The test part, which becomes `test`.
    pub test: RawImages,
}

impl RawImages {
    /// Image `index` as a PNG file: 8 bits per channel, no metadata. Equal pixels give equal bytes.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn png(&self, index: usize) -> Result<Vec<u8>, Error> {
        let color = if self.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut file = Vec::new();
        // Fast compression: a slower search would take minutes for sixty thousand small files.
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Sub)
            .write_image(&self.interleaved(index), self.width as u32, self.height as u32, color)
            .with_context(|| format!("cannot encode image {index}"))?;
        Ok(file)
    }

    /// Pixels of image `index` in the order of PNG, `[height, width, channels]`.
    fn interleaved(&self, index: usize) -> Vec<u8> {
        let plane = self.height * self.width;
        let size = self.channels * plane;
        let planes = &self.pixels[index * size..(index + 1) * size];
        (0..size).map(|i| planes[(i % self.channels) * plane + i / self.channels]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_image_comes_back_from_png_with_its_channels_in_place() {
        let pixels: Vec<u8> = (0..2 * 3 * 2 * 2).map(|i| i * 10).collect();
        let images = RawImages { channels: 3, height: 2, width: 2, pixels, labels: vec![0, 1] };

        let decoded = image::load_from_memory(&images.png(1).unwrap()).unwrap().to_rgb8();

        // The channels of the second image start at 120 (red), 160 (green) and 200 (blue).
        assert_eq!(decoded.get_pixel(0, 0).0, [120, 160, 200]);
        assert_eq!(decoded.get_pixel(1, 1).0, [150, 190, 230]);
    }
}
