//! The temporary files of this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The temporary directory of this process.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("temporary files can be made")).path()
}

/// Writes a file below [`folder`] and returns its path.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("folders can be made");
    fs::write(&path, bytes).expect("temporary files can be written");
    path
}

/// Removes a directory with all its files, if it exists.
pub(crate) fn clear(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("temporary files can be removed");
    }
}

/// All files below a directory: the relative path, and whether it is a regular file.
pub(crate) fn listing(folder: &Path) -> Vec<(PathBuf, bool)> {
    let mut all = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("it is there").flatten() {
            let kind = entry.file_type().expect("it is there");
            let path = entry.path();
            if kind.is_dir() {
                left.push(path);
            } else {
                all.push((path.strip_prefix(folder).expect("it was found there").to_owned(), kind.is_file()));
            }
        }
    }
    all
}
