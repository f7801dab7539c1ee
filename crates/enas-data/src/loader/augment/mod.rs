//! Augmentation of training images: the settings and the choice of the implementation.
//!
//! There are four modes: [`Mode::Reference`] (the published TensorFlow code exactly), [`Mode::Corrected`] (the same
//! ideas without its slips), [`Mode::CropFlip`] (the ENAS authors' zero-padded crop, flip and cutout on normalised
//! values) and [`Mode::RandAugment`] (random operations from a list). Random erasing follows any of them; mixing
//! works on whole batches. The modes know nothing of files or batches.

mod config;
mod corrected;
mod crop_flip;
mod erase;
mod mix;
mod random;
mod reference;
mod reflected;
mod shape;
mod warp;

use enas_rng::Stream;

pub use self::config::{Border, Config, CutoutAnchor, Mode, When};
pub use self::mix::Mix;
pub(crate) use self::shape::Shape;

impl Config {
    /// Augments pixels `[c, h, w]` in place, for the modes that work on pixels.
    pub(crate) fn augment_pixels(&self, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
        match self.mode {
            Mode::Reference => reference::apply(shape, pixels, stream),
            Mode::Corrected => corrected::apply(self, shape, pixels, stream),
            Mode::RandAugment => random::apply(self, shape, pixels, stream),
            Mode::None | Mode::CropFlip => {}
        }
    }

    /// Augments normalised values `[c, h, w]` in place, for the mode that works on them, and erases.
    pub(crate) fn augment_values(&self, shape: Shape, values: &mut [f32], stream: &mut Stream) {
        if self.mode == Mode::CropFlip {
            crop_flip::apply(self, shape, values, stream);
        }
        if self.erasing > 0.0 {
            erase::apply(self.erasing, shape, values, stream);
        }
    }
}
