//! `cargo xtask static-build`: builds a program that needs no shared library of the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{process, repo};

/// The target whose programs are linked statically by default.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// Build `enas` without any library of the system, and check that it needs none and runs.
///
/// With the musl target installed (rustup target add x86_64-unknown-linux-musl) that is built, in a build folder of its
/// own. Otherwise the C library of the host's own target is linked in. Only the program is then linked again.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Builds the program, checks that it has no dynamic libraries, and runs it.
pub(crate) fn run(_: &Args) -> Result<()> {
    let program = if is_installed(MUSL)? { build_musl()? } else { link_statically()? };
    let needs = Command::new("ldd").arg(&program).output().context("cannot start ldd")?;
    let said = [needs.stdout, needs.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(is_static(&said), "{} needs libraries of the system: {}", program.display(), said.trim());
    work(&program)?;
    println!("static-build: {} needs no library of the system", program.display());
    Ok(())
}

/// Whether the output of `ldd` says that a program is statically linked.
fn is_static(said: &str) -> bool {
    said.contains("statically linked") || said.contains("not a dynamic executable")
}

fn build_musl() -> Result<PathBuf> {
    let folder = repo::target()?.join("static");
    let mut cargo = repo::cargo();
    cargo
        .args(["build", "--release", "--package", "enas-cli", "--target", MUSL, "--target-dir"])
        .arg(&folder);
    eprintln!("for {MUSL}");
    process::check(&mut cargo)?;
    Ok(folder.join(MUSL).join("release/enas"))
}

/// Links the release program with the host's C library. All other crates are those of `cargo build --release`.
fn link_statically() -> Result<PathBuf> {
    let mut cargo = repo::cargo();
    cargo.args(["rustc", "--release", "--package", "enas-cli", "--bin", "enas"]);
    cargo.args(["--", "-C", "target-feature=+crt-static"]);
    process::check(&mut cargo)?;
    Ok(repo::target()?.join("release/enas"))
}

/// Whether the standard library for a target is installed.
fn is_installed(target: &str) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(repo::root())
        .output()
        .context("cannot start rustc")?;
    Ok(output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Runs a search of one epoch, which uses threads, files, images and clocks of the C library that is linked in.
fn work(program: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let out = folder.path().join("search");
    let mut search = Command::new(program);
    process::check(search.args(["search", "--epochs", "1", "--quiet", "--out"]).arg(&out))?;
    ensure!(out.join("best.arc.json").is_file(), "search left no best.arc.json");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_says_of_static_programs_is_understood() {
        assert!(is_static("\tstatically linked\n"));
        assert!(is_static("\tnot a dynamic executable\n"));
        assert!(!is_static("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n"));
    }

    #[test]
    fn a_target_that_does_not_exist_is_not_installed() {
        assert!(is_installed(&crate::fuzz::host().unwrap()).unwrap());
        assert!(!is_installed("no-such-target").unwrap());
    }
}
