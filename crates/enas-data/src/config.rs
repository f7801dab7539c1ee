//! The settings of a data set, as one serialisable value. Nothing here accesses files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dataset::stratify::Fractions;
use crate::error::Error;
use crate::image::prepare::InputSpec;
use crate::image::resize::{Filter, Resize};
use crate::image::white_level::WhiteLevels;
use crate::loader::augment;
use crate::source::built_in::digits::DIGITS;
use crate::source::built_in::find;
use crate::source::item::Part;

/// Where the images are and how they become network input.
///
/// Every key has a default; an empty table means the built-in digits.
///
/// ```
/// let config: enas_data::Config = toml::from_str("path = 'photos'\nchannels = 3\nresize = 'crop'").unwrap();
/// assert_eq!(config.image_size, 32);
/// config.check().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A folder or `.zip` of class folders, or the name of a built-in data set: `digits` or `fashion-small`. A folder
    /// of such a name is written `./digits`; [`resolve_path`](crate::resolve_path) converts a user's path to that form.
    pub path: PathBuf,
    /// 1 for grey input, 3 for colour. Images of the other kind are converted.
    pub channels: usize,
    /// Height and width of the network input in pixels.
    pub image_size: usize,
    /// How an image of another aspect ratio becomes square.
    pub resize: Resize,
    /// The interpolation for size changes.
    pub resize_filter: Filter,
    /// The sample value of white in integer images of more than 8 bits. By default it is estimated from the data:
    /// 4095 if no sample is larger, 65535 if all 16 bits are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub white_level: Option<u32>,
    /// The sample value of white in integer images of more than 16 bits. By default that of `white_level`; if their
    /// samples need more than 16 bits, the power of two above the largest, less 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide_white_level: Option<u32>,
    /// The sample value of white in floating-point images. By default it is estimated from the data: 1 if no sample
    /// is larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float_white_level: Option<u32>,
    /// Whether an unreadable file is an error (`true`) or is skipped with a warning (`false`).
    pub strict: bool,
    /// The source of the mean and deviation that normalise the pixels.
    pub normalization: NormalizationMode,
    /// Share of every class for the validation split if the data set has none, in (0, 1).
    pub valid_fraction: f64,
    /// Share of every class for the test split if the data set has no splits, in (0, 1).
    pub test_fraction: f64,
    /// How often the images of each class occur in a training epoch.
    pub sampling: Sampling,
    /// Augmentation of training images.
    pub augment: augment::Config,
}

/// The images of a training epoch. Other splits are always used as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every image once, in random order.
    #[default]
    Shuffled,
    /// As many images in total, but every class equally often. Every epoch leaves out other images of large classes
    /// and repeats images of small classes, with new augmentation.
    Balanced,
}

/// The source of the normalisation statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizationMode {
    /// Mean and population standard deviation of each channel over the training split, used for every split.
    #[default]
    PerChannel,
    /// As in the TensorFlow reference (MINGUKKANG/ENAS-Tensorflow): each split has two numbers for all channels
    /// together, the mean of the images' means and the mean of the images' population deviations.
    Reference,
}

/// Upper limit of the input side. Larger values are usually typing errors and would exhaust memory.
const MAX_IMAGE_SIZE: usize = 4096;

impl Default for Config {
    fn default() -> Self {
        Self {
            path: DIGITS.into(),
            channels: 1,
            image_size: 32,
            resize: Resize::default(),
            resize_filter: Filter::default(),
            white_level: None,
            wide_white_level: None,
            float_white_level: None,
            strict: false,
            normalization: NormalizationMode::default(),
            valid_fraction: 0.1,
            test_fraction: 0.1,
            sampling: Sampling::default(),
            augment: augment::Config::default(),
        }
    }
}

