//! The settings of the augmentation.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Settings of the augmentation of training images. Validation and test images are never augmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The mode.
    pub mode: AugmentMode,
    /// Whether copies are made once in advance, or every epoch draws anew.
    pub when: When,
    /// With `when = "once"`: images per original, including the original; 1 makes no copies.
    pub n_aug: usize,
    /// Whether images may be flipped horizontally; turn it off for digits and text. `reference` ignores it and flips
    /// colour images only.
    pub flip: bool,
    /// `corrected`: what lies beyond the edges of a rotated image. `rand-augment` always reflects; the other two
    /// follow the code they are from.
    pub border: Border,
    /// Padding on every side before a random crop of the original size: zeros for `crop-flip`, reflection for
    /// `rand-augment`.
    pub pad: usize,
    /// `crop-flip`: side of the cutout square in pixels; 0 for none.
    pub cutout: usize,
    /// `crop-flip`: the point of the square that is drawn.
    pub cutout_anchor: CutoutAnchor,
    /// `rand-augment`: operations per image, drawn with replacement.
    pub operations: usize,
    /// `rand-augment`: magnitude, 0 to 10. The maxima at 10: rotation 30°, shift 0.3 of the side, shear 0.3, scale
    /// factor 1.4, factor 0.1 or 1.9 for brightness, contrast, colour and sharpness, 4 bits less per channel,
    /// solarising of every value.
    pub magnitude: f32,
    /// Probability of random erasing, after all other operations; 0 for none, the default, as it is unmeasured.
    pub erasing: f32,
    /// `α` of mixup: images of a batch are blended in pairs with a share from `Beta(mixup, mixup)`; 0 for none.
    pub mixup: f32,
    /// `α` of CutMix: a rectangle of another image, whose share follows `Beta(cutmix, cutmix)`; 0 for none. Together
    /// with `mixup`, each is used in half of the batches.
    pub cutmix: f32,
}

/// The augmentation modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AugmentMode {
    /// No augmentation.
    #[default]
    None,
    /// Magnify, rotate, brightness, pixel dropout and (colour only) flip, each with probability ½, exactly as in the
    /// TensorFlow reference. Its contrast is 0.7 two times out of three, its brightness changes channel 0 only, and
    /// its "Gaussian noise" blackens a tenth of the pixels.
    Reference,
    /// The same five without the slips: contrast U(0.7, 1.3), brightness on all channels, Gaussian noise, exact
    /// centre, flip only if `flip` is set.
    Corrected,
    /// On normalised values: zero padding, random crop, flip with probability ½, cutout.
    CropFlip,
    /// Reflect padding, random crop, flip with probability ½, then `operations` of: identity, shift along either
    /// axis, rotate, scale, shear along either axis; for colour images also brightness, contrast, sharpness,
    /// posterize, solarize, equalize, colour (RandAugment; Cubuk et al., 2020).
    RandAugment,
}

/// What lies beyond the edges of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// Black.
    #[default]
    Black,
    /// The image reflected at its edges, so that rotation leaves no black corners.
    Reflect,
}

/// When the augmentation is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Once, before training: `n_aug - 1` copies of every image are added to the training split.
    Once,
    /// Anew in every epoch.
    #[default]
    EachEpoch,
}

/// The position of the random point in a cutout square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoutAnchor {
    /// The centre, as in DeVries and Taylor (2017): the square may extend beyond every edge.
    #[default]
    Centre,
    /// The top left corner, as in the ENAS authors' code (`models.py:92-100`): it may extend beyond bottom and right
    /// only.
    Corner,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: AugmentMode::None,
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
    /// Validates the settings for inputs of `image_size` pixels.
    pub(crate) fn check(&self, image_size: usize) -> Result<(), Error> {
        if self.n_aug == 0 {
            return Err(Error::config("augment.n_aug", 0, "at least 1: the original counts"));
        }
        if self.n_aug > 1 && (self.when == When::EachEpoch || self.mode == AugmentMode::None) {
            let allowed = "1 unless augment.when = \"once\" with a mode that makes copies";
            return Err(Error::config("augment.n_aug", self.n_aug, allowed));
        }
        self.check_ranges()?;
        if self.mode != AugmentMode::CropFlip && self.cutout != 0 {
            let allowed = "0 unless augment.mode = \"crop-flip\"";
            return Err(Error::config("augment.cutout", self.cutout, allowed));
        }
        if self.when == When::Once && (self.mode == AugmentMode::CropFlip || self.erasing > 0.0) {
            let allowed = "\"each-epoch\" for augment.mode = \"crop-flip\" and for augment.erasing";
            return Err(Error::config("augment.when", "\"once\"", allowed));
        }
        if !matches!(self.mode, AugmentMode::CropFlip | AugmentMode::RandAugment) {
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
            ("augment.magnitude", self.magnitude, MAX_MAGNITUDE, "0 to 10"),
            ("augment.erasing", self.erasing, 1.0, "0 to 1"),
            ("augment.mixup", self.mixup, MAX_ALPHA, "0 to 100"),
            ("augment.cutmix", self.cutmix, MAX_ALPHA, "0 to 100"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::config(key, value, allowed));
            }
        }
        if self.operations > MAX_OPERATIONS {
            return Err(Error::config("augment.operations", self.operations, "100 or less"));
        }
        Ok(())
    }

    /// Whether images are augmented anew in every epoch.
    pub(crate) fn augments_each_epoch(&self) -> bool {
        (self.mode != AugmentMode::None && self.when == When::EachEpoch) || self.erasing > 0.0
    }

    /// Images per original in the training split, including the original.
    pub fn copies(&self) -> usize {
        if self.when == When::Once { self.n_aug } else { 1 }
    }
}

/// Maximum `α` of mixup and CutMix; with it nearly all shares are close to one half.
const MAX_ALPHA: f32 = 100.0;
/// Maximum number of operations per image.
const MAX_OPERATIONS: usize = 100;
/// The maximum magnitude.
pub(super) const MAX_MAGNITUDE: f32 = 10.0;

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
