//! The pictures in a zip archive one by one, whatever its folders mean: for labelling them with a model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, PictureError};
use crate::prepare::{InputSpec, conform, is_picture_name};
use crate::source::Source;

/// A zip archive of pictures.
pub struct PictureZip {
    source: Source,
}

impl PictureZip {
    /// Whether the file is a zip archive, by its name or its beginning. A file that is called like a picture is none.
    pub fn is_zip(path: &Path) -> bool {
        let name = path.to_string_lossy();
        let begins_so = || {
            let mut magic = [0; 4];
            let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
            read.is_ok() && &magic == b"PK\x03\x04"
        };
        name.to_lowercase().ends_with(".zip") || !is_picture_name(&name) && begins_so()
    }

    /// Opens the archive.
    ///
    /// # Errors
    /// As [`crate::open_zip`], except that names may begin with a slash.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { source: Source::open_packed(path)? })
    }

    /// The names of all pictures in it, in byte order.
    pub fn names(&self) -> &[String] {
        &self.source.files
    }

    /// [`crate::prepare`] for picture `index` of [`names`](Self::names).
    ///
    /// # Errors
    /// [`PictureError`] when it cannot be read or is not a readable picture.
    ///
    /// # Panics
    /// If there is no picture `index`.
    pub fn prepare(&self, index: usize, spec: &InputSpec) -> Result<Vec<u8>, PictureError> {
        let (planes, _) = self.source.raw(index)?.planes(spec.channels, spec.white)?;
        Ok(conform(&planes, spec))
    }
}
