//! Variations of training pictures: what may be asked for, and who does it.
//!
//! Four families, none of which knows about files or batches: [`Mode::Reference`] (the published TensorFlow code
//! to the letter), [`Mode::Corrected`] (the same ideas without its slips), [`Mode::CropFlip`] (the ENAS
//! authors' zero-padded crop, mirror and cutout on normalised values) and [`Mode::RandAugment`] (some of a list of
//! operations). Erasing comes after any of them; mixing is done with whole batches.

mod corrected;
mod crop_flip;
mod erase;
mod mix;
mod random;
mod reference;
mod reflected;
mod warp;

use enas_rng::Stream;
use serde::{Deserialize, Serialize};

pub use self::mix::Mix;
use crate::error::Error;

/// How training pictures are varied. Validation and test pictures never are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which variations.
    pub mode: Mode,
    /// Whether copies are made once and kept, or every epoch sees fresh variations.
    pub when: When,
    /// With `when = "once"`: pictures per original, the original included; 1 makes no copies.
    pub n_aug: usize,
    /// Whether pictures may be mirrored; leave it off for digits and text. `reference` ignores it and mirrors
    /// colour pictures only.
    pub flip: bool,
    /// `corrected`: what comes in from outside where a picture is turned. `rand-augment` always reflects; the other two
    /// follow the code they are from.
    pub border: Border,
    /// Pixels added on every side before a random part of the original size is taken: zeros for `crop-flip`, the
    /// picture reflected for `rand-augment`.
    pub pad: usize,
    /// `crop-flip`: side of the square that is blanked out, in pixels; 0 for none.
    pub cutout: usize,
    /// `crop-flip`: which point of the square is drawn.
    pub cutout_anchor: CutoutAnchor,
    /// `rand-augment`: operations per picture, drawn with replacement.
    pub operations: usize,
    /// `rand-augment`: their strength, 0 to 10: of 10 are rotations by 30°, shifts by 0.3 of the side, shears by 0.3,
    /// factors on the size of 1.4, on brightness, contrast, colour and sharpness of 0.1 or 1.9, 4 bits less per channel,
    /// and solarising of every value.
    pub magnitude: f32,
    /// Probability that a rectangle of a picture is replaced by noise, after all other variations; 0 for none.
    pub erasing: f32,
    /// Pictures of a batch are blended in pairs with shares that follow `Beta(mixup, mixup)`; 0 for none.
    pub mixup: f32,
    /// Pictures of a batch get a rectangle of another one, whose share follows `Beta(cutmix, cutmix)`; 0 for none.
    /// Together with `mixup` each is done in half of the batches.
    pub cutmix: f32,
}

/// The families of variations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Pictures as they are.
    #[default]
    None,
    /// Enlarge, rotate, brightness, pixel dropout and (colour only) mirror, each with probability ½, as the
    /// TensorFlow reference does them: contrast is 0.7 two times out of three, brightness changes channel 0
    /// only, and what it calls Gaussian noise blackens a tenth of the pixels.
    Reference,
    /// The same five without the slips: contrast U(0.7, 1.3), brightness on all channels, real Gaussian noise,
    /// true centre, mirror by the `flip` key.
    Corrected,
    /// On normalised values: zero-pad, random crop, mirror with probability ½, cutout.
    CropFlip,
    /// Reflect at the edges, random crop, mirror with probability ½, then `operations` of: nothing, shift along either
    /// axis, rotate, scale, shear along either axis; for colour pictures also brightness, contrast, sharpness,
    /// posterize, solarize, equalize, colour.
    RandAugment,
}

/// What lies beyond the edges of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// Nothing: black.
    #[default]
    Black,
    /// The picture reflected at its edges, so that turning leaves no corners that a network could learn.
    Reflect,
}

/// When variations are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before training: `n_aug - 1` copies of every picture join the training split for good.
    Once,
    /// Every picture anew in every epoch.
    #[default]
    EachEpoch,
}

/// Where the random point of a cutout lies in its square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoutAnchor {
    /// The middle, as in DeVries and Taylor (2017): the square may stick out on every side.
    #[default]
    Centre,
    /// The top left corner, as in the ENAS authors' code: it sticks out at the bottom and right only.
    Corner,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::None,
            when: When::EachEpoch,
            n_aug: 1,
            flip: false,
            border: Border::Black,
            pad: 4,
            cutout: 0,
            cutout_anchor: CutoutAnchor::Centre,
            operations: 2,
            magnitude: 5.0,
            erasing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
        }
    }
}

