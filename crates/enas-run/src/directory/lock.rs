//! An advisory file lock, so that only one process at a time works on a run.
//!
//! The operating system holds the lock on a file in the run directory. It releases the lock when the process ends for
//! any reason, so a crash leaves nothing to clean up. Reading a run needs no lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;

use enas_data::visible;
use time::OffsetDateTime;

use crate::error::{Error, Result};

/// The file that is locked. It contains a description of the holder, for the error message of other processes.
pub(crate) const LOCK: &str = "run.lock";

/// The exclusive right to write into a directory, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Open, and therefore locked, while this value lives.
    _file: File,
}

impl Lock {
    /// Locks the directory `dir`.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] if another process holds the lock, with its process id, its machine and the
    /// time; [`crate::Error::Io`] if the lock file cannot be opened.
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|source| Error::io("cannot lock", &path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::run_directory(dir, &in_use(&path))),
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {
                tracing::warn!(
                    "{} cannot be locked here; make sure that no other process uses it",
                    visible(&dir)
                );
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("cannot lock", &path, source)),
        }
        // The description only helps other processes, so an error here is ignored.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", holder()));
        Ok(Self { _file: file })
    }
}

fn in_use(path: &Path) -> String {
    let by = fs::read_to_string(path).unwrap_or_default();
    let by = if by.trim().is_empty() { "another process" } else { by.trim() };
    format!("in use by {by}; wait until it ends or stop it, or work in another directory (--out)")
}

/// Description of this process for others.
fn holder() -> String {
    format!("process {} on {} since {}", std::process::id(), host(), utc(OffsetDateTime::now_utc()))
}

/// The name of this machine, if it is known.
fn host() -> String {
    let of_system = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let names = [of_system, std::env::var("HOSTNAME").ok(), std::env::var("COMPUTERNAME").ok()];
    let known = names.into_iter().flatten().map(|name| name.trim().to_owned()).find(|name| !name.is_empty());
    known.unwrap_or_else(|| "this machine".to_owned())
}

/// A time as `2026-01-31 09:30:05 UTC`.
fn utc(at: OffsetDateTime) -> String {
    format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_turned_away_and_told_who_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err();
        assert!(error.is_usage());
        let expected = format!("in use by process {} on ", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(error.to_string().contains(" since 20"), "{error}");
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    #[test]
    fn what_an_earlier_holder_left_locks_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join(LOCK),
            "process 1 on elsewhere since 1970-01-01 00:00:00 UTC, and much more\n",
        )
        .unwrap();
        let _lock = Lock::take(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join(LOCK)).unwrap();
        assert!(text.starts_with(&format!("process {} on ", std::process::id())), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn dates_are_written_with_all_their_digits() {
        let at = |seconds| utc(OffsetDateTime::from_unix_timestamp(seconds).unwrap());
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_827_696), "2000-02-29 12:34:56 UTC");
    }
}
