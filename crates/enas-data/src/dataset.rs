//! A loaded data set. How it came about is in `load`, how its pictures are held in `holding`, how batches are made in
//! `batches`.

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

/// Pictures with labels in three parts, ready to be served.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// A short name for run folders: the last part of the path without extension, or the word for a built-in data set.
    pub name: String,
    /// Class names; a label is an index into this list. In byte order of the folder names.
    pub classes: Vec<String>,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows of every picture.
    pub height: usize,
    /// Columns of every picture.
    pub width: usize,
    /// What weights are fitted to, augmented copies included.
    pub train: Split,
    /// What choices are made by.
    pub valid: Split,
    /// What the final accuracy is measured with.
    pub test: Split,
    /// The parts that the folders do not give, so that they are drawn from the seed.
    pub drawn: Vec<Part>,
    /// Files that could not be used, in the order of their names.
    pub skipped: Vec<Skipped>,
    /// What is doubtful about the pictures and was found while loading them: the same file in more than one split or
    /// under different labels, and classes that others outnumber. [`crate::doctor::check`] finds much more.
    pub concerns: Vec<Finding>,
    /// What identifies the files, for the manifest of a run.
    pub fingerprint: Fingerprint,
    /// The files that the fingerprint is of, in byte order of their names, so that what differs can be named.
    pub files: SyncArc<[PictureFile]>,
    /// The moments of the training split: what a model file stores and new pictures are normalised with.
    pub normalization: Normalization,
    /// Which samples are white in pictures of more than 8 bits; a model keeps it.
    pub white: WhiteLevels,
}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Name below the root of the data.
    pub path: String,
    /// Why it could not be used.
    pub reason: String,
}

/// Identifies the picture files of a data set, whatever folder or archive they are read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Picture files, unusable ones included.
    pub files: usize,
    /// SHA-256, in hexadecimal, over each file's name, a zero byte and the SHA-256 of its bytes, in byte order
    /// of the names. Built-in images count their pixels as bytes.
    pub sha256: String,
}

/// A picture file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureFile {
    /// Name below the root of the data.
    pub name: String,
    /// The first 64 bits of the SHA-256 of its bytes, in hexadecimal: enough to notice a change.
    pub digest: String,
}

impl PictureFile {
    pub(crate) fn new(name: &str, sha256: &[u8; 32]) -> Self {
        let digest = sha256[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: name.to_owned(), digest }
    }
}

impl Dataset {
    /// The part of that name.
    pub fn split(&self, part: Part) -> &Split {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }

    /// The same images in the same splits, varied, mixed and drawn as `config` says; `None` if they have to be loaded anew
    /// for that, because either has copies that are made once.
    ///
    /// Nothing but `config.augment` and `config.sampling` is looked at.
    #[must_use]
    pub fn varied_as(&self, config: &Config) -> Option<Self> {
        let train = self.train.varied_as(config)?;
        Some(Self { train, ..self.clone() })
    }

    /// Which file went where, to be stored with a run.
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

/// One part of a data set. Cloning is cheap: the pictures are shared.
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
    /// One name per file; `copies` consecutive pictures belong to each.
    pub(crate) paths: Vec<String>,
    /// Pictures per file: augmented copies, then the original.
    pub(crate) copies: usize,
    pub(crate) normalization: Normalization,
    pub(crate) sampling: Sampling,
    pub(crate) augment: augment::Config,
    pub(crate) seed: Seed,
}

impl Split {
    /// Number of pictures, augmented copies included.
    pub fn len(&self) -> usize {
        self.inner.labels.len()
    }

    /// Whether there are no pictures; never the case for a loaded data set.
    pub fn is_empty(&self) -> bool {
        self.inner.labels.is_empty()
    }

    /// Which part of the data set this is.
    pub fn part(&self) -> Part {
        self.inner.part
    }

    /// The label of every picture.
    pub fn labels(&self) -> &[u32] {
        &self.inner.labels
    }

    /// The pixels of picture `i`: `[c, h, w]`, 0 to 255.
    ///
    /// # Errors
    /// [`Error::Lost`] if the picture is read from its file and that is no longer what it was.
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        self.inner.shelf.image(i, self.inner.shape)
    }

    /// The pixels of picture `i` if they are in memory, as those of a split [held](crate::Holding) decoded.
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn decoded(&self, i: usize) -> Option<&[u8]> {
        self.inner.shelf.decoded(i, self.inner.shape)
    }

    /// Numbers of a picture, `c·h·w`.
    pub fn picture_len(&self) -> usize {
        self.inner.shape.len()
    }

    /// The name, below the root of the data, of the file that picture `i` was made from.
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn path(&self, i: usize) -> &str {
        &self.inner.paths[i / self.inner.copies]
    }

    /// Pictures per file: 1, or `augment.n_aug` where copies were made once. The last of each group is the
    /// original.
    pub fn copies(&self) -> usize {
        self.inner.copies
    }

    /// Whether epochs show other pictures than [`Self::normalized`]: they are varied anew every epoch, or mixed.
    pub fn is_varied(&self) -> bool {
        self.inner.augment.varies() || self.inner.augment.mixes()
    }

    /// What the pixels of this part are normalised with.
    pub fn normalization(&self) -> &Normalization {
        &self.inner.normalization
    }

    /// The same pictures normalised otherwise: by the moments in a model file, say.
    #[must_use]
    pub fn with_normalization(&self, normalization: Normalization) -> Self {
        let inner = Inner { normalization, ..Inner::clone(&self.inner) };
        Self { inner: SyncArc::new(inner) }
    }

    /// The same images varied, mixed and drawn otherwise; `None` where copies are made once.
    fn varied_as(&self, config: &Config) -> Option<Self> {
        let Config { augment, sampling, .. } = config;
        let may_change = self.inner.copies == 1 && augment.copies() == 1;
        may_change.then(|| {
            let inner = Inner { augment: augment.clone(), sampling: *sampling, ..Inner::clone(&self.inner) };
            Self { inner: SyncArc::new(inner) }
        })
    }

    /// Picture `i` as it is, normalised: `[c, h, w]`.
    ///
    /// # Errors
    /// As for [`image`](Self::image).
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn normalized(&self, i: usize) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.inner.shape.len()];
        self.plain_into(i, &mut out)?;
        Ok(out)
    }

    /// Picture `i` as the trainer sees it in `epoch`: varied if that is asked for, and normalised, `[c, h, w]`.
    ///
    /// # Errors
    /// As for [`image`](Self::image).
    ///
    /// # Panics
    /// If there is no picture `i`.
    pub fn augmented(&self, i: usize, epoch: u64) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.inner.shape.len()];
        self.augmented_into(i, epoch, 0, &mut out)?;
        Ok(out)
    }

    pub(crate) fn plain_into(&self, i: usize, out: &mut [f32]) -> Result<(), Error> {
        self.inner.normalization.apply(&self.image(i)?, out);
        Ok(())
    }

    /// `again` counts the times that the picture came before in this epoch.
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
        // The stream of the first time is that of a picture that comes but once.
        let mut stream = seed.stream("augment", if again == 0 { &position[..2] } else { &position });
        let mut pixels = self.image(i)?.into_owned();
        augment.vary_pixels(*shape, &mut pixels, &mut stream);
        normalization.apply(&pixels, out);
        augment.vary_values(*shape, out, &mut stream);
        Ok(())
    }
}
