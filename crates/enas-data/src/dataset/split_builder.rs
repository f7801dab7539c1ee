//! Splits from the images that were read, with augmented copies and normalisation statistics.

use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use rayon::prelude::*;

use super::contents::content_of;
use super::reading::LoadedImages;
use super::split::{Split, SplitData};
use super::store::{CopyIndex, FileImages, FileStore, ImageStore, Storage, augment_copy};
use crate::config::{NormalizationMode, Sampling};
use crate::error::Error;
use crate::image::normalize::{Normalization, Sums};
use crate::image::prepare::InputSpec;
use crate::loader::augment::{self, Shape};
use crate::source::files::Source;
use crate::source::item::{Item, Part};

/// Number of images whose copies are made together.
const COPY_CHUNK: usize = 512;

/// How images become batches.
#[derive(Clone, Copy)]
pub(super) struct SplitOptions<'a> {
    pub(super) input: &'a InputSpec,
    pub(super) sampling: Sampling,
    pub(super) augment: &'a augment::Config,
    pub(super) seed: Seed,
}

/// Makes splits from the images that were read.
pub(super) struct SplitBuilder<'a> {
    options: SplitOptions<'a>,
    pub(super) images: LoadedImages,
    /// The pixels of all usable images, if they are stored decoded.
    pixels: SyncArc<Vec<u8>>,
    file_store: SyncArc<FileStore>,
    storage: Storage,
}

/// The images of one part before normalisation.
pub(super) struct UnnormalizedSplit {
    store: ImageStore,
    /// Index of each file's image among the usable ones.
    slots: Vec<u32>,
    labels: Vec<u32>,
    paths: Vec<String>,
    contents: Vec<u64>,
    copies: usize,
}

impl<'a> SplitBuilder<'a> {
    pub(super) fn new(
        source: Source,
        mut images: LoadedImages,
        options: SplitOptions<'a>,
        storage: Storage,
    ) -> Self {
        let pixels = SyncArc::new(std::mem::take(&mut images.pixels));
        let file_store = images.take_file_store(source);
        Self { options, images, pixels, file_store, storage }
    }

    fn shape(&self) -> Shape {
        let InputSpec { channels, height, width, .. } = *self.options.input;
        Shape { channels, height, width }
    }

    /// The images of a part; augmented copies precede each original.
    pub(super) fn collect(&self, part: Part) -> UnnormalizedSplit {
        let copies = if part == Part::Train { self.options.augment.copies() } else { 1 };
        let members: Vec<&Item> = self.images.items.iter().filter(|i| i.part == Some(part)).collect();
        let slots: Vec<u32> = members.iter().map(|item| self.images.slots[item.file]).collect();
        let store = match self.storage {
            Storage::Decoded if copies == 1 => {
                ImageStore::Decoded { pixels: self.pixels.clone(), slots: slots.clone() }
            }
            Storage::Decoded => self.augmented_copies(&slots, copies),
            Storage::Encoded | Storage::OnDisk => ImageStore::Files(FileImages {
                file_store: self.file_store.clone(),
                files: members.iter().map(|item| item.file as u32).collect(),
                copies,
                input: *self.options.input,
                augment: self.options.augment.clone(),
                seed: self.options.seed,
            }),
        };
        let mut labels = Vec::new();
        let mut paths = Vec::new();
        let mut contents = Vec::new();
        for item in members {
            labels.extend(std::iter::repeat_n(item.class as u32, copies));
            paths.push(self.file_store.source.files[item.file].clone());
            contents.push(content_of(&self.file_store.hashes[item.file]));
        }
        UnnormalizedSplit { store, slots, labels, paths, contents, copies }
    }

    /// Every image, preceded by its `copies - 1` augmented copies.
    fn augmented_copies(&self, slots: &[u32], copies: usize) -> ImageStore {
        let shape = self.shape();
        let mut pixels = Vec::with_capacity(slots.len() * copies * shape.len());
        let group = |(image, slot): (usize, &u32)| {
            let original = &self.pixels[*slot as usize * shape.len()..][..shape.len()];
            let mut group = Vec::with_capacity(copies * original.len());
            for copy in 1..copies {
                let mut augmented = original.to_vec();
                let index = CopyIndex { image, copy };
                augment_copy(self.options.augment, shape, &mut augmented, index, self.options.seed);
                group.extend(augmented);
            }
            group.extend(original);
            group
        };
        // In chunks, in parallel: the copies of a chunk are the only ones that exist twice.
        let numbered: Vec<(usize, &u32)> = slots.iter().enumerate().collect();
        for chunk in numbered.chunks(COPY_CHUNK) {
            let copies: Vec<Vec<u8>> = chunk.par_iter().map(|one| group(*one)).collect();
            pixels.extend(copies.into_iter().flatten());
        }
        let slots = (0..(slots.len() * copies) as u32).collect();
        ImageStore::Decoded { pixels: SyncArc::new(pixels), slots }
    }

    /// Normalisation statistics of a part.
    ///
    /// # Errors
    /// [`Error::Lost`] if a file that is read again has changed.
    pub(super) fn normalization(
        &self,
        split: &UnnormalizedSplit,
        mode: NormalizationMode,
    ) -> Result<Normalization, Error> {
        let shape = self.shape();
        let sums: Vec<Sums> = if split.copies == 1 {
            split.slots.iter().map(|slot| self.images.sums[*slot as usize].clone()).collect()
        } else {
            let one = |i: usize| -> Result<Sums, Error> {
                Ok(Sums::of(&split.store.image(i, shape)?, shape.channels))
            };
            (0..split.labels.len()).into_par_iter().map(one).collect::<Result<_, Error>>()?
        };
        Ok(match mode {
            NormalizationMode::PerChannel => Normalization::per_channel(&sums, shape.plane()),
            NormalizationMode::Reference => Normalization::reference(&sums, shape.plane()),
        })
    }

    pub(super) fn split(&self, split: UnnormalizedSplit, part: Part, normalization: Normalization) -> Split {
        // Only training images are augmented and sampled.
        let is_train = part == Part::Train;
        let sampling = if is_train { self.options.sampling } else { Sampling::default() };
        let augment = if is_train { self.options.augment.clone() } else { augment::Config::default() };
        let UnnormalizedSplit { store, labels, paths, contents, copies, .. } = split;
        let shape = self.shape();
        let seed = self.options.seed;
        let data = SplitData {
            part,
            shape,
            store,
            labels,
            paths,
            contents,
            copies,
            normalization,
            sampling,
            augment,
            seed,
        };
        Split { data: SyncArc::new(data) }
    }
}
