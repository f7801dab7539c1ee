//! A world of mounts of its own, so that tests can have small disks without touching the machine.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Set in the process that runs inside.
const INSIDE: &str = "ENAS_FAULTS_NAMESPACE";

/// Ways into a namespace of mounts: for root, and for everybody where the system lets everybody.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Whether this process has a namespace of its own. If not, runs the calling test, whose full name is `test`, again in
/// one; the caller then has nothing left to do.
///
/// On machines that do not permit namespaces the test is skipped with a message; if `CI` is set it fails.
pub fn is_own(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    match WAYS.into_iter().map(|way| attempt(way).map(|()| way)).reduce(Result::or) {
        Some(Ok(way)) => again(test, way),
        Some(Err(why)) => {
            assert!(
                env::var_os("CI").is_none_or(|ci| ci.is_empty()),
                "CI is set, and {test} cannot run: {why}"
            );
            let _ = writeln!(io::stderr(), "skipped: {test}: no mounts of its own: {why}");
        }
        None => unreachable!("there are ways"),
    }
    false
}

/// Whether a way leads to where something can be mounted.
fn attempt(way: &[&str]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(way)
        .args(["mount", "-t", "tmpfs", "none"])
        .arg(folder.path())
        .output()
        .map_err(|e| format!("unshare: {e}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn again(test: &str, way: &[&str]) {
    let status = Command::new("unshare")
        .args(way)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its own namespace; what it said is above");
}

/// A small disk in memory, there as long as this process.
#[derive(Debug)]
pub struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Mounts one of `size` bytes on a folder.
    pub fn on(folder: &'a Path, size: u64) -> Self {
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], folder);
        Self(folder)
    }

    /// Changes its size, or forbids writing: any options of `mount`.
    pub fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], self.0);
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // The folder below is temporary and must be free to be removed; at the latest the namespace ends it.
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let output = Command::new("mount").args(arguments).arg(folder).output().unwrap();
    assert!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
