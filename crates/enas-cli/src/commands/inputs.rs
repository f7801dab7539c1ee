//! The pictures that paths lead to: files, folders with all that lies below them, and zip archives.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc as SyncArc;

use anyhow::{Context as _, Result};
use enas_data::{InputSpec, PictureZip, is_picture_name, is_system_folder, prepare_file};

/// A picture to label, or a path that led to none.
pub(super) enum Input {
    Picture(PathBuf),
    /// A picture in an archive, by its number there.
    Packed {
        archive: PathBuf,
        zip: SyncArc<PictureZip>,
        index: usize,
    },
    Useless {
        path: PathBuf,
        reason: String,
    },
}

impl Input {
    /// The path, that of a packed picture below its archive.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Picture(path) | Self::Useless { path, .. } => path.display().to_string(),
            Self::Packed { archive, zip, index } => format!("{}/{}", archive.display(), zip.names()[*index]),
        }
    }

    /// The picture as network input, 0 to 255; why not, if it cannot be had.
    pub(super) fn pixels(&self, spec: &InputSpec) -> Result<Vec<u8>, String> {
        match self {
            Self::Picture(path) => prepare_file(path, spec).map_err(|error| error.to_string()),
            Self::Packed { zip, index, .. } => zip.prepare(*index, spec).map_err(|error| error.to_string()),
            Self::Useless { reason, .. } => Err(reason.clone()),
        }
    }
}

/// What the paths lead to, in their order; folders in byte order of the names.
///
/// # Errors
/// If stdin cannot be read.
pub(super) fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            for line in io::stdin().lock().lines() {
                let line = line.context("cannot read paths from stdin")?;
                if !line.is_empty() {
                    found.extend(inputs_at(Path::new(&line)));
                }
            }
        } else {
            found.extend(inputs_at(path));
        }
    }
    Ok(found)
}

fn inputs_at(path: &Path) -> Vec<Input> {
    let useless = |reason: String| vec![Input::Useless { path: path.to_owned(), reason }];
    if path.is_dir() {
        let mut found = Vec::new();
        return match walk(path, &mut Vec::new(), &mut found) {
            Err(error) => useless(error.to_string()),
            Ok(()) if found.is_empty() => useless("no pictures in this folder".to_owned()),
            Ok(()) => found,
        };
    }
    if !path.is_file() || !PictureZip::is_zip(path) {
        return vec![Input::Picture(path.to_owned())];
    }
    match PictureZip::open(path) {
        Err(error) => useless(error.to_string()),
        Ok(zip) if zip.names().is_empty() => useless("no pictures in this archive".to_owned()),
        Ok(zip) => {
            let (n, zip) = (zip.names().len(), SyncArc::new(zip));
            let packed = |index| Input::Packed { archive: path.to_owned(), zip: zip.clone(), index };
            (0..n).map(packed).collect()
        }
    }
}

/// Adds the pictures below a folder. Links are followed, as a search does, but not back to a folder above: `above` are the
/// real paths of the folders that this one lies in.
fn walk(folder: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<Input>) -> io::Result<()> {
    let real = fs::canonicalize(folder)?;
    if above.iter().any(|folder| folder.starts_with(&real)) {
        return Ok(());
    }
    above.push(real);
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && !is_system_folder(&name) => walk(&path, above, found)?,
            // Neither a file nor a broken link is a pipe or a device, to read from which could take for ever.
            Ok(metadata) if !metadata.is_file() => {}
            _ if is_picture_name(&name) => found.push(Input::Picture(path)),
            _ => {}
        }
    }
    above.pop();
    Ok(())
}
