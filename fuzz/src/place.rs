//! Where the files of this process are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

/// A folder of this process, below the system's for temporary files.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("temporary files can be made")).path()
}

/// Writes a file in [`folder`]; its path.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("folders can be made");
    fs::write(&path, bytes).expect("temporary files can be written");
    path
}

/// Takes a folder with all its files away, if it is there.
pub(crate) fn clear(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("temporary files can be removed");
    }
}

/// Everything below a folder: its path from there, and whether it is a plain file.
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
