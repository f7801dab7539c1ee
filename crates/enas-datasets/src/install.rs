//! Atomic installation: a data set is made in a sibling folder and renamed when it is complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use enas_data::visible;
use serde::{Deserialize, Serialize};

/// The file that marks a folder as complete and made by this program.
const MANIFEST: &str = ".fetch-data.json";

/// Number of images in each split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageCounts {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub valid: usize,
    /// Test images.
    pub test: usize,
}

/// The manifest of a complete data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Its name.
    pub(crate) data_set: String,
    /// The origin of the images.
    pub(crate) source: String,
    /// Whether they are the published ones, by checksum.
    pub(crate) published: bool,
    /// Number of images.
    #[serde(rename = "pictures")]
    pub(crate) images: ImageCounts,
}

/// An advisory file lock: only one process at a time makes a data set. Released when dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits for the lock of `target`.
pub(crate) fn lock(target: &Path) -> Result<Lock> {
    let path = sibling(target, "lock");
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| Lock(file)))
        .with_context(|| format!("cannot lock {}", visible(&path)))
}

/// The manifest of the complete data set at `target`; `None` if nothing exists there.
///
/// # Errors
/// If the folder exists but was not completed by this program, because it may belong to the user.
pub(crate) fn installed(target: &Path) -> Result<Option<Manifest>> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(None);
    }
    let remedy = "choose another --dest, or move it away and run the same command again";
    let manifest = fs::read(target.join(MANIFEST)).with_context(|| {
        format!("{} exists, but was not made by enas data fetch; {remedy}", visible(&target))
    })?;
    let manifest: Manifest = serde_json::from_slice(&manifest)
        .with_context(|| format!("{} has a damaged {MANIFEST}; {remedy}", visible(&target)))?;
    let found = count(target)?;
    if found != manifest.images {
        bail!("{} should hold {:?}, but holds {found:?}; {remedy}", visible(&target), manifest.images);
    }
    Ok(Some(manifest))
}

/// Lets `fill` make a data set in a new folder, and renames that folder to `target`.
///
/// `target` is complete or absent at every moment. Leftovers of an interrupted run are deleted first.
///
/// # Errors
/// Errors of `fill` and of the disk.
pub(crate) fn install(target: &Path, fill: impl FnOnce(&Path) -> Result<Manifest>) -> Result<Manifest> {
    let staging = sibling(target, "partial");
    remove_tree(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", visible(&staging)))?;
    let done = fill(&staging).and_then(|manifest| {
        let text = serde_json::to_string_pretty(&manifest).context("cannot write the manifest")?;
        fs::write(staging.join(MANIFEST), text + "\n").context("cannot write the manifest")?;
        fs::rename(&staging, target).with_context(|| format!("cannot rename to {}", visible(&target)))?;
        Ok(manifest)
    });
    if done.is_err() {
        remove_tree(&staging)?;
    }
    done
}

/// The hidden sibling `.NAME.kind` of `target`.
fn sibling(target: &Path, kind: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{kind}"))
}

fn remove_tree(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot delete {}", visible(&folder)))?;
    }
    Ok(())
}

/// Number of files in the class folders of each split.
pub(crate) fn count(target: &Path) -> Result<ImageCounts> {
    let split = |name: &str| -> Result<usize> {
        let mut n = 0;
        let folder = target.join(name);
        if folder.exists() {
            for class in fs::read_dir(&folder)? {
                n += fs::read_dir(class?.path())?.count();
            }
        }
        Ok(n)
    };
    Ok(ImageCounts { train: split("train")?, valid: split("valid")?, test: split("test")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let images = ImageCounts { train: 1, valid: 0, test: 0 };
        Manifest { data_set: "some".into(), source: "here".into(), published: false, images }
    }

    fn fill(folder: &Path) -> Result<Manifest> {
        fs::create_dir_all(folder.join("train/a"))?;
        fs::write(folder.join("train/a/00000.png"), "image")?;
        Ok(manifest())
    }

    #[test]
    fn a_complete_data_set_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("some");
        assert_eq!(installed(&target).unwrap(), None);
        install(&target, fill).unwrap();
        assert_eq!(installed(&target).unwrap(), Some(manifest()));
    }

    #[test]
    fn a_failure_halfway_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("some");
        let error = install(&target, |staging| fill(staging).and_then(|_| bail!("disk full"))).unwrap_err();
        assert_eq!(error.to_string(), "disk full");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_run_left_is_cleaned_away() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".some.partial/train/a");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("99999.png"), "half a pic").unwrap();
        let target = folder.path().join("some");
        assert_eq!(installed(&target).unwrap(), None);
        install(&target, fill).unwrap();
        assert!(!target.join("train/a/99999.png").exists());
        assert!(!folder.path().join(".some.partial").exists());
    }

    #[test]
    fn a_folder_of_the_users_own_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let error = installed(folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("was not made by enas data fetch; choose another --dest"),
            "{error}"
        );
    }

    #[test]
    fn a_data_set_that_lost_images_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("some");
        install(&target, fill).unwrap();
        fs::remove_file(target.join("train/a/00000.png")).unwrap();
        assert!(installed(&target).unwrap_err().to_string().contains("train: 1"));
    }
}
