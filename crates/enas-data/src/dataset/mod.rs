//! Data sets in memory: loading, splits, and everything that is derived from them.

pub(crate) mod checks;
pub(crate) mod class_balance;
pub(crate) mod concat;
pub(crate) mod contact_sheet;
pub(crate) mod contents;
pub(crate) mod duplicates;
pub(crate) mod fingerprint;
pub(crate) mod folds;
pub(crate) mod load;
pub(crate) mod reading;
pub(crate) mod split;
mod split_builder;
pub(crate) mod split_file;
pub(crate) mod store;
pub(crate) mod stratify;
pub(crate) mod subsets;
pub(crate) mod survey;

use std::sync::Arc as SyncArc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::finding::Finding;
use crate::image::normalize::Normalization;
use crate::image::white_level::WhiteLevels;
use crate::source::item::Part;
use fingerprint::{Fingerprint, ImageFile};
use split::Split;
use split_file::SplitFile;

/// Labelled images in three splits.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// A short name for run folders: the last part of the path without extension, or the name of a built-in data set.
    pub name: String,
    /// Class names in byte order; a label is an index into this list.
    pub classes: Vec<String>,
    /// Number of channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height of every image in pixels.
    pub height: usize,
    /// Width of every image in pixels.
    pub width: usize,
    /// Images that weights are fitted to, including augmented copies.
    pub train: Split,
    /// Images that choices are made by.
    pub valid: Split,
    /// Images for the final accuracy.
    pub test: Split,
    /// The parts that are drawn with the seed, because the folders do not give them.
    pub drawn: Vec<Part>,
    /// Files that could not be used, by name.
    pub skipped: Vec<Skipped>,
    /// Problems found during loading: the same file in several splits or under several labels, and class imbalance.
    /// [`crate::check::check_dataset`] finds more.
    pub warnings: Vec<Finding>,
    /// Identity of the files, for the manifest of a run.
    pub fingerprint: Fingerprint,
    /// The files in the fingerprint, in byte order of their names, so that differences can be named.
    pub files: SyncArc<[ImageFile]>,
    /// Normalisation statistics of the training split. A model file stores them for new images.
    pub normalization: Normalization,
    /// Sample values of white in images of more than 8 bits; a model file stores them.
    pub white: WhiteLevels,
}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Name relative to the root of the data.
    pub path: String,
    /// Why it could not be used.
    pub reason: String,
}

impl Dataset {
    /// The split of a part.
    pub fn split(&self, part: Part) -> &Split {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }

    /// The same images and splits with the augmentation, mixing and sampling of `config`. `None` if the images have
    /// to be loaded again, because copies are made in advance.
    ///
    /// Only `config.augment` and `config.sampling` are used.
    #[must_use]
    pub fn with_augmentation(&self, config: &Config) -> Option<Self> {
        let train = self.train.with_augmentation(config)?;
        Some(Self { train, ..self.clone() })
    }

    /// The assignment of files to splits, for storing with a run.
    pub fn split_file(&self) -> SplitFile {
        let names = |split: &Split| split.data.paths.clone();
        SplitFile {
            classes: self.classes.clone(),
            train: names(&self.train),
            valid: names(&self.valid),
            test: names(&self.test),
        }
    }
}
