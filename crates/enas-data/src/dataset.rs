//! A loaded data set. The module `load` makes it, `holding` stores its images, and `batches` makes batches.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::augment::{self, Shape};
use crate::config::{Config, Sampling};
use crate::doctor::Finding;
use crate::error::Error;
use crate::holding::Shelf;
use crate::layout::Part;
use crate::normalize::Normalization;
use crate::split::SplitFile;
use crate::white::WhiteLevels;

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
    /// [`crate::doctor::check`] finds more.
    pub concerns: Vec<Finding>,
    /// Identity of the files, for the manifest of a run.
    pub fingerprint: Fingerprint,
    /// The files in the fingerprint, in byte order of their names, so that differences can be named.
    pub files: SyncArc<[PictureFile]>,
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

/// Identity of a data set's image files, independent of the folder or archive that holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Number of image files, including unusable ones.
    pub files: usize,
    /// SHA-256, in hexadecimal, over each file's name, a zero byte and the SHA-256 of its bytes, in byte order of the
    /// names. For built-in images the pixels count as bytes.
    pub sha256: String,
}

/// An image file at the time it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureFile {
    /// Name relative to the root of the data.
    pub name: String,
    /// The first 64 bits of the SHA-256 of its bytes, in hexadecimal; enough to detect changes.
    pub digest: String,
}

impl PictureFile {
    pub(crate) fn new(name: &str, sha256: &[u8; 32]) -> Self {
        let digest = sha256[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: name.to_owned(), digest }
    }
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
    pub fn varied_as(&self, config: &Config) -> Option<Self> {
        let train = self.train.varied_as(config)?;
        Some(Self { train, ..self.clone() })
    }

    /// The assignment of files to splits, for storing with a run.
    pub fn split_file(&self) -> SplitFile {
        let names = |split: &Split| split.inner.paths.clone();
        SplitFile {
            classes: self.classes.clone(),
            train: names(&self.train),
            valid: names(&self.valid),
            test: names(&self.test),
        }
    }
}

/// One split of a data set. Clones share the images.
#[derive(Clone, Debug)]
pub struct Split {
    pub(crate) inner: SyncArc<Inner>,
}

#[derive(Clone, Debug)]
pub(crate) struct Inner {
    pub(crate) part: Part,
    pub(crate) shape: Shape,
    pub(crate) shelf: Shelf,
    pub(crate) labels: Vec<u32>,
    /// One name per file; each belongs to `copies` consecutive images.
    pub(crate) paths: Vec<String>,
    /// Images per file: augmented copies, then the original.
    pub(crate) copies: usize,
    pub(crate) normalization: Normalization,
    pub(crate) sampling: Sampling,
    pub(crate) augment: augment::Config,
    pub(crate) seed: Seed,
}

impl Split {
    /// Number of images, including augmented copies.
    pub fn len(&self) -> usize {
        self.inner.labels.len()
    }

    /// Whether there are no images; never true for a loaded data set.
    pub fn is_empty(&self) -> bool {
        self.inner.labels.is_empty()
    }

    /// The part of the data set.
    pub fn part(&self) -> Part {
        self.inner.part
    }

    /// Labels of all images, `[n]`.
    pub fn labels(&self) -> &[u32] {
        &self.inner.labels
    }

    /// Pixels of image `i`, `[c, h, w]`, 0 to 255.
    ///
    /// # Errors
    /// [`Error::Lost`] if the image is read from its file and the file has changed.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        self.inner.shelf.image(i, self.inner.shape)
    }

    /// Pixels of image `i`, `[c, h, w]`, if they are in memory (see [`Holding`](crate::Holding)).
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn decoded(&self, i: usize) -> Option<&[u8]> {
        self.inner.shelf.decoded(i, self.inner.shape)
    }

    /// Values per image, `c·h·w`.
    pub fn picture_len(&self) -> usize {
        self.inner.shape.len()
    }

    /// Name, relative to the root of the data, of the file of image `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn path(&self, i: usize) -> &str {
        &self.inner.paths[i / self.inner.copies]
    }

    /// Images per file: 1, or `augment.n_aug` if copies were made in advance. The last of each group is the original.
    pub fn copies(&self) -> usize {
        self.inner.copies
    }

    /// Whether epochs differ from [`Self::normalized`], because images are augmented anew every epoch or mixed.
    pub fn is_varied(&self) -> bool {
        self.inner.augment.varies() || self.inner.augment.mixes()
    }

    /// The normalisation of this split.
    pub fn normalization(&self) -> &Normalization {
        &self.inner.normalization
    }

    /// The same images with another normalisation, such as that of a model file.
    #[must_use]
    pub fn with_normalization(&self, normalization: Normalization) -> Self {
        let inner = Inner { normalization, ..Inner::clone(&self.inner) };
        Self { inner: SyncArc::new(inner) }
    }

    /// The same images with other augmentation and sampling; `None` if copies were made in advance.
    fn varied_as(&self, config: &Config) -> Option<Self> {
        let Config { augment, sampling, .. } = config;
        let may_change = self.inner.copies == 1 && augment.copies() == 1;
        may_change.then(|| {
            let inner = Inner { augment: augment.clone(), sampling: *sampling, ..Inner::clone(&self.inner) };
            Self { inner: SyncArc::new(inner) }
        })
    }

    /// Image `i` without augmentation, normalised, `[c, h, w]`.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn normalized(&self, i: usize) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.inner.shape.len()];
        self.plain_into(i, &mut out)?;
        Ok(out)
    }

    /// Image `i` as training sees it in `epoch`: augmented by the settings and normalised, `[c, h, w]`.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn augmented(&self, i: usize, epoch: u64) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.inner.shape.len()];
        self.augmented_into(i, epoch, 0, &mut out)?;
        Ok(out)
    }

    pub(crate) fn plain_into(&self, i: usize, out: &mut [f32]) -> Result<(), Error> {
        self.inner.normalization.apply(&self.image(i)?, out);
        Ok(())
    }

    /// Writes [`Self::augmented`] into `out`; `again` is the number of earlier occurrences in this epoch.
    pub(crate) fn augmented_into(
        &self,
        i: usize,
        epoch: u64,
        again: u64,
        out: &mut [f32],
    ) -> Result<(), Error> {
        if !self.inner.augment.varies() {
            return self.plain_into(i, out);
        }
        let Inner { augment, shape, normalization, seed, .. } = &*self.inner;
        let position = [epoch, i as u64, again];
        // The first occurrence has the same stream as an image that occurs once.
        let mut stream = seed.stream("augment", if again == 0 { &position[..2] } else { &position });
        let mut pixels = self.image(i)?.into_owned();
        augment.vary_pixels(*shape, &mut pixels, &mut stream);
        normalization.apply(&pixels, out);
        augment.vary_values(*shape, out, &mut stream);
        Ok(())
    }
}
