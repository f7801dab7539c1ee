//! The images that paths refer to: files, all images below directories, and zip archives.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc as SyncArc;

use anyhow::{Context as _, Result};
use enas_data::{InputSpec, PictureZip, is_picture_name, is_system_folder, prepare_file};

/// An image to classify, or a path without images.
pub(super) enum Input {
    Picture(PathBuf),
    /// An image in an archive, by its index there.
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
    /// The path of the input; for an image in an archive, the archive's path followed by the name in it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Picture(path) | Self::Useless { path, .. } => path.display().to_string(),
            Self::Packed { archive, zip, index } => format!("{}/{}", archive.display(), zip.names()[*index]),
        }
    }

    /// The image as network input, `[c, h, w]` with values 0 to 255.
    ///
    /// # Errors
    /// A message that says why the image is not available.
    pub(super) fn pixels(&self, spec: &InputSpec) -> Result<Vec<u8>, String> {
        match self {
            Self::Picture(path) => prepare_file(path, spec).map_err(|error| error.to_string()),
            Self::Packed { zip, index, .. } => zip.prepare(*index, spec).map_err(|error| error.to_string()),
            Self::Useless { reason, .. } => Err(reason.clone()),
        }
    }
}

/// The inputs of the paths, in their order. Images below a directory are sorted by the bytes of their names.
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

/// Adds the images below a directory.
///
/// Symbolic links are followed, as in a search, but not to a directory above. `above` holds the real paths of the
/// directories around this one.
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
            // Pipes and devices are skipped: reading them could block forever.
            Ok(metadata) if !metadata.is_file() => {}
            _ if is_picture_name(&name) => found.push(Input::Picture(path)),
            _ => {}
        }
    }
    above.pop();
    Ok(())
}
