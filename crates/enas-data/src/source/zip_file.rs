//! A zip archive as a source. Nothing is ever unpacked to disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zip::ZipArchive;
use zip::result::ZipResult;

use super::archive::{broken, open_zip, plain_name};
use super::{Content, Source, is_hidden};
use crate::error::{Error, PictureError};
use crate::layout::is_split_name;
use crate::prepare::{is_picture_name, read_at_most};

/// An opened archive and which entry each picture is.
pub(super) struct Archive {
    // Reading moves the file position, so threads take turns; decoding, the expensive part, is done outside.
    zip: Mutex<ZipArchive<BufReader<File>>>,
    entries: Vec<usize>,
}

impl Archive {
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, PictureError> {
        // The archive is a file position and an immutable directory: usable even after a panic elsewhere.
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = zip.by_index(self.entries[index]).map_err(|e| PictureError::Read(e.to_string()))?;
        read_at_most(entry)
    }

    /// Bytes of an entry once it is unpacked, as the archive has them.
    pub(super) fn size(&self, index: usize) -> u64 {
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        zip.by_index_raw(self.entries[index]).map_or(0, |entry| entry.size())
    }

    /// Appends up to `n` bytes from the beginning of an entry to `bytes`.
    pub(super) fn read_beginning(&self, index: usize, n: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        zip.by_index(self.entries[index])?.take(n).read_to_end(bytes)
    }
}

pub(super) fn open(path: &Path) -> Result<Source, Error> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    if !looks_like_zip(path, &mut file) {
        return Err(Error::NotFolderOrZip { path: path.into() });
    }
    let zip = open_zip(path)?;
    let mut listing = list(&zip).map_err(|e| broken(path, e))?;
    strip_wrapper(&mut listing);
    listing.files.sort_unstable();
    listing.others.sort_unstable();
    let (files, mut entries): (Vec<_>, Vec<_>) = listing.files.into_iter().unzip();
    let (others, rest): (Vec<_>, Vec<_>) = listing.others.into_iter().unzip();
    entries.extend(rest);
    let archive = Archive { zip: Mutex::new(zip), entries };
    Ok(Source {
        path: path.into(),
        files,
        folders: listing.folders.into_iter().collect(),
        others,
        content: Content::Zip(archive),
    })
}

/// A file called `.zip`, or one that starts like an archive under another name.
fn looks_like_zip(path: &Path, file: &mut File) -> bool {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
    let mut magic = [0; 2];
    named || file.read_exact(&mut magic).is_ok_and(|()| &magic == b"PK")
}

struct Listing {
    files: Vec<(String, usize)>,
    /// Files that are not called like pictures.
    others: Vec<(String, usize)>,
    folders: BTreeSet<String>,
}

/// Names and numbers of all files that are not hidden.
fn list(zip: &ZipArchive<BufReader<File>>) -> ZipResult<Listing> {
    let mut listing = Listing { files: Vec::new(), others: Vec::new(), folders: BTreeSet::new() };
    for (index, name) in zip.file_names().enumerate() {
        let name = plain_name(&name?);
        if is_hidden(&name) {
            continue;
        }
        if name.ends_with('/') {
            add_folders(&mut listing.folders, &format!("{}/", name.trim_end_matches('/')));
        } else if is_picture_name(&name) {
            add_folders(&mut listing.folders, &name);
            listing.files.push((name, index));
        } else {
            listing.others.push((name, index));
        }
    }
    Ok(listing)
}

/// Every folder that `name` lies in.
fn add_folders(folders: &mut BTreeSet<String>, name: &str) {
    folders.extend(name.match_indices('/').map(|(end, _)| name[..end].to_owned()));
}

/// Drops a single top-level folder around everything, which many archivers add.
fn strip_wrapper(listing: &mut Listing) {
    let mut top = listing.folders.iter().filter(|f| !f.contains('/'));
    let (Some(wrapper), None) = (top.next().cloned(), top.next()) else { return };
    let prefix = format!("{wrapper}/");
    let wraps_folders = listing.folders.iter().any(|f| f.starts_with(&prefix));
    let wraps_all = listing.files.iter().all(|(name, _)| name.starts_with(&prefix));
    if is_split_name(&wrapper) || !wraps_folders || !wraps_all {
        return;
    }
    for (name, _) in &mut listing.files {
        name.drain(..prefix.len());
    }
    // What is no picture may lie beside the wrapper.
    for (name, _) in listing.others.iter_mut().filter(|(name, _)| name.starts_with(&prefix)) {
        name.drain(..prefix.len());
    }
    let inner = |f: String| f.strip_prefix(&prefix).map(str::to_owned);
    listing.folders = std::mem::take(&mut listing.folders).into_iter().filter_map(inner).collect();
}
