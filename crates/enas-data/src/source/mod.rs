//! Where images come from: a folder, a zip archive or a built-in data set.
//!
//! [`open`] lists the images of one root, [`files`] reads them, and [`layout`] interprets the folders.

pub(crate) mod built_in;
pub(crate) mod files;
mod folder;
pub(crate) mod image_zip;
pub(crate) mod item;
pub(crate) mod layout;
pub(crate) mod left_out;
mod listing;
pub(crate) mod names;
pub(crate) mod safe_zip;
mod zip;
mod zip_reader;

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;
use files::Source;

/// Opens the folder or zip archive at a path, or a built-in data set.
///
/// `classes` are those known in advance. Folders around everything are removed, unless they have the name of one of
/// them.
pub(crate) fn open(path: &Path, classes: &[String]) -> Result<Source, Error> {
    if let Some(set) = built_in::find(path) {
        return Ok(Source::built_in(set));
    }
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(Error::Missing { path: path.into() }),
        Err(e) => return Err(Error::io(path, e)),
    };
    if metadata.is_dir() { folder::open(path, classes) } else { zip::open(path, classes) }
}
