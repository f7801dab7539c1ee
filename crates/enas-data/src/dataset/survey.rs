//! Estimate of a data set's memory from the names and sizes of its files, before any is decoded.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::ImageReader;
use rayon::prelude::*;

use crate::config::Config;
use crate::dataset::reading::READ_CHUNK;
use crate::dataset::store::Storage;
use crate::error::Error;
use crate::image::prepare::resize_planes;
use crate::loader::augment::Shape;
use crate::loader::plan::{MIN_DECODING_WORKERS, max_batches_in_memory};
use crate::source::files::{RawImage, Source};
use crate::source::item::Item;
use crate::source::layout;
use crate::source::open;

/// Number of the largest files whose size in pixels is read.
const INSPECTED_FILES: usize = 8;
/// Number of files whose reading is timed.
const TIMED_FILES: usize = 8;
/// Bytes per pixel while decoding: the samples, four channels of them, and the planes.
const DECODING: u64 = 8;
/// Bytes stored per file in addition to its name: label, index, hash, sums, and overhead of strings and lists.
const PER_FILE: u64 = 380;
/// Number of copies of a file's name: in the listing, with its digest, as a path, in its split, and in the stored
/// split.
const NAMES: u64 = 5;

/// Sizes of a data set before its images are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Number of classes.
    pub classes: usize,
    /// Number of image files.
    pub images: usize,
    /// Bytes of one decoded image, `c·h·w`.
    pub image_bytes: u64,
    /// Total size of the files in bytes.
    pub files: u64,
    /// Bytes of names and other data that are stored per file for every `Storage`.
    names: u64,
    /// Bytes that one thread needs to read and decode the largest image.
    largest: u64,
    /// Number of augmented copies per image that are made in advance.
    copies: u64,
}

/// Surveys the files that `config` describes.
///
/// # Errors
/// As [`crate::load`], for problems that are visible without decoding.
pub fn survey(config: &Config) -> Result<Survey, Error> {
    config.check()?;
    let source = open(&config.path, &[])?;
    let layout = layout::read(&source)?;
    let input = config.input();
    let shape = Shape { channels: input.channels, height: input.height, width: input.width };
    let sizes: Vec<u64> = layout.items.iter().map(|item| source.size(item.file)).collect();
    let names = |file: usize| NAMES * source.files[file].len() as u64 + PER_FILE;
    Ok(Survey {
        classes: layout.classes.len(),
        images: layout.items.len(),
        image_bytes: shape.len() as u64,
        files: sizes.iter().sum(),
        names: layout.items.iter().map(|item| names(item.file)).sum(),
        largest: largest(&source, layout.items.iter().map(|item| item.file).zip(sizes).collect()),
        copies: config.augment.copies() as u64 - 1,
    })
}

/// The time that reading all images that `config` describes takes, on all cores. It is estimated from a few of them.
///
/// # Errors
/// As [`survey`].
pub fn estimate_reading(config: &Config) -> Result<Duration, Error> {
    config.check()?;
    let source = open(&config.path, &[])?;
    let items = layout::read(&source)?.items;
    let step = items.len().div_ceil(TIMED_FILES.max(rayon::current_num_threads())).max(1);
    let input = config.input();
    let began = Instant::now();
    let decode = |item: &Item| {
        let planes = source.read(item.file).ok()?.planes(input.channels, input.white).ok()?;
        Some(resize_planes(&planes.0, &input).len())
    };
    let sample: Vec<&Item> = items.iter().step_by(step).collect();
    let _: usize = sample.par_iter().filter_map(|item| decode(item)).sum();
    Ok(began.elapsed().mul_f64(items.len() as f64 / sample.len().max(1) as f64))
}

impl Survey {
    /// Bytes that the images and their metadata occupy permanently.
    pub fn stored_bytes(&self, storage: Storage) -> u64 {
        self.names
            + match storage {
                // Copies are stored in addition to the originals.
                Storage::Decoded if self.copies > 0 => {
                    self.images as u64 * self.image_bytes * (self.copies + 2)
                }
                Storage::Decoded => self.images as u64 * self.image_bytes,
                Storage::Encoded => self.files + 16 * self.images as u64,
                Storage::OnDisk => 0,
            }
    }

