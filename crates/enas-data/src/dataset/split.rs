//! One split of a data set: labelled images with their augmentation and normalisation.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;

use super::store::ImageStore;
use crate::config::{Config, Sampling};
use crate::error::Error;
use crate::image::normalize::Normalization;
use crate::loader::augment::{self, Shape};
use crate::source::item::Part;

/// One split of a data set. Clones share the images.
#[derive(Clone, Debug)]
pub struct Split {
    pub(crate) data: SyncArc<SplitData>,
}

#[derive(Clone, Debug)]
pub(crate) struct SplitData {
    pub(crate) part: Part,
    pub(crate) shape: Shape,
    pub(crate) store: ImageStore,
    pub(crate) labels: Vec<u32>,
    /// One name per file; each belongs to `copies` consecutive images.
    pub(crate) paths: Vec<String>,
    /// The content of each file: the first 64 bits of its SHA-256.
    pub(crate) contents: Vec<u64>,
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
        self.data.labels.len()
    }

    /// Whether there are no images; never true for a loaded data set.
    pub fn is_empty(&self) -> bool {
        self.data.labels.is_empty()
    }

    /// The part of the data set.
    pub fn part(&self) -> Part {
        self.data.part
    }

    /// Labels of all images, `[n]`.
    pub fn labels(&self) -> &[u32] {
        &self.data.labels
    }

    /// Pixels of image `i`, `[c, h, w]`, 0 to 255.
    ///
    /// # Errors
    /// [`Error::Lost`] if the image is read from its file and the file has changed.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        self.data.store.image(i, self.data.shape)
    }

    /// Pixels of image `i`, `[c, h, w]`, if they are in memory (see [`Storage`](crate::Storage)).
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn decoded(&self, i: usize) -> Option<&[u8]> {
        self.data.store.decoded(i, self.data.shape)
    }

    /// Values per image, `c·h·w`.
    pub fn image_len(&self) -> usize {
        self.data.shape.len()
    }

    /// Name, relative to the root of the data, of the file of image `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn path(&self, i: usize) -> &str {
        &self.data.paths[i / self.data.copies]
    }

    /// The content of the file of image `i`, equal for files of equal bytes: the first 64 bits of its SHA-256.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn content(&self, i: usize) -> u64 {
        self.data.contents[i / self.data.copies]
    }

    /// Images per file: 1, or `augment.n_aug` if copies were made in advance. The last of each group is the original.
    pub fn copies(&self) -> usize {
        self.data.copies
    }

    /// Whether epochs differ from [`Self::normalized`], because images are augmented anew every epoch or mixed.
    pub fn is_augmented(&self) -> bool {
        self.data.augment.augments_each_epoch() || self.data.augment.mixes()
    }

    /// The normalisation of this split.
    pub fn normalization(&self) -> &Normalization {
        &self.data.normalization
    }

    /// The same images with another normalisation, such as that of a model file.
    #[must_use]
    pub fn with_normalization(&self, normalization: Normalization) -> Self {
        let data = SplitData { normalization, ..SplitData::clone(&self.data) };
        Self { data: SyncArc::new(data) }
    }

    /// The same images with other augmentation and sampling; `None` if copies were made in advance.
    pub(super) fn with_augmentation(&self, config: &Config) -> Option<Self> {
        let Config { augment, sampling, .. } = config;
        let may_change = self.data.copies == 1 && augment.copies() == 1;
        may_change.then(|| {
            let data =
                SplitData { augment: augment.clone(), sampling: *sampling, ..SplitData::clone(&self.data) };
            Self { data: SyncArc::new(data) }
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
        let mut out = vec![0.0; self.data.shape.len()];
        self.normalized_into(i, &mut out)?;
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
        let mut out = vec![0.0; self.data.shape.len()];
        self.augmented_into(i, epoch, 0, &mut out)?;
        Ok(out)
    }

    pub(crate) fn normalized_into(&self, i: usize, out: &mut [f32]) -> Result<(), Error> {
        self.data.normalization.apply(&self.image(i)?, out);
        Ok(())
    }

    /// Writes [`Self::augmented`] into `out`; `repeat` is the number of earlier occurrences in this epoch.
    pub(crate) fn augmented_into(
        &self,
        i: usize,
        epoch: u64,
        repeat: u64,
        out: &mut [f32],
    ) -> Result<(), Error> {
        if !self.data.augment.augments_each_epoch() {
            return self.normalized_into(i, out);
        }
        let SplitData { augment, shape, normalization, seed, .. } = &*self.data;
        let position = [epoch, i as u64, repeat];
        // The first occurrence has the same stream as an image that occurs once.
        let mut stream = seed.stream("augment", if repeat == 0 { &position[..2] } else { &position });
        let mut pixels = self.image(i)?.into_owned();
        augment.augment_pixels(*shape, &mut pixels, &mut stream);
        normalization.apply(&pixels, out);
        augment.augment_values(*shape, out, &mut stream);
        Ok(())
    }
}
