//! The paths of the repository, and starting other programs in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The root of the repository: the parent directory of this crate.
pub(crate) fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("xtask lies in the repository").to_path_buf()
}

/// `cargo`, started in the repository's root.
///
/// `cargo run` sets variables about this crate, such as `CARGO_PKG_NAME`. They are removed: build scripts of some
/// dependencies watch them and would cause a rebuild on every other run.
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

/// The output of `cargo metadata` for the workspace, without the metadata of dependencies.
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

/// Builds the release binary of `enas` with further arguments of cargo. Returns its path.
pub(crate) fn release_binary(features: &[&str]) -> Result<PathBuf> {
    // Builds the whole workspace to get the features of the test build, so nothing is compiled twice.
    let scope: &[&str] = if features.is_empty() { &["--workspace"] } else { &["--package", "enas-cli"] };
    let arguments = [&["build", "--release", "--bin", "enas"], scope, features].concat();
    let status = cargo().args(&arguments).status().context("cannot start cargo build")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(target()?.join("release/enas").with_extension(env::consts::EXE_EXTENSION))
}

/// The target directory of cargo.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata has no target directory")?;
    Ok(PathBuf::from(target))
}
