//! Readers of single files in the formats of published data sets.

use std::path::{Path, PathBuf};

pub use crate::cifar::CifarFormat;
pub use crate::idx::Idx;
pub use crate::images::{RawImages, TrainTest};

use crate::error::Error;
use crate::install::ImageCounts;
use crate::progress::Progress;
use crate::{cifar, idx, zips};

/// Reads an IDX file, gzipped or not, with `rank` dimensions.
///
/// # Errors
/// If it cannot be read, is damaged, or has another rank or element type.
pub fn read_idx(path: &Path, rank: u8) -> Result<Idx, Error> {
    Ok(idx::read_file(path, rank)?)
}

/// Pairs images `[n, h, w]` with labels `[n]`.
///
/// # Errors
/// If they do not match; the message calls the files `images_name` and `labels_name`.
pub fn label_idx(images: Idx, labels: Idx, images_name: &str, labels_name: &str) -> Result<RawImages, Error> {
    Ok(idx::pair(images, labels, images_name, labels_name)?)
}

/// Reads an archive of CIFAR-10.
///
/// # Errors
/// If it cannot be read, is damaged, or has the other form.
pub fn read_cifar10(path: &Path, form: CifarFormat) -> Result<TrainTest, Error> {
    Ok(cifar::read_archive(path, form)?)
}

/// Unpacks archives of class folders for training, validation and testing to `train`, `valid` and `test` below `to`.
/// The one for validation may be absent.
///
/// # Errors
/// If one cannot be read, or contains names that would leave the folder.
pub fn unpack_zips(
    archives: &[PathBuf; 3],
    to: &Path,
    progress: &dyn Progress,
) -> Result<ImageCounts, Error> {
    Ok(zips::unpack(archives, to, progress)?)
}
