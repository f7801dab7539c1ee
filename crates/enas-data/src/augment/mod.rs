//! Variations of training pictures: what may be asked for, and who does it.
//!
//! Three families, none of which knows about files or batches: [`Mode::Reference`] (the published TensorFlow code
//! to the letter), [`Mode::Corrected`] (the same ideas without its slips) and [`Mode::CropFlip`] (the ENAS
//! authors' zero-padded crop, mirror and cutout on normalised values).

mod corrected;
mod crop_flip;
mod reference;
mod warp;

use enas_rng::Stream;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How training pictures are varied. Validation and test pictures never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// `crop-flip`: zeros added on every side before a random part of the original size is taken, in pixels.
    pub pad: usize,
    /// `crop-flip`: side of the square that is blanked out, in pixels; 0 for none.
    pub cutout: usize,
    /// `crop-flip`: which point of the square is drawn.
    pub cutout_anchor: CutoutAnchor,
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
            pad: 4,
            cutout: 0,
            cutout_anchor: CutoutAnchor::Centre,
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
        if self.mode != Mode::CropFlip {
            return match self.cutout {
                0 => Ok(()),
                n => Err(Error::config("augment.cutout", n, "0 unless augment.mode = \"crop-flip\"")),
            };
        }
        if self.when == When::Once {
            let allowed = "\"each-epoch\" for augment.mode = \"crop-flip\"";
            return Err(Error::config("augment.when", "\"once\"", allowed));
        }
        for (key, value) in [("augment.pad", self.pad), ("augment.cutout", self.cutout)] {
            if value > image_size {
                return Err(Error::config(key, value, "at most data.image_size"));
            }
        }
        Ok(())
    }

    /// Copies of each picture in the training split, the original included.
    pub(crate) fn copies(&self) -> usize {
        if self.when == When::Once { self.n_aug } else { 1 }
    }

    /// Varies pixels in place, for the modes that work on pixels.
    pub(crate) fn vary_pixels(&self, shape: Shape, pixels: &mut [u8], stream: &mut Stream) {
        match self.mode {
            Mode::Reference => reference::vary(shape, pixels, stream),
            Mode::Corrected => corrected::vary(shape, pixels, self.flip, stream),
            Mode::None | Mode::CropFlip => {}
        }
    }

    /// Varies normalised values in place, for the mode that works on them.
    pub(crate) fn vary_values(&self, shape: Shape, values: &mut [f32], stream: &mut Stream) {
        if self.mode == Mode::CropFlip {
            crop_flip::vary(self, shape, values, stream);
        }
    }
}

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
        ];
        for (text, key) in cases {
            let error = toml::from_str::<Config>(text).unwrap().check(32).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
        for text in ["mode = 'reference'\nwhen = 'once'\nn_aug = 3", "mode = 'crop-flip'\ncutout = 16"] {
            toml::from_str::<Config>(text).unwrap().check(32).unwrap();
        }
    }
}
