//! The numbered checkpoint files of a directory, and which of them are kept.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Number of checkpoints kept: the newest may be damaged by a full disk or a power failure.
const KEPT: usize = 2;

/// Suffix, after the number, in the names of checkpoints at the end of an epoch.
pub(super) const AT_END: &str = "-epoch";

pub(super) const SUFFIX: &str = ".safetensors";

/// A checkpoint file.
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) ends_epoch: bool,
    pub(super) path: PathBuf,
}

/// The checkpoints in a directory, oldest first; empty if the directory does not exist.
pub(super) fn numbered(dir: &Path) -> Result<Vec<Numbered>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("cannot read", dir, source)),
    };
    let parse = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (number, ends_epoch) = name.strip_suffix(AT_END).map_or((name, false), |number| (number, true));
        // The next number must be representable too.
        let number = number.parse().ok().filter(|n| *n < u64::MAX)?;
        Some(Numbered { number, ends_epoch, path })
    };
    let mut found: Vec<_> = entries.filter_map(|entry| parse(entry.ok()?.path())).collect();
    found.sort_by_key(|file| file.number);
    Ok(found)
}

/// The `older` files (oldest first) that need not be kept once a new one exists.
pub(super) fn not_kept(older: Vec<Numbered>, new_ends_epoch: bool) -> Vec<PathBuf> {
    let mut needs_end = !new_ends_epoch;
    let mut superfluous = Vec::new();
    for (age, file) in older.into_iter().rev().enumerate() {
        let is_needed = age + 1 < KEPT || (needs_end && file.ends_epoch);
        needs_end &= !file.ends_epoch;
        if !is_needed {
            superfluous.push(file.path);
        }
    }
    superfluous
}
