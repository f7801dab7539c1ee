//! Augmentation of training images: the settings and the choice of the implementation.
//!
//! There are four modes: [`AugmentMode::Reference`] (the published TensorFlow code exactly), [`AugmentMode::Corrected`]
//! (the same ideas without its slips), [`AugmentMode::CropFlip`] (the ENAS authors' zero-padded crop, flip and cutout
//! on normalised values) and [`AugmentMode::RandAugment`] (random operations from a list). Random erasing follows any
//! of them; mixing works on whole batches. The modes know nothing of files or batches.

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

pub use self::config::{AugmentMode, Border, Config, CutoutAnchor, When};
pub use self::mix::Mix;
pub(crate) use self::shape::Shape;

impl Config {
    /// Augments pixels `[c, h, w]` in place, for the modes that work on pixels.
    pub(crate) fn augment_pixels(&self, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
        match self.mode {
            AugmentMode::Reference => reference::apply(shape, pixels, stream),
            AugmentMode::Corrected => corrected::apply(self, shape, pixels, stream),
            AugmentMode::RandAugment => random::apply(self, shape, pixels, stream),
            AugmentMode::None | AugmentMode::CropFlip => {}
        }
    }

    /// Augments normalised values `[c, h, w]` in place, for the mode that works on them, and erases.
    pub(crate) fn augment_values(&self, shape: Shape, values: &mut [f32], stream: &mut Stream) {
        if self.mode == AugmentMode::CropFlip {
            crop_flip::apply(self, shape, values, stream);
        }
        if self.erasing > 0.0 {
            erase::apply(self.erasing, shape, values, stream);
        }
    }
}
