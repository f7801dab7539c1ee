//! Tells the crate which revision of the source it is built from, for the manifest of every run.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Changes with every commit, unlike HEAD, which names a branch.
    let log = Path::new("../../.git/logs/HEAD");
    if log.exists() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    println!("cargo:rustc-env=ENAS_REVISION={}", revision().unwrap_or_else(|| "unknown".into()));
}

/// The abbreviated commit; `None` outside a repository or without git.
fn revision() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}
