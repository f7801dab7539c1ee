//! `cargo xtask fuzz`: runs libFuzzer on everything that reads untrusted input.
//!
//! The targets are in `fuzz/`, in the layout of `cargo fuzz`, but that program is not needed. It builds with coverage
//! counters and AddressSanitizer, which the stable compiler also can (see [`crate::sanitize`]), and runs each target.
//!
//! libFuzzer is guided by coverage, so it finds more than random mutation. The same targets serve short and long
//! runs.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, repo};

/// Run generated input through everything that reads files or requests of others.
///
/// Replays the inputs in `fuzz/corpus` and `fuzz/regressions`, then tries a fixed number of mutated ones, which are the
/// same in every run on one machine. An input that breaks something is kept in `fuzz/artifacts`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Try new inputs for so long per target, and keep what they find for the next time
    #[arg(long)]
    seconds: Option<u64>,
}

impl Args {
    /// The arguments of `cargo xtask ci`.
    pub(crate) fn of_ci() -> Self {
        Self { targets: Vec::new(), seconds: None }
    }
}

/// The targets, each with the number of inputs that takes about ten seconds on one core.
const TARGETS: [(&str, u64); 11] = [
    ("arcs", 8_000),
    ("checkpoints", 100),
    ("cifar", 4_000),
    ("config", 600),
    ("http", 1_500),
    ("idx", 15_000),
    ("images", 2_500),
    ("logs", 200),
    ("models", 6_000),
    ("records", 1_000),
    ("zips", 2_500),
];

/// The test images of `enas-data` are initial inputs of this target.
const TEST_IMAGES: (&str, &str) = ("images", "crates/enas-data/tests/images");

/// Flags for coverage counters and AddressSanitizer, as used by `cargo fuzz`.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
                     -Zsanitizer=address";

/// Limits that count as failures in addition to panics: seconds per input, megabytes per allocation and in total.
const LIMITS: [&str; 3] = ["-timeout=60", "-malloc_limit_mb=256", "-rss_limit_mb=512"];

/// Builds the targets and runs the chosen ones.
pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.targets {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        ensure!(
            TARGETS.iter().any(|(known, _)| known == name),
            "there is no target {name}; targets: {names}"
        );
    }
    let folder = repo::root().join("fuzz");
    let programs = build(&folder)?;
    let chosen = |(name, _): &&(&str, u64)| args.targets.is_empty() || args.targets.iter().any(|t| t == name);
    let chosen: Vec<&(&str, u64)> = TARGETS.iter().filter(chosen).collect();
    let one = |(name, tries): &(&str, u64)| -> Result<u64> {
        let start = Instant::now();
        let executed = try_out(&folder, &programs.join(name), name, *tries, args)?;
        println!("fuzz: {name:<12} {executed:>9} inputs {:>6.1} s", start.elapsed().as_secs_f64());
        Ok(executed)
    };
    let mut done = 0;
    // Two at a time: each target uses one core.
    for pair in chosen.chunks(2) {
        let executed: Vec<Result<u64>> = thread::scope(|scope| {
            let running: Vec<_> = pair.iter().map(|target| scope.spawn(|| one(target))).collect();
            running.into_iter().map(|target| target.join().expect("a target ends or is an error")).collect()
        });
        for executed in executed {
            done += executed?;
        }
    }
    println!("fuzz: {done} inputs for {} targets, no failures", chosen.len());
    Ok(())
}

/// Builds all targets and returns the directory of the programs.
fn build(folder: &Path) -> Result<PathBuf> {
    // Tests the versions of libraries that the product is built with.
    fs::copy(repo::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let host = host()?;
    let target = repo::target()?.join("fuzz");
    let mut cargo = repo::cargo();
    // With an explicit target, build scripts and procedural macros are built without the flags.
    cargo.args(["build", "--release", "--bins", "--target", &host, "--target-dir"]).arg(&target);
    cargo.current_dir(folder).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS);
    process::check(&mut cargo)?;
    Ok(target.join(host).join("release"))
}

/// The target triple of this machine.
pub(crate) fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV does not name the host")?.to_owned())
}

/// Runs one target and returns the number of inputs it tried.
fn try_out(folder: &Path, program: &Path, name: &str, tries: u64, args: &Args) -> Result<u64> {
    let scratch = scratch()?;
    let corpus = match args.seconds {
        Some(_) => repo::target()?.join("fuzz-corpus").join(name),
        None => scratch.path().join("corpus"),
    };
    let artifacts = folder.join("artifacts").join(name);
    let files = scratch.path().join("files");
    for folder in [&corpus, &artifacts, &files] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let log = repo::target()?.join(format!("fuzz-{name}.log"));
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let amount = match args.seconds {
        Some(seconds) => format!("-max_total_time={seconds}"),
        None => format!("-runs={tries}"),
    };
    let status = Command::new(program)
        .args([&amount, "-seed=1", "-print_final_stats=1"])
        .args(LIMITS)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(inputs(folder, &corpus, name))
        .env("TMPDIR", &files)
        .env("RAYON_NUM_THREADS", "1")
        // Freed memory in the quarantine counts as memory in use, so the quarantine is kept small.
        .env("ASAN_OPTIONS", "quarantine_size_mb=16:detect_leaks=0")
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    if !status.success() {
        let lines: Vec<&str> = said.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        bail!(
            "target {name} ended with {status}: the input is in {artifacts}, its output in {log}\n\
             repeat it with: {program} FILE; after the fix, keep the input in fuzz/regressions/{name}",
            artifacts = artifacts.display(),
            log = log.display(),
            program = program.display()
        );
    }
    executed(&said).with_context(|| format!("{} does not say how many inputs were tried", log.display()))
}

/// The directories with inputs. libFuzzer adds new inputs to the first one.
fn inputs(folder: &Path, corpus: &Path, name: &str) -> Vec<PathBuf> {
    let mut all =
        vec![corpus.to_owned(), folder.join("corpus").join(name), folder.join("regressions").join(name)];
    if name == TEST_IMAGES.0 {
        all.push(repo::root().join(TEST_IMAGES.1));
    }
    all.retain(|folder| folder.is_dir());
    all
}

/// A directory for the files of the targets, in memory if possible.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    tempfile::tempdir_in(folder).context("cannot create a temporary folder")
}

/// The number of tried inputs, from the statistics of libFuzzer.
fn executed(said: &str) -> Option<u64> {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_number_of_inputs_is_read_from_the_statistics() {
        let said = "Done 12 runs\nstat::number_of_executed_units: 4321\nstat::average_exec_per_sec: 7\n";
        assert_eq!(executed(said), Some(4321));
        assert_eq!(executed("nothing"), None);
    }

    #[test]
    fn every_target_is_run_and_has_first_inputs() {
        let folder = repo::root().join("fuzz");
        let files = fs::read_dir(folder.join("fuzz_targets")).unwrap();
        let there: BTreeSet<String> = files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(there, TARGETS.map(|(name, _)| name.to_owned()).into());
        for (name, _) in TARGETS {
            let files = |folder: PathBuf| fs::read_dir(folder).map_or(0, Iterator::count);
            let all: usize = inputs(&folder, Path::new("/nowhere"), name).into_iter().map(files).sum();
            assert!(all > 1, "{name} has {all} inputs");
        }
    }

    #[test]
    fn an_unknown_target_is_refused_with_those_that_there_are() {
        let args = Args { targets: vec!["arks".into()], ..Args::of_ci() };
        assert!(run(&args).unwrap_err().to_string().starts_with("there is no target arks; targets: arcs, "));
    }
}
