//! Settings of the refit: further training on held-out images after the measurement.

use enas_data::Part;
use serde::{Deserialize, Serialize};

/// The refit: after the measurement, training continues on the images that the network was measured on as well.
///
/// The kept network then has learned from more images than the measured one. Every reported accuracy is that of a
/// network that had not seen the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefitConfig {
    /// The images that join the training images.
    #[serde(default)]
    pub images: RefitImages,
    /// Share of all epochs, or of the time limit, that is left for the refit, in (0, 1).
    #[serde(default = "half")]
    pub share: f64,
    /// Factor on the largest learning rate of the schedule during the refit, in (0, 1].
    #[serde(default = "half")]
    pub lr: f64,
}

/// The images that join the training images in the refit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefitImages {
    /// None: there is no refit.
    #[default]
    None,
    /// The validation images. The kept network is measured on the test images, which stay unseen.
    Validation,
    /// Validation and test images. The reported accuracies are those of the network before the refit.
    All,
}

fn half() -> f64 {
    0.5
}

impl Default for RefitConfig {
    fn default() -> Self {
        Self { images: RefitImages::None, share: half(), lr: half() }
    }
}

impl RefitConfig {
    /// Whether there is a refit.
    pub fn is_wanted(&self) -> bool {
        self.images != RefitImages::None
    }

    /// Splits `all` epochs into those before the refit and those of the refit. A single epoch is not split.
    pub fn divide(&self, all: u64) -> (u64, u64) {
        if !self.is_wanted() || all < 2 {
            return (all, 0);
        }
        let before = ((all as f64 * (1.0 - self.share)).round() as u64).clamp(1, all - 1);
        (before, all - before)
    }

    /// Epochs of the refit after `before` epochs; at least one.
    pub fn epochs_after(&self, before: u64) -> u64 {
        ((before as f64 * self.share / (1.0 - self.share)).round() as u64).max(1)
    }
}

impl RefitImages {
    /// The parts of a data set that join its training images.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Self::None => &[],
            Self::Validation => &[Part::Valid],
            Self::All => &[Part::Valid, Part::Test],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigBuilder, TrainConfig};

    #[test]
    fn epochs_are_divided_by_the_share() {
        let with = |share| RefitConfig { images: RefitImages::Validation, share, ..RefitConfig::default() };
        assert_eq!((with(0.5).divide(81), with(0.5).epochs_after(41)), ((41, 40), 41));
        assert_eq!((with(0.25).divide(100), with(0.25).epochs_after(75)), ((75, 25), 25));
        assert_eq!((with(0.9).divide(2), with(0.1).epochs_after(1)), ((1, 1), 1), "at least one each");
        assert_eq!(with(0.5).divide(1), (1, 0), "one epoch is one epoch");
        assert_eq!(RefitConfig::default().divide(7), (7, 0));
    }

    #[test]
    fn values_out_of_range_and_settings_that_do_not_fit_are_refused() {
        let problem = |assignments: &[&str]| {
            let layers =
                assignments.iter().fold(ConfigBuilder::preset("quick"), |layers, set| layers.set(*set));
            layers.load::<TrainConfig>().map(|_| ()).map_err(|error| error.to_string())
        };
        problem(&["refit.images=all", "keep=last", "refit.share=0.3"]).unwrap();
        problem(&["keep=best"]).unwrap();
        for (set, key) in [
            ("refit.share=0.0", "refit.share = 0"),
            ("refit.share=1.0", "refit.share = 1"),
            ("refit.lr=0.0", "refit.lr = 0"),
            ("refit.lr=1.1", "refit.lr = 1.1"),
            ("refit.images=validation", "keep = \"last\""),
        ] {
            let said = problem(&["keep=best", set]).unwrap_err();
            assert!(said.contains(key), "{set}: {said}");
        }
    }
}
