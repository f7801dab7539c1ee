//! Atomic file writes: write to a temporary file, flush it to disk, then rename it over the target.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Suffix of a temporary file.
pub(crate) const PART: &str = ".part";

/// Writes a file atomically: after a crash at any moment it holds the old content or the new one.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    write(path, &[content])
}

/// [`write_file`] for content in several parts.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(PART);
    let aside = Path::new(&aside);
    let written = write_aside(aside, parts).and_then(|()| fs::rename(aside, path));
    if let Err(source) = written {
        // The temporary file is useless now, and the first error is the one to report.
        let _ = fs::remove_file(aside);
        return Err(Error::Io { action: "cannot write", path: path.to_owned(), source });
    }
    sync_directory(path);
    Ok(())
}

fn write_aside(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Flushes the directory, which makes the rename durable. Errors are ignored: some systems cannot open directories,
/// and the file stays consistent either way.
fn sync_directory(path: &Path) {
    if let Some(directory) = path.parent().and_then(|p| File::open(p).ok()) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, &[b"old"]).unwrap();
        write(&path, &[b"new", b"er"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = write(Path::new("/nowhere/at/all.json"), &[b"x"]).unwrap_err().to_string();
        assert!(error.starts_with("cannot write /nowhere/at/all.json: "), "{error}");
    }
}
