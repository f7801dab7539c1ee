//! Where the repository is, and how to start other programs in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The repository's root: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("xtask lies in the repository").to_path_buf()
}

/// `cargo`, started in the repository's root.
///
/// `cargo run` describes this crate to it in variables such as `CARGO_PKG_NAME`. Build scripts of some
/// dependencies watch those, so handing them on would rebuild these dependencies on every other run.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// What `cargo metadata` says about the workspace, without its dependencies' own metadata.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata did not answer in JSON")
}

/// Builds the release binary of `enas` with these further arguments of cargo; its path.
pub(crate) fn release_binary(features: &[&str]) -> Result<PathBuf> {
    // The whole workspace, for the features that the tests were built with: nothing is compiled twice.
    let scope: &[&str] = if features.is_empty() { &["--workspace"] } else { &["--package", "enas-cli"] };
    let arguments = [&["build", "--release", "--bin", "enas"], scope, features].concat();
    let status = cargo().args(&arguments).status().context("cannot start cargo build")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(target()?.join("release/enas").with_extension(env::consts::EXE_EXTENSION))
}

/// The folder that cargo builds in.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata has no target directory")?;
    Ok(PathBuf::from(target))
}
