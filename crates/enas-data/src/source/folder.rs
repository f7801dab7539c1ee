//! A folder on disk as a source.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Content, Source};
use super::listing::{Listing, SortedListing};
use crate::error::Error;
use crate::source::left_out::{LeftOutReason, Note};

/// Maximum nesting depth of folders that are read.
const MAX_DEPTH: usize = 16;

/// Depth of split and class folders. One of these that cannot be read stops a run.
const REQUIRED_DEPTH: usize = 2;

pub(super) fn open(root: &Path, classes: &[String]) -> Result<Source, Error> {
    let mut listing = Listing::default();
    let mut ancestors = vec![fs::canonicalize(root).map_err(|e| Error::io(root, e))?];
    walk(root, "", &mut ancestors, &mut listing)?;
    listing.leave_out_runs();
    let wrapper = listing.strip_wrappers(classes);
    let SortedListing { files, others, folders, places, left_out } = listing.sorted();
    refuse_duplicate_names(root, &files)?;
    let mut notes = Vec::new();
    let mut path = root.to_owned();
    if !wrapper.is_empty() {
        path.push(&wrapper);
        notes
            .push(Note::new(format!("all images are in {wrapper}"), "its folders are the classes or splits"));
    }
    Ok(Source { path, files, folders, others, left_out, notes, content: Content::Folder(places) })
}

/// Refuses names that are not UTF-8 and look the same when shown: they would be taken for one class or one image.
fn refuse_duplicate_names(root: &Path, files: &[String]) -> Result<(), Error> {
    match files.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(duplicates) => Err(duplicate_name_error(root, &duplicates[0])),
    }
}

fn duplicate_name_error(root: &Path, name: &str) -> Error {
    let problem = format!("several names are not valid UTF-8 and all shown as {name:?}; rename them");
    Error::Layout { path: root.into(), problem }
}

/// Reads a folder recursively and follows links. `ancestors` holds the real paths of the folders around this one, the
/// last being its own; a link to one of them would be a cycle.
fn walk(
    folder: &Path,
    name: &str,
    ancestors: &mut Vec<PathBuf>,
    listing: &mut Listing<PathBuf>,
) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { own.clone() } else { format!("{name}/{own}") };
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                descend(&entry, &path, &name, ancestors, listing)?;
            }
            // A broken link is listed too; reading it later reports it as a skipped file.
            Ok(metadata) if metadata.is_file() => listing.add_file(name, &own, path),
            Err(_) => listing.add_file(name, &own, path),
            // Opening a pipe or device could block forever.
            Ok(_) => listing.left_out.add(LeftOutReason::Special, name),
        }
    }
    Ok(())
}

fn descend(
    entry: &fs::DirEntry,
    path: &Path,
    name: &str,
    ancestors: &mut Vec<PathBuf>,
    listing: &mut Listing<PathBuf>,
) -> Result<(), Error> {
    if listing.folders.contains(name) {
        return Err(duplicate_name_error(path, name));
    }
    if !listing.add_folder(name) {
        return Ok(());
    }
    let depth = ancestors.len();
    let real = real_path(entry, path, ancestors).map_err(|e| Error::io(path, e))?;
    if ancestors.iter().any(|folder| folder.starts_with(&real)) {
        listing.leave_out_folder(name, LeftOutReason::Circle);
        return Ok(());
    }
    if depth > MAX_DEPTH {
        listing.leave_out_folder(name, LeftOutReason::TooDeep);
        return Ok(());
    }
    ancestors.push(real);
    let walked = walk(path, name, ancestors, listing);
    ancestors.pop();
    match walked {
        Err(Error::Io { path: unreadable, .. }) if depth > REQUIRED_DEPTH && unreadable == path => {
            listing.leave_out_folder(name, LeftOutReason::Unreadable);
            Ok(())
        }
        other => other,
    }
}

/// The real path of a folder, with links resolved.
fn real_path(entry: &fs::DirEntry, path: &Path, ancestors: &[PathBuf]) -> io::Result<PathBuf> {
    let is_link = entry.file_type()?.is_symlink();
    match ancestors.last() {
        Some(parent) if !is_link => Ok(parent.join(entry.file_name())),
        _ => fs::canonicalize(path),
    }
}
