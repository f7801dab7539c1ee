//! Reading of every file of a source, once: usable images, hashes, sums, and pixels if they are stored.

use std::sync::Arc as SyncArc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Skipped;
use super::checks::{self, Readability};
use super::contents::content_of;
use super::fingerprint::{Fingerprint, ImageFile, hexadecimal};
use super::split_file::{SplitFile, restore};
use super::store::{FileStore, Storage};
use crate::error::{Error, ImageError};
use crate::finding::Finding;
use crate::image::normalize::Sums;
use crate::image::prepare::{InputSpec, resize_planes};
use crate::image::prepared::PreparedImages;
use crate::image::white_level::{MaxSamples, WHITE_16, WhiteLevels, is_scaled_by};
use crate::source::files::{RawImage, Source};
use crate::source::item::Item;
use crate::visible::visible;

/// Number of files that are read together, in parallel. Data that are not stored are freed before the next ones.
pub(crate) const READ_CHUNK: usize = 256;

/// Everything that was read, in the order of the file names.
pub(crate) struct LoadedImages {
    /// Usable images.
    pub(crate) items: Vec<Item>,
    /// Index of each file's image in [`Self::pixels`] and [`Self::sums`], by the index of the file.
    pub(crate) slots: Vec<u32>,
    /// Pixels `[n, c, h, w]`, if they are stored decoded.
    pub(crate) pixels: Vec<u8>,
    /// Sums of each usable image.
    pub(crate) sums: Vec<Sums>,
    /// The bytes of every file by index, if they are stored.
    bytes: Option<Vec<Box<[u8]>>>,
    /// SHA-256 of every file by index.
    pub(crate) hashes: Vec<[u8; 32]>,
    /// Unusable images, with class and part as far as known.
    unusable: Vec<Item>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) fingerprint: Fingerprint,
    /// The files in the fingerprint.
    pub(crate) files: Vec<ImageFile>,
    /// The network input, including the white levels found.
    pub(crate) input: InputSpec,
    /// Usable images of more than 8 bits per sample: index of the file, its largest samples, and the levels it was
    /// scaled by.
    deep: Vec<(usize, MaxSamples)>,
    /// The largest samples of those images.
    max_samples: MaxSamples,
}

/// How files are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOptions<'a> {
    /// Whether an unreadable file is an error.
    pub(super) strict: bool,
    pub(super) storage: Storage,
    /// Images that need not be decoded again.
    pub(super) prepared: Option<&'a PreparedImages>,
}

/// One file, read and decoded.
struct LoadedFile {
    sha256: [u8; 32],
    pixels: Result<(Vec<u8>, MaxSamples), ImageError>,
    /// The bytes, if they are to be stored.
    bytes: Box<[u8]>,
}

impl LoadedImages {
    /// Reads and decodes all images in parallel. The result is in the order of the names.
    ///
    /// # Errors
    /// [`Error::Strict`] for an unreadable image, if `strict` is set.
    pub(super) fn read(
        source: &Source,
        items: Vec<Item>,
        input: &InputSpec,
        options: ReadOptions<'_>,
    ) -> Result<Self, Error> {
        let ReadOptions { storage, prepared, .. } = options;
        let files = source.files.len();
        let kept = if storage == Storage::Decoded { items.len() * input.len() } else { 0 };
        let mut images = Self {
            items: Vec::with_capacity(items.len()),
            slots: vec![0; files],
            pixels: Vec::with_capacity(kept),
            sums: Vec::with_capacity(items.len()),
            bytes: (storage == Storage::Encoded).then(|| vec![Box::default(); files]),
            hashes: vec![[0; 32]; files],
            unusable: Vec::new(),
            skipped: Vec::new(),
            fingerprint: Fingerprint { files: items.len(), sha256: String::new() },
            files: Vec::with_capacity(items.len()),
            input: *input,
            deep: Vec::new(),
            max_samples: MaxSamples::default(),
        };
        let mut hash = Sha256::new();
        for chunk in items.chunks(READ_CHUNK) {
            let read = chunk.par_iter().map(|item| read(source, item.file, input, storage, prepared));
            let read: Vec<LoadedFile> = read.collect();
            for (item, read) in chunk.iter().zip(read) {
                hash.update(source.files[item.file].as_bytes());
                hash.update([0]);
                hash.update(read.sha256);
                images.files.push(ImageFile::new(&source.files[item.file], &read.sha256));
                images.add(source, item, read, options)?;
            }
        }
        images.fingerprint.sha256 = hexadecimal(&hash.finalize());
        warn_of_skipped(source, &images.skipped);
        Ok(images)
    }

