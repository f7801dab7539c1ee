//! Network input that the data check keeps, so that large images are decoded once.

use std::collections::HashMap;

use crate::image::prepare::{InputSpec, resize_planes};
use crate::image::resize::Plane;

/// Images as network input `[c, h, w]`, by the SHA-256 of their files.
///
/// Only images that take long to decode are kept, and none with more than 8 bits per sample: their white level depends
/// on the other images.
#[derive(Debug)]
pub struct PreparedImages {
    input: InputSpec,
    images: HashMap<[u8; 32], PreparedImage>,
}

/// One image at the size of the network input.
#[derive(Debug)]
pub(crate) struct PreparedImage {
    pixels: Box<[u8]>,
    /// Whether the file has grey samples, so that all channels are equal.
    is_luma: bool,
}

/// Most bytes of all kept images together.
const MOST_BYTES: usize = 32 << 20;

/// An image with at least this many times the pixels of the network input is kept.
const LARGE: usize = 4;

impl PreparedImages {
    /// No images yet, for network input of this kind. Its white levels do not matter.
    pub fn new(input: InputSpec) -> Self {
        Self { input, images: HashMap::new() }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Whether there is room for one more after `n` images.
    pub(crate) fn has_room_after(&self, n: usize) -> bool {
        (n + 1) * self.input.len() <= MOST_BYTES
    }

    /// Converts an image with the channels of this input; `None` if decoding it again is quick.
    pub(crate) fn prepare(&self, planes: &[Plane], is_luma: bool) -> Option<PreparedImage> {
        let is_large = planes[0].width * planes[0].height >= LARGE * self.input.height * self.input.width;
        let is_kept = is_large && planes.len() == self.input.channels;
        is_kept.then(|| PreparedImage { pixels: resize_planes(planes, &self.input).into(), is_luma })
    }

    pub(crate) fn insert(&mut self, sha256: [u8; 32], image: PreparedImage) {
        self.images.insert(sha256, image);
    }

    /// The image of a file as network input, if it was kept for input of this kind.
    pub(crate) fn get(&self, sha256: &[u8; 32], input: &InputSpec) -> Option<Vec<u8>> {
        let InputSpec { channels, white, .. } = self.input;
        let image = self.images.get(sha256)?;
        if (InputSpec { channels, white, ..*input }) != self.input {
            return None;
        }
        match (channels, input.channels) {
            (own, wanted) if own == wanted => Some(image.pixels.to_vec()),
            (3, 1) if image.is_luma => Some(image.pixels[..input.len()].to_vec()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::resize::{Filter, Resize};
    use crate::image::white_level::WhiteLevels;

    fn input(channels: usize, side: usize) -> InputSpec {
        InputSpec {
            channels,
            height: side,
            width: side,
            resize: Resize::Pad,
            filter: Filter::Smooth,
            white: WhiteLevels::default(),
        }
    }

    fn planes(side: usize) -> Vec<Plane> {
        let pixels: Vec<u8> = (0..side * side).map(|i| (i * 7 % 251) as u8).collect();
        vec![Plane { width: side, height: side, pixels }; 3]
    }

    fn kept(is_luma: bool) -> PreparedImages {
        let mut prepared = PreparedImages::new(input(3, 4));
        let image = prepared.prepare(&planes(16), is_luma).expect("it is large");
        prepared.insert([1; 32], image);
        prepared
    }

    #[test]
    fn an_image_is_found_for_the_same_input_only() {
        let prepared = kept(false);
        assert_eq!(prepared.get(&[1; 32], &input(3, 4)), Some(resize_planes(&planes(16), &input(3, 4))));
        assert_eq!(prepared.get(&[2; 32], &input(3, 4)), None);
        assert_eq!(prepared.get(&[1; 32], &input(3, 5)), None);
        assert_eq!(prepared.get(&[1; 32], &input(1, 4)), None);
    }

    #[test]
    fn a_grey_file_serves_grey_input_as_well() {
        let of_one = resize_planes(&planes(16)[..1], &input(1, 4));
        assert_eq!(kept(true).get(&[1; 32], &input(1, 4)), Some(of_one));
    }

    #[test]
    fn small_images_and_those_beyond_the_limit_are_not_kept() {
        let prepared = PreparedImages::new(input(3, 64));
        assert!(prepared.prepare(&planes(100), false).is_none());
        let most = MOST_BYTES / (3 * 64 * 64);
        assert!(prepared.has_room_after(most - 1) && !prepared.has_room_after(most));
    }
}
