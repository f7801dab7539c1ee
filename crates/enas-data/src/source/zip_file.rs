//! A zip archive as a source. Nothing is unpacked to disk.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zip::ZipArchive;
use zip::result::ZipResult;

use super::archive::{broken, open_zip_to_read, plain_name};
use super::listing::{Listing, Sorted};
use super::{Content, Source};
use crate::error::{Error, PictureError};
use crate::left_out::Note;
use crate::prepare::read_at_most;

/// An open archive, and the entry of each image.
pub(super) struct Archive {
    // Reading moves the file position, so threads take turns. Decoding, the expensive part, happens outside the lock.
    zip: Mutex<ZipArchive<BufReader<File>>>,
    entries: Vec<usize>,
}

impl Archive {
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, PictureError> {
        // The state is a file position and an immutable directory, so it stays valid if another thread panicked.
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = zip.by_index(self.entries[index]).map_err(|e| PictureError::Read(e.to_string()))?;
        read_at_most(entry)
    }

    /// Unpacked size of an entry in bytes, as the archive declares it.
    pub(super) fn size(&self, index: usize) -> u64 {
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        zip.by_index_raw(self.entries[index]).map_or(0, |entry| entry.size())
    }

    /// Appends up to `n` leading bytes of an entry to `bytes`.
    pub(super) fn read_beginning(&self, index: usize, n: u64, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        zip.by_index(self.entries[index])?.take(n).read_to_end(bytes)
    }
}

pub(super) fn open(path: &Path, classes: &[String]) -> Result<Source, Error> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    if !looks_like_zip(path, &mut file) {
        return Err(Error::NotFolderOrZip { path: path.into() });
    }
    let (zip, mut listing) = read(path)?;
    listing.leave_out_runs();
    let wrapper = listing.unwrap(classes);
    // Most archivers put one folder around everything.
    let note = || Note::new(format!("all images lie in {wrapper}"), "its folders are the classes or splits");
    let notes = if wrapper.contains('/') { vec![note()] } else { Vec::new() };
    Ok(Source { notes, ..source(path, zip, listing) })
}

/// All images with their full names.
pub(super) fn open_flat(path: &Path) -> Result<Source, Error> {
    let (zip, listing) = read(path)?;
    Ok(source(path, zip, listing))
}

fn read(path: &Path) -> Result<(ZipArchive<BufReader<File>>, Listing<usize>), Error> {
    let zip = open_zip_to_read(path)?;
    let listing = list(&zip).map_err(|e| broken(path, e))?;
    Ok((zip, listing))
}

fn source(path: &Path, zip: ZipArchive<BufReader<File>>, listing: Listing<usize>) -> Source {
    let Sorted { files, others, folders, places, left_out } = listing.sorted();
    let content = Content::Zip(Archive { zip: Mutex::new(zip), entries: places });
    Source { path: path.into(), files, folders, others, left_out, notes: Vec::new(), content }
}

/// A file called `.zip`, or one that begins like a zip archive.
fn looks_like_zip(path: &Path, file: &mut File) -> bool {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
    let mut magic = [0; 2];
    named || file.read_exact(&mut magic).is_ok_and(|()| &magic == b"PK")
}

/// Names and indices of all files that are not hidden.
fn list(zip: &ZipArchive<BufReader<File>>) -> ZipResult<Listing<usize>> {
    let mut listing = Listing::default();
    for (index, name) in zip.file_names().enumerate() {
        let name = name?;
        let is_folder = name.ends_with(['/', '\\']);
        let name = plain_name(&name);
        // Some archives have an entry for their root.
        if is_folder || name.is_empty() {
            let _ = !name.is_empty() && listing.add_folder(&name);
            continue;
        }
        let is_listed = name.rsplit_once('/').is_none_or(|(folder, _)| listing.add_folder(folder));
        if is_listed {
            let own = name.rsplit('/').next().unwrap_or(&name).to_owned();
            listing.add_file(name, &own, index);
        }
    }
    Ok(listing)
}
