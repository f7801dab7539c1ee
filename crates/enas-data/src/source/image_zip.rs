//! The images in a zip archive one by one, regardless of its folders, for classification with a model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::files::Source;
use super::names::is_image_name;
use super::zip;
use crate::error::{Error, ImageError};
use crate::image::prepare::{InputSpec, resize_planes};

/// A zip archive of images.
pub struct ImageZip {
    source: Source,
}

impl ImageZip {
    /// Whether the file is a zip archive, by its name or its first bytes. A file with the name of an image never is.
    pub fn is_zip(path: &Path) -> bool {
        let name = path.to_string_lossy();
        let begins_so = || {
            let mut magic = [0; 4];
            let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
            read.is_ok() && &magic == b"PK\x03\x04"
        };
        name.to_lowercase().ends_with(".zip") || !is_image_name(&name) && begins_so()
    }

    /// Opens the archive.
    ///
    /// # Errors
    /// As [`crate::open_zip`], except that names may begin with a slash.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { source: zip::open_flat(path)? })
    }

    /// The names of all images in the archive, in byte order.
    pub fn names(&self) -> &[String] {
        &self.source.files
    }

    /// [`crate::prepare`] for image `index` of [`names`](Self::names).
    ///
    /// # Errors
    /// [`ImageError`] if it cannot be read or is not a usable image.
    ///
    /// # Panics
    /// If `index` is out of range.
    pub fn prepare(&self, index: usize, spec: &InputSpec) -> Result<Vec<u8>, ImageError> {
        let (planes, _) = self.source.read(index)?.planes(spec.channels, spec.white)?;
        Ok(resize_planes(&planes, spec))
    }
}
