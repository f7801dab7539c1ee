//! Reading of single files from a zip archive, from several threads.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::{Mutex, PoisonError};

use zip::ZipArchive;

use crate::error::ImageError;
use crate::image::prepare::read_at_most;

/// An open archive, and the entry of each image.
pub(super) struct ZipReader {
    // Reading moves the file position, so threads take turns. Decoding, the expensive part, happens outside the lock.
    zip: Mutex<ZipArchive<BufReader<File>>>,
    entries: Vec<usize>,
}

impl ZipReader {
    pub(super) fn new(zip: ZipArchive<BufReader<File>>, entries: Vec<usize>) -> Self {
        Self { zip: Mutex::new(zip), entries }
    }

    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, ImageError> {
        // The state is a file position and an immutable directory, so it stays valid if another thread panicked.
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = zip.by_index(self.entries[index]).map_err(|e| ImageError::Read(e.to_string()))?;
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
