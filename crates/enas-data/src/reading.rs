//! Reading of every file of a source, once: usable images, hashes, sums, and pixels if they are stored.

use std::sync::Arc as SyncArc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::checks::Sorted;
use crate::dataset::{Fingerprint, PictureFile, Skipped};
use crate::error::{Error, PictureError};
use crate::holding::{Holding, Library};
use crate::layout::Item;
use crate::normalize::Sums;
use crate::prepare::{InputSpec, conform};
use crate::source::{Raw, Source};
use crate::split::{SplitFile, restore};
use crate::white::{Peaks, WHITE_16, WhiteLevels, is_scaled_by};

/// Number of files that are read together, in parallel. Data that are not stored are freed before the next ones.
pub(crate) const AT_A_TIME: usize = 256;

/// Everything that was read, in the order of the file names.
pub(crate) struct Pictures {
    /// Usable images.
    pub(crate) items: Vec<Item>,
    /// Index of each file's image in [`Self::pixels`] and [`Self::sums`], by the index of the file.
    pub(crate) places: Vec<u32>,
    /// Pixels `[n, c, h, w]`, if they are stored decoded.
    pub(crate) pixels: Vec<u8>,
    /// Sums of each usable image.
    pub(crate) sums: Vec<Sums>,
    /// The bytes of every file by index, if they are stored.
    bytes: Option<Vec<Box<[u8]>>>,
    /// SHA-256 of every file by index.
    pub(crate) hashes: Vec<[u8; 32]>,
    /// Unusable images, with class and part as far as known.
    lost: Vec<Item>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) fingerprint: Fingerprint,
    /// The files in the fingerprint.
    pub(crate) files: Vec<PictureFile>,
    /// The network input, including the white levels found.
    pub(crate) input: InputSpec,
    /// Usable images of more than 8 bits per sample: index of the file, and the levels it was scaled by.
    deep: Vec<(usize, WhiteLevels)>,
    /// The largest samples of those images.
    peaks: Peaks,
}

/// One file, read and decoded.
struct Read {
    sha256: [u8; 32],
    pixels: Result<(Vec<u8>, Peaks), PictureError>,
    /// The bytes, if they are to be stored.
    bytes: Box<[u8]>,
}

impl Pictures {
    /// Reads and decodes all images in parallel. The result is in the order of the names.
    ///
    /// # Errors
    /// [`Error::Strict`] for an unreadable image, if `strict` is set.
    pub(crate) fn read(
        source: &Source,
        items: Vec<Item>,
        input: &InputSpec,
        strict: bool,
        holding: Holding,
    ) -> Result<Self, Error> {
        let files = source.files.len();
        let kept = if holding == Holding::Decoded { items.len() * input.len() } else { 0 };
        let mut pictures = Self {
            items: Vec::with_capacity(items.len()),
            places: vec![0; files],
            pixels: Vec::with_capacity(kept),
            sums: Vec::with_capacity(items.len()),
            bytes: (holding == Holding::Compressed).then(|| vec![Box::default(); files]),
            hashes: vec![[0; 32]; files],
            lost: Vec::new(),
            skipped: Vec::new(),
            fingerprint: Fingerprint { files: items.len(), sha256: String::new() },
            files: Vec::with_capacity(items.len()),
            input: *input,
            deep: Vec::new(),
            peaks: Peaks::default(),
        };
        let mut hash = Sha256::new();
        for chunk in items.chunks(AT_A_TIME) {
            let read = chunk.par_iter().map(|item| read(source, item.file, input, holding));
            let read: Vec<Read> = read.collect();
            for (item, read) in chunk.iter().zip(read) {
                hash.update(source.files[item.file].as_bytes());
                hash.update([0]);
                hash.update(read.sha256);
                pictures.files.push(PictureFile::new(&source.files[item.file], &read.sha256));
                pictures.take_in(source, item, read, (input, strict, holding))?;
            }
        }
        pictures.fingerprint.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        warn_of(source, &pictures.skipped);
        Ok(pictures)
    }

    fn take_in(
        &mut self,
        source: &Source,
        item: &Item,
        Read { sha256, pixels, bytes }: Read,
        (input, strict, holding): (&InputSpec, bool, Holding),
    ) -> Result<(), Error> {
        let name = &source.files[item.file];
        self.hashes[item.file] = sha256;
        match pixels {
            Ok((pixels, peaks)) => {
                if !peaks.is_none() {
                    self.deep.push((item.file, peaks.used));
                    self.peaks = self.peaks.with(peaks);
                }
                self.places[item.file] = self.sums.len() as u32;
                self.sums.push(Sums::of(&pixels, input.channels));
                if holding == Holding::Decoded {
                    self.pixels.extend_from_slice(&pixels);
                }
                if let Some(all) = &mut self.bytes {
                    all[item.file] = bytes;
                }
                self.items.push(item.clone());
            }
            Err(reason) if strict => {
                let path = source.path.join(name).display().to_string();
                return Err(Error::Strict { path, reason: reason.to_string() });
            }
            Err(reason) => {
                self.skipped.push(Skipped { path: name.clone(), reason: reason.to_string() });
                self.lost.push(item.clone());
            }
        }
        Ok(())
    }

