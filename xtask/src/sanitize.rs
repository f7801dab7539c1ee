//! `cargo xtask sanitize`: runs the kernels' tests with checks of every memory access.
//!
//! AddressSanitizer is part of the stable compiler, but its flag requires `RUSTC_BOOTSTRAP`. That is acceptable for a
//! check, but not for a product.
//!
//! Miri would detect more, but cannot run code that uses vector instructions. Valgrind also detects reads of
//! uninitialised memory, which AddressSanitizer does not.

use std::time::Instant;

use anyhow::Result;

use crate::{fuzz, process, repo};

/// Run the tests of the kernels, which hold all unsafe code, under AddressSanitizer or valgrind.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use valgrind, on the instruction sets it knows: much slower, and sees reads of unwritten memory as well
    #[arg(long)]
    valgrind: bool,
    /// Only tests whose names contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

impl Args {
    /// The arguments of `cargo xtask ci`.
    pub(crate) fn of_ci() -> Self {
        Self { valgrind: false, filter: None }
    }
}

/// The instruction sets that valgrind supports.
const LEVELS: [&str; 2] = ["portable", "avx2"];

/// Builds and runs the tests, without candle, which other users of the kernels need.
pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    if args.valgrind {
        LEVELS.iter().try_for_each(|level| valgrind(level, args))?
    } else {
        address(args)?
    }
    println!("sanitize: no wrong access in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn address(args: &Args) -> Result<()> {
    let mut cargo = tests("asan", args)?;
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes");
    // Leaks are not reported, because the thread pool lives until the end.
    cargo.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=1");
    process::check(&mut cargo)
}

fn valgrind(level: &str, args: &Args) -> Result<()> {
    eprintln!("valgrind, instruction set {level}");
    let mut cargo = tests("valgrind", args)?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", fuzz::host()?.to_uppercase().replace('-', "_"));
    cargo.env(runner, "valgrind --quiet --error-exitcode=99 --leak-check=no");
    cargo.env("ENAS_SIMD", level).env("PROPTEST_CASES", "4");
    process::check(&mut cargo)
}

/// The command that builds the kernels' tests in a separate directory and runs them.
fn tests(folder: &str, args: &Args) -> Result<std::process::Command> {
    let mut cargo = repo::cargo();
    cargo.args(["test", "--release", "--package", "enas-kernels", "--lib", "--tests"]);
    // With an explicit target, build scripts and procedural macros are built without the flags.
    cargo.args(["--target", &fuzz::host()?, "--target-dir"]).arg(repo::target()?.join(folder));
    // Most of the time goes into the build: libraries are not optimised, and the kernels not as one unit.
    cargo.args(["--config", "profile.release.package.\"*\".opt-level=0"]);
    cargo.args(["--config", "profile.release.package.enas-kernels.codegen-units=16"]);
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    // Reports contain line numbers.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only").env("CARGO_PROFILE_RELEASE_STRIP", "none");
    cargo.args(args.filter.iter());
    Ok(cargo)
}
