//! Where pictures come from: a folder, a zip archive or the built-in digits, seen alike.
//!
//! A source is a sorted list of picture names relative to the root, with `/` between folders, and a way to
//! open each. What the folders mean is decided in [`crate::layout`].

mod folder;
mod zip_file;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::decode::decode;
use crate::digits;
use crate::error::{Error, PictureError};
use crate::prepare::read_limited;
use crate::resize::Plane;

/// Pictures below one root.
pub(crate) struct Source {
    /// The root, for messages.
    pub(crate) path: PathBuf,
    /// Names of all pictures, in byte order.
    pub(crate) files: Vec<String>,
    /// Names of all folders, in byte order, whether or not they hold pictures.
    pub(crate) folders: Vec<String>,
    content: Content,
}

enum Content {
    Folder(Vec<PathBuf>),
    Zip(zip_file::Archive),
    /// For every file the number of its digit.
    Digits(Vec<usize>),
}

/// What became of one file.
pub(crate) struct Opened {
    /// SHA-256 of the bytes; of nothing when they could not be read.
    pub(crate) sha256: [u8; 32],
    pub(crate) planes: Result<Vec<Plane>, PictureError>,
}

impl Source {
    /// Lists what is at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing { path: path.into() });
            }
            Err(e) => return Err(Error::io(path, e)),
        };
        if metadata.is_dir() { folder::open(path) } else { zip_file::open(path) }
    }

    /// The built-in digits as if they were a folder with splits.
    pub(crate) fn digits() -> Self {
        let (files, numbers) = digits::files().into_iter().unzip();
        let folders = digits::folders();
        Self { path: digits::NAME.into(), files, folders, content: Content::Digits(numbers) }
    }

    /// Reads and decodes picture `index` of [`Self::files`] into `channels` planes.
    pub(crate) fn picture(&self, index: usize, channels: usize) -> Opened {
        let bytes = match &self.content {
            Content::Folder(paths) => read_limited(&paths[index]),
            Content::Zip(archive) => archive.read(index),
            Content::Digits(numbers) => {
                let plane = digits::plane(numbers[index]);
                let sha256 = Sha256::digest(&plane.pixels).into();
                return Opened { sha256, planes: Ok(vec![plane; channels]) };
            }
        };
        match bytes {
            Ok(bytes) => Opened { sha256: Sha256::digest(&bytes).into(), planes: decode(&bytes, channels) },
            Err(error) => Opened { sha256: Sha256::digest([]).into(), planes: Err(error) },
        }
    }
}

/// Whether any part of a name is hidden or belongs to the bookkeeping of an operating system.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}