    /// Finds the white levels that neither the settings nor a model give, and reads the affected images again.
    ///
    /// # Errors
    /// [`Error::Lost`] if an image has changed.
    pub(crate) fn find_white(&mut self, source: &Source) -> Result<(), Error> {
        let assumed = self.input.white;
        self.input.white = assumed.resolved(self.peaks);
        if let Some(said) = self.say_white(assumed) {
            tracing::warn!("{}: {said}", source.path.display());
        }
        let input = self.input;
        let stale = self.deep.iter().filter(|(_, used)| !is_scaled_by(input.white, *used));
        let stale: Vec<usize> = stale.map(|(file, _)| *file).collect();
        for chunk in stale.chunks(AT_A_TIME) {
            let read: Vec<Read> =
                chunk.par_iter().map(|file| read(source, *file, &input, Holding::Streamed)).collect();
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
    fn say_white(&self, assumed: WhiteLevels) -> Option<String> {
        let WhiteLevels { integer, float } = self.input.white;
        let integer = integer.filter(|level| assumed.integer.is_none() && *level != WHITE_16);
        let float = float.filter(|_| assumed.float.is_none());
        let found = [("white_level", integer), ("float_white_level", float)];
        let found: Vec<String> = found
            .into_iter()
            .filter_map(|(key, level)| level.map(|level| format!("{level} (data.{key} sets it)")))
            .collect();
        (!found.is_empty()).then(|| {
            format!(
                "{} images have more than 8 bits per sample; the largest samples let white be {}",
                self.deep.len(),
                found.join(" and ")
            )
        })
    }

    /// Replaces the pixels of a file's image.
    fn replace(&mut self, file: usize, pixels: &[u8]) {
        let place = self.places[file] as usize;
        self.sums[place] = Sums::of(pixels, self.input.channels);
        if !self.pixels.is_empty() {
            self.pixels[place * pixels.len()..][..pixels.len()].copy_from_slice(pixels);
        }
    }

    pub(crate) fn sorted(&self) -> Sorted<'_> {
        Sorted { items: &self.items, lost: &self.lost, skipped: &self.skipped }
    }

    /// Number of unusable image files.
    pub(crate) fn n_lost(&self) -> usize {
        self.lost.len()
    }

    pub(crate) fn restore(
        &mut self,
        source: &Source,
        classes: &[String],
        stored: &SplitFile,
    ) -> Result<(), Error> {
        let left_out = restore(&mut self.items, &source.files, classes, stored, &source.path)?;
        if left_out > 0 {
            tracing::warn!(
                "{left_out} pictures in {} are not in the stored split and are left out",
                source.path.display()
            );
        }
        Ok(())
    }

    /// Moves the files into a library, for reading their images again.
    pub(crate) fn library(&mut self, source: Source) -> SyncArc<Library> {
        let (bytes, hashes) = (self.bytes.take(), std::mem::take(&mut self.hashes));
        SyncArc::new(Library { source, bytes, hashes })
    }
}

fn read(source: &Source, file: usize, input: &InputSpec, holding: Holding) -> Read {
    let raw = match source.raw(file) {
        Ok(raw) => raw,
        Err(error) => {
            return Read { sha256: Sha256::digest([]).into(), pixels: Err(error), bytes: Box::default() };
        }
    };
    let sha256 = raw.sha256();
    let bytes = match &raw {
        Raw::Bytes(bytes) if holding == Holding::Compressed => bytes.as_slice().into(),
        // Built-in images are in memory anyway.
        Raw::Bytes(_) | Raw::Pixels(_) => Box::default(),
    };
    let planes = raw.planes(input.channels, input.white);
    let pixels = planes.map(|(planes, peaks)| (conform(&planes, input), peaks));
    Read { sha256, pixels, bytes }
}

/// Logs the skipped files, but only the first of many.
fn warn_of(source: &Source, skipped: &[Skipped]) {
    const SHOWN: usize = 10;
    for Skipped { path, reason } in skipped.iter().take(SHOWN) {
        tracing::warn!("skipped {}: {reason}", source.path.join(path).display());
    }
    if skipped.len() > SHOWN {
        let (all, more) = (skipped.len(), skipped.len() - SHOWN);
        tracing::warn!("skipped {more} more: {all} files in {} could not be used", source.path.display());
    }
}
