//! A zip archive as a source. Nothing is unpacked to disk.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipResult;

use super::files::{Content, Source};
use super::listing::{Listing, SortedListing};
use super::names::{is_image_name, kind_of_other};
use super::safe_zip::{open_zip_to_read, plain_name, zip_error};
use super::zip_reader::ZipReader;
use crate::error::Error;
use crate::source::left_out::{LeftOutReason, Note};

pub(super) fn open(path: &Path, classes: &[String]) -> Result<Source, Error> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    if !looks_like_zip(path, &mut file) {
        return Err(Error::NotFolderOrZip { path: path.into(), advice: advice_for(path) });
    }
    let (zip, mut listing) = read(path)?;
    listing.leave_out_runs();
    let wrapper = listing.strip_wrappers(classes);
    // Most archivers put one folder around everything.
    let note = || Note::new(format!("all images are in {wrapper}"), "its folders are the classes or splits");
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
    let listing = list(&zip).map_err(|e| zip_error(path, e))?;
    Ok((zip, listing))
}

fn source(path: &Path, zip: ZipArchive<BufReader<File>>, listing: Listing<usize>) -> Source {
    let SortedListing { files, others, folders, places, left_out } = listing.sorted();
    let content = Content::Zip(ZipReader::new(zip, places));
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

/// Advice for a file that is not a data set, as the end of a sentence.
fn advice_for(path: &Path) -> &'static str {
    let name = path.to_string_lossy();
    match kind_of_other(&name) {
        Some(LeftOutReason::Archive) => "; unpack it first",
        _ if is_image_name(&name) => "; give the folder that holds the class folders",
        _ => "",
    }
}