impl Config {
    /// Whether the keys make sense together, for inputs of `image_size` pixels.
    pub(crate) fn check(&self, image_size: usize) -> Result<(), Error> {
        if self.n_aug == 0 {
            return Err(Error::config("augment.n_aug", 0, "at least 1: the original counts"));
        }
        if self.n_aug > 1 && (self.when == When::EachEpoch || self.mode == Mode::None) {
            let allowed = "1 unless augment.when = \"once\" with a mode that makes copies";
            return Err(Error::config("augment.n_aug", self.n_aug, allowed));
        }
        self.check_ranges()?;
        if self.mode != Mode::CropFlip && self.cutout != 0 {
            let allowed = "0 unless augment.mode = \"crop-flip\"";
            return Err(Error::config("augment.cutout", self.cutout, allowed));
        }
        if self.when == When::Once && (self.mode == Mode::CropFlip || self.erasing > 0.0) {
            let allowed = "\"each-epoch\" for augment.mode = \"crop-flip\" and for augment.erasing";
            return Err(Error::config("augment.when", "\"once\"", allowed));
        }
        if !matches!(self.mode, Mode::CropFlip | Mode::RandAugment) {
            return Ok(());
        }
        for (key, value) in [("augment.pad", self.pad), ("augment.cutout", self.cutout)] {
            if value > image_size {
                return Err(Error::config(key, value, "at most data.image_size"));
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), Error> {
        for (key, value, most, allowed) in [
            ("augment.magnitude", self.magnitude, random::STRONGEST, "0 to 10"),
            ("augment.erasing", self.erasing, 1.0, "0 to 1"),
            ("augment.mixup", self.mixup, MOST_EVEN, "0 to 100"),
            ("augment.cutmix", self.cutmix, MOST_EVEN, "0 to 100"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::config(key, value, allowed));
            }
        }
        if self.operations > MOST_OPERATIONS {
            return Err(Error::config("augment.operations", self.operations, "100 or less"));
        }
        Ok(())
    }

    /// Whether every picture is varied anew in every epoch.
    pub(crate) fn varies(&self) -> bool {
        (self.mode != Mode::None && self.when == When::EachEpoch) || self.erasing > 0.0
    }

    /// Copies of each picture in the training split, the original included.
    pub fn copies(&self) -> usize {
        if self.when == When::Once { self.n_aug } else { 1 }
    }

    /// Varies pixels in place, for the modes that work on pixels.
    pub(crate) fn vary_pixels(&self, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
        match self.mode {
            Mode::Reference => reference::vary(shape, pixels, stream),
            Mode::Corrected => corrected::vary(self, shape, pixels, stream),
            Mode::RandAugment => random::vary(self, shape, pixels, stream),
            Mode::None | Mode::CropFlip => {}
        }
    }

    /// Varies normalised values in place, for the mode that works on them, and erases.
    pub(crate) fn vary_values(&self, shape: Shape, values: &mut [f32], stream: &mut Stream) {
        if self.mode == Mode::CropFlip {
            crop_flip::vary(self, shape, values, stream);
        }
        if self.erasing > 0.0 {
            erase::vary(self.erasing, shape, values, stream);
        }
    }
}

/// Largest parameter of the distributions of shares: from here on all are about one half.
const MOST_EVEN: f32 = 100.0;
/// Most operations per picture.
const MOST_OPERATIONS: usize = 100;

/// Channels, rows and columns of a picture `[c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Shape {
    pub(crate) fn plane(self) -> usize {
        self.height * self.width
    }

    pub(crate) fn len(self) -> usize {
        self.channels * self.plane()
    }
}

/// Mirrors every row.
fn mirror<T>(width: usize, values: &mut [T]) {
    values.chunks_exact_mut(width).for_each(<[T]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_by_key() {
        let cases = [
            ("mode = 'crop-flip'\nwhen = 'once'", "augment.when"),
            ("mode = 'reference'\nn_aug = 3", "augment.n_aug"),
            ("when = 'once'\nn_aug = 3", "augment.n_aug"),
            ("mode = 'corrected'\ncutout = 4", "augment.cutout"),
            ("mode = 'crop-flip'\npad = 33", "augment.pad"),
            ("mode = 'crop-flip'\ncutout = 33", "augment.cutout"),
            ("mode = 'rand-augment'\npad = 33", "augment.pad"),
            ("mode = 'rand-augment'\ncutout = 1", "augment.cutout"),
            ("mode = 'rand-augment'\nmagnitude = 11.0", "augment.magnitude"),
            ("operations = 101", "augment.operations"),
            ("erasing = 1.1", "augment.erasing"),
            ("mixup = -0.1", "augment.mixup"),
            ("cutmix = nan", "augment.cutmix"),
            ("when = 'once'\nerasing = 0.5", "augment.when"),
        ];
        for (text, key) in cases {
            let error = toml::from_str::<Config>(text).unwrap().check(32).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
        for text in [
            "mode = 'reference'\nwhen = 'once'\nn_aug = 3",
            "mode = 'crop-flip'\ncutout = 16",
            "mode = 'rand-augment'\nwhen = 'once'\nn_aug = 2\nmixup = 0.2",
        ] {
            toml::from_str::<Config>(text).unwrap().check(32).unwrap();
        }
    }
}
