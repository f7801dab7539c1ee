//! The files of a data set on disk, under their own names or under names that browsers, archivers and other sites
//! use.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use enas_data::visible;

use crate::sources::{DataSetSource, Format, PublishedFile};
use crate::{cifar, zips};

/// The original files of a data set, on disk.
pub(crate) enum SourceFiles {
    /// Four files, in the order of [`Format::Idx`].
    Idx([PathBuf; 4]),
    /// One archive.
    Cifar(PathBuf, cifar::CifarFormat),
    /// Zip archives of class folders.
    Zips([PathBuf; 3]),
}

/// Depth of subfolders that are searched: `MNIST/raw`, or a folder for every file.
const MAX_DEPTH: usize = 2;

/// The files of `set` at `from`, a folder or an archive.
///
/// # Errors
/// If files are missing or an archive cannot be used; the message names them.
pub(crate) fn find(set: &DataSetSource, from: &Path) -> Result<SourceFiles> {
    let found = match set.format {
        Format::Idx(originals) => find_idx_files(from, &originals),
        Format::Cifar10 { binary, python } => find_cifar(from, [binary, python]),
    };
    match (found, zips::find(from)) {
        (Err(_), Some(archives)) => Ok(SourceFiles::Zips(archives)),
        (found, _) => found,
    }
}

fn find_idx_files(folder: &Path, originals: &[PublishedFile; 4]) -> Result<SourceFiles> {
    if folder.is_file() {
        bail!("{} is a file; give the folder that holds all four files of the data set", visible(&folder));
    }
    let files = files_below(folder, 0);
    let find = |original: &PublishedFile| files.iter().find(|path| has_name(path, original.name));
    let paths = [0, 1, 2, 3].map(|i| find(&originals[i]));
    let missing: Vec<&str> = originals
        .iter()
        .zip(paths)
        .filter(|(_, path)| path.is_none())
        .map(|(original, _)| original.name)
        .collect();
    match missing.len() {
        0 => Ok(SourceFiles::Idx(paths.map(|path| path.cloned().unwrap_or_default()))),
        4 => bail!(
            "{}: expected {}, gzipped or not, or train.zip, valid.zip and test.zip; none of them is there",
            visible(&folder),
            missing.join(", ")
        ),
        _ => bail!("{}: {} missing (gzipped or not)", visible(&folder), names_with_verb(&missing)),
    }
}

/// The names, and the verb that agrees with them.
fn names_with_verb(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// Whether a file has this name: gzipped or not, with dots instead of dashes, or with the number that browsers add to
/// a second download.
fn has_name(path: &Path, name: &str) -> bool {
    let plain = |name: &str| {
        let lower = name.to_lowercase();
        let shown = lower.trim_end_matches(".gz").replace(['.', '_', ' '], "-");
        // A copy: "name (1)".
        let copy = shown.rsplit_once("-(").filter(|(_, n)| n.ends_with(')') && n.len() <= 4);
        copy.map_or(shown.clone(), |(name, _)| name.trim_end_matches("-gz").to_owned())
    };
    path.file_name().is_some_and(|file| plain(&file.to_string_lossy()) == plain(name))
}

/// The files in a folder and in its subfolders down to `depth`: nearest first, sorted by name.
fn files_below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    if depth < MAX_DEPTH {
        let is_shown =
            |path: &&PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        files.extend(folders.iter().filter(is_shown).flat_map(|inner| files_below(inner, depth + 1)));
    }
    files
}

/// An archive by its content: the given file, the one of that name in the folder, or one with a similar name.
fn find_cifar(from: &Path, originals: [PublishedFile; 2]) -> Result<SourceFiles> {
    if from.is_file() {
        let form = cifar::form_of(from).with_context(|| visible(&from).into_owned())?;
        let form = form.with_context(|| {
            format!(
                "{} is not an archive of CIFAR-10: it holds no data_batch_1.bin or data_batch_1",
                visible(&from)
            )
        })?;
        return Ok(SourceFiles::Cifar(from.to_owned(), form));
    }
    let files = files_below(from, 0);
    let is_own = |path: &&PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        originals.iter().any(|original| name.as_deref() == Some(original.name))
    };
    let is_alike = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.replace('-', "").starts_with("cifar10")
            && [".gz", ".tgz", ".tar"].iter().any(|e| name.ends_with(e))
    };
    for path in files.iter().filter(is_own).chain(files.iter().filter(is_alike)) {
        if let Some(form) = cifar::form_of(path).with_context(|| visible(&path).into_owned())? {
            return Ok(SourceFiles::Cifar(path.clone(), form));
        }
    }
    bail!(
        "{}: expected {} or {}, or train.zip, valid.zip and test.zip; none of them is there",
        visible(&from),
        originals[0].name,
        originals[1].name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_sites_and_browsers_are_known() {
        let original = "train-images-idx3-ubyte.gz";
        for name in [
            "train-images-idx3-ubyte.gz",
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte",
            "train-images.idx3-ubyte.gz",
            "train-images-idx3-ubyte (1).gz",
            "train-images-idx3-ubyte.gz (2)",
            "TRAIN-IMAGES-IDX3-UBYTE",
        ] {
            assert!(has_name(Path::new(name), original), "{name}");
        }
        for name in ["train-labels-idx1-ubyte", "train-images", "train-images-idx3-ubyte.zip"] {
            assert!(!has_name(Path::new(name), original), "{name}");
        }
    }
}
