//! Opening of zip archives. Malicious archives are refused before any content is read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::names::is_image_name;
use crate::error::Error;

/// Maximum number of entries. Each takes some hundred bytes of memory while the archive is open.
const MAX_ENTRIES: usize = 4_000_000;

/// Maximum compression ratio. Deflate reaches at most about 1032, so a higher ratio means entries that share their
/// bytes: a zip bomb.
const MAX_RATIO: u64 = 1040;

/// Maximum compression ratio of archives above [`LARGE`]. Images hardly compress, so a higher ratio means a zip bomb.
const MAX_LARGE_RATIO: u64 = 100;
const LARGE: u64 = 1 << 30;

/// Opens the zip archive at `path` if it is safe: limited number of entries, unique names, no path traversal, no
/// encryption, and a plausible compression ratio.
///
/// # Errors
/// [`Error::ZipRefused`] with the entry and the reason; [`Error::ZipIncomplete`] for one that is cut off;
/// [`Error::Zip`] for one that is damaged otherwise; [`Error::Io`].
pub fn open_zip(path: &Path) -> Result<ZipArchive<BufReader<File>>, Error> {
    open(path, Use::Unpack)
}

/// [`open_zip`] for reading only: names may begin with a slash, if all of them do.
pub(super) fn open_zip_to_read(path: &Path) -> Result<ZipArchive<BufReader<File>>, Error> {
    open(path, Use::Read)
}

/// What an archive is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Read,
    Unpack,
}

fn open(path: &Path, purpose: Use) -> Result<ZipArchive<BufReader<File>>, Error> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
    let refused = |reason: String| Error::ZipRefused { path: path.into(), reason };
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| match is_cut_off(path) {
        true => Error::ZipIncomplete { path: path.into() },
        false => zip_error(path, e),
    })?;
    if zip.len() > MAX_ENTRIES {
        return Err(refused(format!("it lists {} entries, at most {MAX_ENTRIES} are read", zip.len())));
    }
    if zip.has_duplicate_names() {
        let name = duplicate_name(path, zip.central_directory_start());
        let entry = name.map_or("an entry".to_owned(), |name| format!("the entry {name:?}"));
        return Err(refused(format!(
            "{entry} occurs twice, so that it is unclear which one is meant; create the archive again"
        )));
    }
    let (unpacked, packed) = survey(path, &mut zip, purpose)?;
    if packed > bytes {
        return Err(refused(format!(
            "its entries claim {packed} bytes of its {bytes}, so they share some; create the archive again"
        )));
    }
    let ratio = if unpacked > LARGE { MAX_LARGE_RATIO } else { MAX_RATIO };
    if unpacked > bytes.saturating_mul(ratio) {
        return Err(refused(format!(
            "{bytes} bytes would unpack into {unpacked}, which no real archive of images does"
        )));
    }
    Ok(zip)
}

/// The first name that the central directory at `start` lists twice, if it can be read. [`ZipArchive`] keeps only one
/// entry of each name.
fn duplicate_name(path: &Path, start: u64) -> Option<String> {
    const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
    let mut file = BufReader::new(File::open(path).ok()?);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut names = BTreeSet::new();
    let mut header = [0; 46];
    while file.read_exact(&mut header).is_ok() && header.starts_with(&SIGNATURE) {
        let length = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        file.read_exact(&mut name).ok()?;
        // Extra fields and the comment.
        file.seek_relative(i64::from(length(30)) + i64::from(length(32))).ok()?;
        if let Some(name) = names.replace(name) {
            return Some(String::from_utf8_lossy(&name).into_owned());
        }
    }
    None
}