    fn add(
        &mut self,
        source: &Source,
        item: &Item,
        LoadedFile { sha256, pixels, bytes }: LoadedFile,
        options: ReadOptions<'_>,
    ) -> Result<(), Error> {
        let name = &source.files[item.file];
        self.hashes[item.file] = sha256;
        match pixels {
            Ok((pixels, max_samples)) => {
                if !max_samples.is_none() {
                    self.deep.push((item.file, max_samples));
                    self.max_samples = self.max_samples.with(max_samples);
                }
                self.slots[item.file] = self.sums.len() as u32;
                self.sums.push(Sums::of(&pixels, self.input.channels));
                if options.storage == Storage::Decoded {
                    self.pixels.extend_from_slice(&pixels);
                }
                if let Some(all) = &mut self.bytes {
                    all[item.file] = bytes;
                }
                self.items.push(item.clone());
            }
            Err(reason) if options.strict => {
                let path = source.path.join(name).display().to_string();
                return Err(Error::Strict { path, reason: reason.to_string() });
            }
            Err(reason) => {
                self.skipped.push(Skipped { path: name.clone(), reason: reason.to_string() });
                self.unusable.push(item.clone());
            }
        }
        Ok(())
    }

    /// Finds the white levels that neither the settings nor a model give, and reads the affected images again.
    ///
    /// # Errors
    /// [`Error::Lost`] if an image has changed.
    pub(crate) fn estimate_white_levels(&mut self, source: &Source) -> Result<(), Error> {
        let assumed = self.input.white;
        self.input.white = assumed.resolved(self.max_samples);
        if let Some(said) = self.describe_white_levels(assumed) {
            tracing::warn!("{}: {said}", visible(&source.path));
        }
        let input = self.input;
        let stale = self.deep.iter().filter(|(_, samples)| !is_scaled_by(input.white, samples.used));
        let stale: Vec<usize> = stale.map(|(file, _)| *file).collect();
        for chunk in stale.chunks(READ_CHUNK) {
            let read: Vec<LoadedFile> =
                chunk.par_iter().map(|file| read(source, *file, &input, Storage::OnDisk, None)).collect();
            for (file, read) in chunk.iter().zip(read) {
                let reason = match read.pixels {
                    Ok((pixels, _)) if read.sha256 == self.hashes[*file] => {
                        self.replace(*file, &pixels);
                        continue;
                    }
                    Ok(_) => "it changed while it was read".to_owned(),
                    Err(reason) => reason.to_string(),
                };
                return Err(Error::Lost { path: source.path.join(&source.files[*file]), reason });
            }
        }
        Ok(())
    }

    /// The message about white levels that were found, if they have an effect.
    fn describe_white_levels(&self, assumed: WhiteLevels) -> Option<String> {
        let WhiteLevels { integer, wide, float } = self.input.white;
        let integer = integer.filter(|level| assumed.integer.is_none() && *level != WHITE_16);
        let float = float.filter(|_| assumed.float.is_none());
        let wide = wide.filter(|_| assumed.wide.is_none());
        let found = [
            ("white_level", "", integer),
            ("wide_white_level", " for more than 16 bits", wide),
            ("float_white_level", "", float),
        ];
        let found: Vec<String> = found
            .into_iter()
            .filter_map(|(key, of, level)| level.map(|level| format!("{level}{of} (data.{key} sets it)")))
            .collect();
        (!found.is_empty()).then(|| {
            let images_have = match self.deep.len() {
                1 => "1 image has".to_owned(),
                n => format!("{n} images have"),
            };
            let levels = found.join(" and ");
            format!("{images_have} more than 8 bits per sample; from the largest samples, white is {levels}")
        })
    }