impl Config {
    /// Validates the values.
    ///
    /// # Errors
    /// [`Error::Config`] with the key, the value and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let fraction = |f: f64| f > 0.0 && f < 1.0;
        if !matches!(self.channels, 1 | 3) {
            return Err(Error::config("channels", self.channels, "1 (grey) or 3 (colour)"));
        }
        if self.image_size == 0 || self.image_size > MAX_IMAGE_SIZE {
            return Err(Error::config("image_size", self.image_size, "between 1 and 4096 pixels"));
        }
        for (key, level) in [
            ("white_level", self.white_level),
            ("wide_white_level", self.wide_white_level),
            ("float_white_level", self.float_white_level),
        ] {
            if level == Some(0) {
                return Err(Error::config(key, 0, "at least 1"));
            }
        }
        if !fraction(self.valid_fraction) {
            return Err(Error::config("valid_fraction", self.valid_fraction, "above 0 and below 1"));
        }
        if !fraction(self.test_fraction) {
            return Err(Error::config("test_fraction", self.test_fraction, "above 0 and below 1"));
        }
        if self.valid_fraction + self.test_fraction >= 1.0 {
            let sum = self.valid_fraction + self.test_fraction;
            return Err(Error::config(
                "valid_fraction + test_fraction",
                sum,
                "below 1, so that training data is left",
            ));
        }
        self.augment.check(self.image_size)
    }

    /// The network input that an image is converted to.
    pub fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.channels,
            height: self.image_size,
            width: self.image_size,
            resize: self.resize,
            filter: self.resize_filter,
            white: WhiteLevels {
                integer: self.white_level,
                wide: self.wide_white_level,
                float: self.float_white_level,
            },
        }
    }

    /// The shares of validation and test images.
    pub(crate) fn fractions(&self) -> Fractions {
        Fractions { valid: self.valid_fraction, test: self.test_fraction }
    }

    /// The same settings with the white levels that a data set was read with, for a model file.
    #[must_use]
    pub fn with_white(self, white: WhiteLevels) -> Self {
        let WhiteLevels { integer, wide, float } = white;
        Self { white_level: integer, wide_white_level: wide, float_white_level: float, ..self }
    }

    /// Whether the path is that of the built-in digits.
    pub fn is_digits(&self) -> bool {
        self.path.as_os_str() == DIGITS
    }

    /// Whether the path is that of a built-in data set, which needs no files.
    pub fn is_built_in(&self) -> bool {
        find(&self.path).is_some()
    }

    /// Whether the images of a part are fixed by a built-in data set, independently of the seed and the fractions.
    pub fn is_fixed(&self, part: Part) -> bool {
        find(&self.path).is_some_and(|set| set.fixed.contains(&part))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::resolve_path;

    #[test]
    fn an_empty_table_is_the_default_and_every_key_survives_toml() {
        let empty: Config = toml::from_str("").unwrap();
        assert_eq!(empty, Config::default());
        assert!(empty.is_digits() && empty.is_built_in());
        let text = toml::to_string(&empty).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), empty);
    }

    #[test]
    fn built_in_data_are_known_by_their_word_alone() {
        let of = |path: &str| Config { path: path.into(), ..Config::default() };
        let fashion = of("fashion-small");
        assert!(fashion.is_built_in() && !fashion.is_digits());
        assert_eq!(Part::ALL.map(|part| of("digits").is_fixed(part)), [true; 3]);
        assert_eq!(Part::ALL.map(|part| fashion.is_fixed(part)), [false, false, true]);
        let folder = of("./fashion-small");
        assert!(!folder.is_built_in() && !folder.is_fixed(Part::Test));
        assert_eq!(
            resolve_path(Path::new("fashion-small")),
            Path::new("fashion-small"),
            "no folder is called so here"
        );
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = toml::from_str::<Config>("chanels = 3").unwrap_err().to_string();
        assert!(error.contains("chanels") && error.contains("channels"), "{error}");
        let error = toml::from_str::<Config>("[augment]\nmod = 'none'").unwrap_err().to_string();
        assert!(error.contains("mod"), "{error}");
    }

    #[test]
    fn impossible_values_are_named_with_what_is_allowed() {
        let cases: [(&str, &str); 9] = [
            ("channels = 2", "channels = 2"),
            ("image_size = 0", "image_size = 0"),
            ("image_size = 5000", "between 1 and 4096"),
            ("valid_fraction = 0.0", "valid_fraction = 0"),
            ("test_fraction = 1.5", "test_fraction = 1.5"),
            ("valid_fraction = 0.5\ntest_fraction = 0.5", "training data is left"),
            ("augment.n_aug = 0", "augment.n_aug = 0"),
            ("white_level = 0", "white_level = 0"),
            ("valid_fraction = nan", "valid_fraction = NaN"),
        ];
        for (text, expected) in cases {
            let error = toml::from_str::<Config>(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
