//! Creation of directories for new runs. A directory with other content is never used.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::directory::lock::{LOCK, Lock};
use crate::error::{Error, Result};
use crate::files::atomic::PART;

/// Creates and locks `dir`, which may exist if it is empty. `own` names the files that a run writes first; the last
/// one marks the directory as a run.
///
/// An interrupted start leaves some of these files without the last one. Such a directory counts as empty.
///
/// # Errors
/// [`crate::Error::RunDirectory`] if it holds a run or anything else, or if another process works there.
pub fn create_run_dir(dir: &Path, own: &[&str]) -> Result<(PathBuf, Lock)> {
    fs::create_dir_all(dir).map_err(|source| Error::io("cannot create", dir, source))?;
    // Checked before locking, so that no lock file is created in a directory of other content.
    refuse_occupied(dir, own)?;
    let lock = Lock::take(dir)?;
    // Checked again: another process may have finished a run here in the meantime.
    refuse_occupied(dir, own)?;
    Ok((dir.to_owned(), lock))
}

/// Creates the first of `runs/<data>-<kind>-1`, `-2`, … that does not exist.
///
/// # Errors
/// [`crate::Error::Io`] if a directory cannot be created.
pub fn create_default_run_dir(data: &str, kind: &str) -> Result<(PathBuf, Lock)> {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let data: String = data.chars().map(plain).collect();
    let root = Path::new("runs");
    let failed = |path: &Path, source| Error::io("cannot create", path, with_way_out(source));
    fs::create_dir_all(root).map_err(|source| failed(root, source))?;
    for n in 1u64.. {
        let dir = root.join(format!("{data}-{kind}-{n}"));
        // `create_dir` fails if the directory exists, so two runs that start together never share one.
        match fs::create_dir(&dir) {
            Ok(()) => return Lock::take(&dir).map(|lock| (dir, lock)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&dir, source)),
        }
    }
    unreachable!("there are more numbers than directories")
}

/// Adds the remedy to an error of the default place for runs.
fn with_way_out(source: std::io::Error) -> std::io::Error {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => source,
        kind => std::io::Error::new(kind, format!("{source}; name a folder that can be written with --out")),
    }
}

fn refuse_occupied(dir: &Path, own: &[&str]) -> Result<()> {
    let Some((makes_run, _)) = own.split_last() else { return Ok(()) };
    if dir.join(makes_run).exists() {
        return Err(Error::run_directory(
            dir,
            "this run exists already; continue it with --resume, or choose another --out",
        ));
    }
    for entry in fs::read_dir(dir).map_err(|source| Error::io("cannot read", dir, source))? {
        let name = entry.map_err(|source| Error::io("cannot read", dir, source))?.file_name();
        let name = name.to_string_lossy();
        let whole = name.strip_suffix(PART).unwrap_or(&name);
        if whole != LOCK && !own.contains(&whole) {
            return Err(Error::run_directory(
                dir,
                "the directory is not empty, and a run overwrites nothing; choose another --out",
            ));
        }
    }
    Ok(())
}

/// Removes temporary files of interrupted writes.
pub fn remove_partial_files(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.to_string_lossy().ends_with(PART) && path.is_file() {
            // Leftovers do no harm. Removal is tried again the next time.
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["config.toml", "manifest.json"];

    #[test]
    fn a_start_that_was_cut_short_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        for left in ["config.toml", "manifest.json.part", LOCK] {
            fs::write(dir.path().join(left), "…").unwrap();
        }
        let (_, lock) = create_run_dir(dir.path(), &OWN).unwrap();
        let taken = create_run_dir(dir.path(), &OWN).unwrap_err();
        assert!(taken.to_string().contains("in use by process"), "{taken}");
        drop(lock);
        fs::write(dir.path().join("manifest.json"), "{}").unwrap();
        let exists = create_run_dir(dir.path(), &OWN).unwrap_err();
        assert!(exists.to_string().contains("--resume"), "{exists}");
    }

    #[test]
    fn nothing_is_written_into_what_is_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        let error = create_run_dir(dir.path(), &OWN).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn unfinished_files_are_cleared_away_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.json", "a.json.part", "b.part"] {
            fs::write(dir.path().join(name), "…").unwrap();
        }
        fs::create_dir(dir.path().join("folder.part")).unwrap();
        remove_partial_files(dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.json", "folder.part"]);
    }
}
