//! Directories of work that is not a single run, such as a comparison of many.

use std::path::{Path, PathBuf};

use crate::directory::create::{create_default_run_dir, create_run_dir, remove_partial_files};
use crate::directory::lock::Lock;
use crate::error::Result;

/// A locked directory: no other process can take it while this value lives.
#[derive(Debug)]
pub struct WorkDirectory {
    dir: PathBuf,
    _lock: Lock,
}

impl WorkDirectory {
    /// Creates the directory: `out`, which must not exist or must be empty, or `runs/<data>-<kind>-<n>` with the
    /// first free `n`.
    ///
    /// `own` names the files that the work writes first; the last one marks the directory as one of this kind. A
    /// directory with some of them but not the last comes from an interrupted start and counts as empty.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] if `out` is not empty or another process works there; [`crate::Error::Io`] if
    /// it cannot be written.
    pub fn create(out: Option<&Path>, data: &str, kind: &str, own: &[&str]) -> Result<Self> {
        let (dir, lock) = match out {
            Some(dir) => create_run_dir(dir, own)?,
            None => create_default_run_dir(data, kind)?,
        };
        Ok(Self { dir, _lock: lock })
    }

    /// Opens a directory to continue the work. Removes temporary files of interrupted writes.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] if another process works there; [`crate::Error::Io`] if it cannot be locked.
    pub fn open(dir: &Path) -> Result<Self> {
        let lock = Lock::take(dir)?;
        remove_partial_files(dir);
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_works_there() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("work");
        let first = WorkDirectory::create(Some(&out), "photos", "study", &["about.json"]).unwrap();
        let error = WorkDirectory::open(&out).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("in use by process"), "{error}");
        std::fs::write(out.join("about.json"), "{}").unwrap();
        drop(first);
        let error = WorkDirectory::create(Some(&out), "photos", "study", &["about.json"]).unwrap_err();
        assert!(error.to_string().contains("--resume"), "{error}");
        assert_eq!(WorkDirectory::open(&out).unwrap().dir(), out);
    }
}