/// Checks every entry; returns the total sizes in bytes, unpacked and packed.
fn survey(path: &Path, zip: &mut ZipArchive<BufReader<File>>, purpose: Use) -> Result<(u64, u64), Error> {
    let refused = |reason: String| Err(Error::ZipRefused { path: path.into(), reason });
    let mut unpacked = 0u64;
    let mut packed = 0u64;
    let mut names = BTreeSet::new();
    let mut absolute = (0, None);
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(|e| zip_error(path, e))?;
        let name = entry.name().map_err(|e| zip_error(path, e))?.replace('\\', "/");
        if !is_inside(&name, purpose) {
            return refused(format!("the entry {name:?} points outside of the archive"));
        }
        if name.starts_with('/') {
            absolute = (absolute.0 + 1, Some(name.clone()));
        }
        if entry.encrypted() {
            return refused(format!("the entry {name:?} is encrypted; make an archive without a password"));
        }
        if let Some(method) = unread_method(entry.compression())
            && (purpose == Use::Unpack || is_image_name(&name))
        {
            return refused(format!(
                "the entry {name:?} is compressed with {method}, which is not read; unpack it, or zip it again with \
                 deflate"
            ));
        }
        unpacked = unpacked.saturating_add(entry.size());
        packed = packed.saturating_add(entry.compressed_size());
        // A name in two spellings, or both a file and a folder.
        let plain = plain_name(&name);
        if !plain.is_empty() && !names.insert(plain) {
            return refused(format!("the entry {name:?} occurs twice; create the archive again"));
        }
    }
    // Some archivers write all names with a slash. A single one would point outside the root.
    match absolute {
        (n, Some(name)) if n < zip.len() => {
            refused(format!("the entry {name:?} points outside of the archive"))
        }
        _ => Ok((unpacked, packed)),
    }
}

/// The name of a compression method that is not read.
fn unread_method(method: CompressionMethod) -> Option<&'static str> {
    const NAMES: [(CompressionMethod, &str); 4] = [
        (CompressionMethod::DEFLATE64, "Deflate64"),
        (CompressionMethod::BZIP2, "bzip2"),
        (CompressionMethod::LZMA, "LZMA"),
        (CompressionMethod::ZSTD, "Zstandard"),
    ];
    if method == CompressionMethod::Stored || method == CompressionMethod::Deflated {
        return None;
    }
    let known = NAMES.into_iter().find(|(other, _)| *other == method);
    Some(known.map_or("another method", |(_, name)| name))
}

/// Whether an unreadable archive is empty, or begins like one, so that its end is missing.
fn is_cut_off(path: &Path) -> bool {
    let mut begins = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut begins));
    read.is_ok() && (begins.is_empty() || begins.starts_with(b"PK"))
}

/// The name of an entry on this system, relative to the root. Some archivers write backslashes, a leading `./`, or a
/// leading slash. Folders have no slash at the end.
pub(super) fn plain_name(name: &str) -> String {
    let name = name.replace('\\', "/");
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Whether the unpacked name would stay below the root. Nothing is unpacked from an archive that is only read.
fn is_inside(name: &str, purpose: Use) -> bool {
    let drive = name.get(1..2) == Some(":");
    let absolute = purpose == Use::Unpack && name.starts_with('/');
    !absolute && !drive && !name.contains('\0') && name.split('/').all(|part| part != "..")
}

/// The error for an archive that cannot be read.
pub(super) fn zip_error(path: &Path, source: ZipError) -> Error {
    match source {
        ZipError::Io(e) if e.kind() == ErrorKind::UnexpectedEof => Error::ZipIncomplete { path: path.into() },
        ZipError::Io(e) => Error::io(path, e),
        source => Error::Zip { path: path.into(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_root_are_known() {
        for name in ["../x.png", "a/../../x.png", "C:/x.png", "a/..", "a\0b.png"] {
            assert!(!is_inside(name, Use::Read) && !is_inside(name, Use::Unpack), "{name}");
        }
        for name in ["a/b.png", "a..b/c.png", "...", "a/", "./a.png"] {
            assert!(is_inside(name, Use::Read) && is_inside(name, Use::Unpack), "{name}");
        }
        assert!(!is_inside("/etc/x.png", Use::Unpack) && is_inside("/etc/x.png", Use::Read));
    }

    #[test]
    fn names_of_all_archivers_become_the_same() {
        for name in ["a/b/c.png", "./a/b/c.png", "a\\b\\c.png", "/a/b/c.png", ".\\a//b/./c.png"] {
            assert_eq!(plain_name(name), "a/b/c.png");
        }
        assert_eq!(plain_name("./a/"), "a");
        assert_eq!(plain_name("./"), "");
    }
}