    /// Additional bytes while reading them with `threads` threads.
    pub fn reading_bytes(&self, storage: Storage, threads: usize) -> u64 {
        let bytes = if storage == Storage::Encoded { self.files / self.images.max(1) as u64 } else { 0 };
        READ_CHUNK.min(self.images) as u64 * (bytes + self.image_bytes) + self.decoding_bytes(threads)
    }

    /// Additional bytes for preparing batches of at most `batch` images in advance.
    pub fn batch_bytes(&self, storage: Storage, batch: usize) -> u64 {
        let is_decoded = storage == Storage::Decoded;
        let decoding_bytes = if is_decoded { 0 } else { self.decoding_bytes(MIN_DECODING_WORKERS) };
        (max_batches_in_memory(is_decoded) * batch) as u64 * self.image_value_bytes() + decoding_bytes
    }

    /// Bytes of an image as F32 values.
    pub fn image_value_bytes(&self) -> u64 {
        size_of::<f32>() as u64 * self.image_bytes
    }

    /// Bytes for decoding with `threads` threads.
    fn decoding_bytes(&self, threads: usize) -> u64 {
        threads as u64 * (self.largest + self.image_bytes)
    }
}

/// Bytes for reading and decoding the largest image. A large file may be a small image, so several files are read.
fn largest(source: &Source, mut files: Vec<(usize, u64)>) -> u64 {
    files.sort_unstable_by_key(|(file, size)| (std::cmp::Reverse(*size), *file));
    let need = |(file, size): &(usize, u64)| {
        let pixels = match source.read(*file) {
            Ok(RawImage::Bytes(bytes)) => dimensions(&bytes),
            Ok(RawImage::Pixels(_)) | Err(_) => 0,
        };
        size + DECODING * pixels
    };
    files.iter().take(INSPECTED_FILES).map(need).max().unwrap_or(0)
}

/// Number of pixels by the header of an image; 0 if it is not an image.
fn dimensions(bytes: &[u8]) -> u64 {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let size = reader.ok().and_then(|reader| reader.into_dimensions().ok());
    size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey_of_copies(copies: u64) -> Survey {
        Survey { classes: 2, images: 1000, image_bytes: 100, files: 20_000, names: 7, largest: 5, copies }
    }

    #[test]
    fn each_way_of_holding_images_takes_what_it_keeps() {
        let plain = survey_of_copies(0);
        assert_eq!(plain.stored_bytes(Storage::Decoded), 100_007);
        assert_eq!(plain.stored_bytes(Storage::Encoded), 36_007);
        assert_eq!(plain.stored_bytes(Storage::OnDisk), 7);
        assert_eq!(survey_of_copies(3).stored_bytes(Storage::Decoded), 500_007);
    }

    #[test]
    fn large_images_take_longer_to_read() {
        let time_of = |side: u32| {
            let dir = tempfile::tempdir().unwrap();
            for (class, n) in [("a", 12), ("b", 12)] {
                std::fs::create_dir(dir.path().join(class)).unwrap();
                for i in 0..n {
                    let pixel = |x: u32, y: u32| image::Luma([(x * 7 + y * 3 + i) as u8]);
                    let image = image::GrayImage::from_fn(side, side, pixel);
                    image.save(dir.path().join(class).join(format!("{i}.png"))).unwrap();
                }
            }
            estimate_reading(&Config { path: dir.path().into(), ..Config::default() }).unwrap()
        };
        let small = time_of(8);
        let large = time_of(1500);
        assert!(large > small && small > Duration::ZERO, "{small:?} {large:?}");
    }

    #[test]
    fn the_digits_are_what_they_are() {
        let digits = survey(&Config::default()).unwrap();
        assert_eq!((digits.classes, digits.images, digits.image_bytes), (10, 1797, 32 * 32));
        assert_eq!(digits.files, 1797 * 64);
    }
}
