//! What a user may say about pictures, as one serialisable value. Nothing here touches a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::augment;
use crate::built_in::find;
use crate::error::Error;
use crate::layout::Part;
use crate::prepare::InputSpec;
use crate::resize::{Filter, Resize};
use crate::white::WhiteLevels;

/// Where the pictures are and how they become network input.
///
/// Every key has a default, so that an empty table means the built-in digits.
///
/// ```
/// let config: enas_data::Config = toml::from_str("path = 'photos'\nchannels = 3\nresize = 'crop'").unwrap();
/// assert_eq!(config.image_size, 32);
/// config.check().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A folder or `.zip` of class folders, or the word for a built-in data set: `digits` or `fashion-small`. A folder that
    /// happens to be called so is written `./digits`, which is what [`meant`] makes of a user's word.
    pub path: PathBuf,
    /// 1 for grey input, 3 for colour. Pictures of the other kind are converted.
    pub channels: usize,
    /// Height and width of the network input in pixels.
    pub image_size: usize,
    /// How a picture of another aspect ratio becomes square.
    pub resize: Resize,
    /// How pixels are interpolated when the size changes.
    pub resize_filter: Filter,
    /// The sample that is white in pictures of whole numbers of more than 8 bits. By default the data say it: 4095 if no
    /// sample of them is above that, 65535 if all 16 bits are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub white_level: Option<u32>,
    /// The same for pictures of floating-point samples. By default the data say it: 1 if no sample is above that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float_white_level: Option<u32>,
    /// Whether one unreadable file stops the run (`true`) or is skipped with a warning (`false`).
    pub strict: bool,
    /// Where the mean and deviation that the pixels are normalised with come from.
    pub normalization: NormalizationMode,
    /// Share of every class that becomes the validation split where the data has none, in (0, 1).
    pub valid_fraction: f64,
    /// Share of every class that becomes the test split where the data has no splits at all, in (0, 1).
    pub test_fraction: f64,
    /// How often the pictures of each class come in an epoch of training.
    pub sampling: Sampling,
    /// How training pictures are varied.
    pub augment: augment::Config,
}

/// Which training pictures an epoch is made of. Other splits are always taken as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every picture once, in an order of its own.
    #[default]
    Shuffled,
    /// As many pictures in all, but every class equally often: some pictures of large classes are left out, others in
    /// each epoch, and pictures of small classes come several times, varied each time.
    Balanced,
}

/// Where normalisation statistics come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizationMode {
    /// Mean and population deviation of each channel over the training split, used for every split.
    #[default]
    PerChannel,
    /// As the TensorFlow reference does: every split by its own two numbers, the mean over pictures of the
    /// picture's mean and the mean over pictures of the picture's population deviation, all channels together.
    Reference,
}

/// The word that stands for the built-in digits in [`Config::path`].
pub const DIGITS: &str = "digits";
/// The word that stands for the built-in part of Fashion-MNIST in [`Config::path`].
pub const FASHION_SMALL: &str = "fashion-small";

/// Larger inputs are a typing error more often than a wish, and would fill memory before training starts.
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
    /// Whether the values make sense together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, the value and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let fraction = |f: f64| f > 0.0 && f < 1.0;
        if !matches!(self.channels, 1 | 3) {
            return Err(Error::config("channels", self.channels, "1 (grey) or 3 (colour)"));
        }
        if self.image_size == 0 || self.image_size > MAX_IMAGE_SIZE {
            return Err(Error::config("image_size", self.image_size, "between 1 and 4096 pixels"));
        }
        for (key, level) in [("white_level", self.white_level), ("float_white_level", self.float_white_level)]
        {
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

    /// What one picture is turned into.
    pub fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.channels,
            height: self.image_size,
            width: self.image_size,
            resize: self.resize,
            filter: self.resize_filter,
            white: WhiteLevels { integer: self.white_level, float: self.float_white_level },
        }
    }

    /// The same with the white levels that a data set was read with, as a model keeps them.
    #[must_use]
    pub fn with_white(self, white: WhiteLevels) -> Self {
        Self { white_level: white.integer, float_white_level: white.float, ..self }
    }

    /// Whether the built-in digits are meant.
    pub fn is_digits(&self) -> bool {
        self.path.as_os_str() == DIGITS
    }

    /// Whether a built-in data set is meant, which needs no file.
    pub fn is_built_in(&self) -> bool {
        find(&self.path).is_some()
    }

    /// Whether the images of a part are the same whatever the seed and the fractions, because a built-in data set says
    /// so.
    pub fn is_fixed(&self, part: Part) -> bool {
        find(&self.path).is_some_and(|set| set.fixed.contains(&part))
    }
}

/// What a path means that a user gave: a file or folder of that name wins over a built-in data set, and is written so
/// that nothing else can be meant from now on.
pub fn meant(path: &Path) -> PathBuf {
    if find(path).is_some() && path.exists() { Path::new(".").join(path) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            meant(Path::new("fashion-small")),
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