    /// The finding about images that the white levels make very dark.
    pub(super) fn few_levels(&self, source: &Source) -> Option<Finding> {
        let named = self.deep.iter().map(|(file, samples)| (source.files[*file].as_str(), *samples));
        checks::few_levels(named, self.input.white)
    }

    /// Overwrites the pixels of a file's image.
    fn replace(&mut self, file: usize, pixels: &[u8]) {
        let slot = self.slots[file] as usize;
        self.sums[slot] = Sums::of(pixels, self.input.channels);
        if !self.pixels.is_empty() {
            self.pixels[slot * pixels.len()..][..pixels.len()].copy_from_slice(pixels);
        }
    }

    /// The contents of the usable images.
    pub(super) fn contents(&self) -> Vec<u64> {
        self.items.iter().map(|item| content_of(&self.hashes[item.file])).collect()
    }

    pub(crate) fn readability(&self) -> Readability<'_> {
        Readability { items: &self.items, unusable: &self.unusable, skipped: &self.skipped }
    }

    /// Number of unusable image files.
    pub(crate) fn n_unusable(&self) -> usize {
        self.unusable.len()
    }

    pub(crate) fn restore(
        &mut self,
        source: &Source,
        classes: &[String],
        stored: &SplitFile,
    ) -> Result<(), Error> {
        let left_out = restore(&mut self.items, &source.files, classes, stored, &source.path)?;
        if left_out > 0 {
            let images_are = match left_out {
                1 => "1 image in the data set is".to_owned(),
                n => format!("{n} images in the data set are"),
            };
            tracing::warn!("{}: {images_are} not in the stored split and left out", visible(&source.path));
        }
        Ok(())
    }

    /// Moves the files into a store, for reading their images again.
    pub(crate) fn take_file_store(&mut self, source: Source) -> SyncArc<FileStore> {
        let bytes = self.bytes.take();
        let hashes = std::mem::take(&mut self.hashes);
        SyncArc::new(FileStore { source, bytes, hashes })
    }
}

fn read(
    source: &Source,
    file: usize,
    input: &InputSpec,
    storage: Storage,
    prepared: Option<&PreparedImages>,
) -> LoadedFile {
    let raw = match source.read(file) {
        Ok(raw) => raw,
        Err(error) => {
            return LoadedFile {
                sha256: Sha256::digest([]).into(),
                pixels: Err(error),
                bytes: Box::default(),
            };
        }
    };
    let sha256 = raw.sha256();
    let bytes = match &raw {
        RawImage::Bytes(bytes) if storage == Storage::Encoded => bytes.as_slice().into(),
        // Built-in images are in memory anyway.
        RawImage::Bytes(_) | RawImage::Pixels(_) => Box::default(),
    };
    if let Some(pixels) = prepared.and_then(|prepared| prepared.get(&sha256, input)) {
        return LoadedFile { sha256, pixels: Ok((pixels, MaxSamples::default())), bytes };
    }
    let planes = raw.planes(input.channels, input.white);
    let pixels = planes.map(|(planes, max_samples)| (resize_planes(&planes, input), max_samples));
    LoadedFile { sha256, pixels, bytes }
}

/// Logs the skipped files, but only the first of many.
fn warn_of_skipped(source: &Source, skipped: &[Skipped]) {
    const SHOWN: usize = 10;
    for Skipped { path, reason } in skipped.iter().take(SHOWN) {
        tracing::warn!("skipped {}: {reason}", visible(&source.path.join(path)));
    }
    if skipped.len() > SHOWN {
        let all = skipped.len();
        let more = all - SHOWN;
        tracing::warn!("skipped {more} more: {all} files in {} could not be used", visible(&source.path));
    }
}
