//! `cargo xtask static-build`: builds a program that needs no shared library of the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{ci, fuzz, repo};

/// The target whose programs are linked statically by default.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// Build `enas` without any library of the system, and check that it needs none and runs.
///
/// With the musl target installed (rustup target add x86_64-unknown-linux-musl) that is built, else the host's own
/// target with its C library linked in. Either has a build folder of its own, so the first time builds everything.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise little: enough to see that the program links and runs
    #[arg(long)]
    quick: bool,
}

impl Args {
    pub(crate) fn of_ci() -> Self {
        Self { quick: true }
    }
}

/// Builds the program, checks that it has no dynamic libraries, and runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = build(if args.quick { "quick" } else { "release" })?;
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

fn build(profile: &str) -> Result<PathBuf> {
    let musl = is_installed(MUSL)?;
    let target = if musl { MUSL.to_owned() } else { fuzz::host()? };
    let folder = repo::target()?.join("static");
    let mut cargo = repo::cargo();
    cargo.args(["build", "--profile", profile, "--package", "enas-cli", "--target", &target, "--target-dir"]);
    cargo.arg(&folder);
    if !musl {
        // With an explicit target, build scripts and procedural macros are built without the flag.
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    eprintln!("for {target}");
    ci::check(&mut cargo)?;
    Ok(folder.join(target).join(profile).join("enas"))
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
    ci::check(search.args(["search", "--epochs", "1", "--quiet", "--out"]).arg(&out))?;
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
        assert!(is_installed(&fuzz::host().unwrap()).unwrap());
        assert!(!is_installed("no-such-target").unwrap());
    }
}
