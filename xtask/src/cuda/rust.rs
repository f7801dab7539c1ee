//! The Rust side of the GPU build: clippy, the program, the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::compiler::Compiler;
use crate::{ci, repo};

/// A search step that takes milliseconds.
const TINY_STEP: &str = "bench --mode search-step --batch 4 --size 8 --filters 4 --layers 1 --cells 2 --pools 2 --aux 0 --warmup 0 --iters 1";

/// How the program ends where there is no such GPU; the beginnings of messages.
const NO_GPU: [&str; 3] = [
    "error: no NVIDIA driver was found",
    "error: no device cuda:",
    "error: the NVIDIA driver does not start",
];

/// Lints the crates that know the feature.
pub(crate) fn lint(compiler: Option<&Compiler>) -> Result<String> {
    let crates = crates_with_feature(&repo::metadata()?);
    ensure!(!crates.is_empty(), "no crate has the feature `cuda`");
    let mut arguments = vec!["clippy", "--release", "--all-targets", "--features", "cuda"];
    crates.iter().for_each(|name| arguments.extend(["--package", name]));
    arguments.extend(["--", "-D", "warnings"]);
    cargo(&arguments, compiler)?;
    let kernels = if compiler.is_some() { "" } else { ", kernels left out" };
    Ok(format!("no warnings in {}{kernels}", crates.join(", ")))
}

/// The names of our crates that have the feature `cuda`.
fn crates_with_feature(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages
        .iter()
        .filter(|package| package["features"]["cuda"].is_array())
        .filter_map(|package| Some(package["name"].as_str()?.to_owned()))
        .collect()
}

/// The tests that run kernels, on the emulated GPU.
pub(crate) fn emulate() -> Result<String> {
    cargo(&["test", "--release", "--package", "enas-emulator"], None)?;
    Ok("the kernels' sources pass their tests on the emulated GPU".to_owned())
}

/// Builds the program with its kernels. With a GPU the tests run on it; without one the program must say so.
pub(crate) fn program(compiler: &Compiler) -> Result<String> {
    cargo(
        &["build", "--release", "--package", "enas-cli", "--bin", "enas", "--features", "cuda"],
        Some(compiler),
    )?;
    let enas = repo::target()?.join("release/enas").with_extension(env::consts::EXE_EXTENSION);
    runs_on_the_cpu(&enas)?;
    if end(&enas, &format!("{TINY_STEP} --device cuda"))?.code == Some(0) {
        eprintln!("there is a GPU: the tests run on it");
        let crates = ["--package", "enas-kernels", "--package", "enas-emulator", "--package", "enas-child"];
        cargo(&[&["test", "--release", "--features", "cuda"], &crates[..]].concat(), Some(compiler))?;
        return Ok("all tests pass on the GPU of this machine".to_owned());
    }
    let message = refuses(&enas, "cuda")?;
    refuses(&enas, "cuda:7")?;
    Ok(format!(
        "nothing ran on a GPU, there is none: --device cpu works, --device cuda ends with \"{message}\""
    ))
}

/// One step on the CPU, by a program that has CUDA built in.
fn runs_on_the_cpu(enas: &Path) -> Result<()> {
    let arguments = format!("{TINY_STEP} --device cpu");
    let end = end(enas, &arguments)?;
    ensure!(end.code == Some(0), "enas {arguments} failed: {}", end.message);
    Ok(())
}

/// A search on a device that there is not must end at once, with a clear message and without a trace; the message.
fn refuses(enas: &Path, device: &str) -> Result<String> {
    let arguments = format!("search --device {device}");
    let End { code, message, left } = end(enas, &arguments)?;
    ensure!(code == Some(1), "enas {arguments} ended with {code:?} instead of 1: {message}");
    ensure!(is_clear(&message), "enas {arguments} gives an unexpected message: {message}");
    ensure!(left.is_empty(), "enas {arguments} leaves {left:?} behind");
    Ok(message)
}

/// One line that says what is missing.
fn is_clear(message: &str) -> bool {
    message.lines().count() == 1 && NO_GPU.iter().any(|beginning| message.starts_with(beginning))
}

/// How a run of the program ended.
struct End {
    code: Option<i32>,
    /// What it wrote to standard error.
    message: String,
    /// What it left in its folder.
    left: Vec<PathBuf>,
}

/// Runs the program in an empty folder.
fn end(enas: &Path, arguments: &str) -> Result<End> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    eprintln!("enas {arguments}");
    let output = Command::new(enas)
        .current_dir(folder.path())
        .args(arguments.split(' '))
        .output()
        .with_context(|| format!("cannot start {}", enas.display()))?;
    let left = fs::read_dir(folder.path()).context("cannot read the temporary folder")?;
    Ok(End {
        code: output.status.code(),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        left: left.filter_map(|entry| Some(entry.ok()?.path())).collect(),
    })
}

/// cargo with the compiler of this check; without one the kernels are left empty.
fn cargo(arguments: &[&str], compiler: Option<&Compiler>) -> Result<()> {
    let mut command = repo::cargo();
    command.args(arguments);
    match compiler {
        Some(compiler) => command.env("NVCC", &compiler.nvcc).env_remove("ENAS_CUDA_STUB"),
        None => command.env("ENAS_CUDA_STUB", "1"),
    };
    eprintln!("cargo {}", arguments.join(" "));
    ci::check(&mut command)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    /// A program of a few shell commands.
    fn script(folder: &Path, commands: &str) -> PathBuf {
        let path = folder.join("enas");
        fs::write(&path, format!("#!/bin/sh\n{commands}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        path
    }

    #[test]
    fn a_refusal_is_one_clear_line_with_exit_code_1_and_no_trace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refusal = |commands: &str| {
            refuses(&script(folder.path(), commands), "cuda").map_err(|error| error.to_string())
        };
        let say = "echo 'error: no NVIDIA driver was found (x)' >&2";
        assert_eq!(refusal(&format!("{say}; exit 1")).unwrap(), "error: no NVIDIA driver was found (x)");
        assert!(refusal(&format!("{say}; exit 2")).unwrap_err().contains("ended with Some(2) instead of 1"));
        assert!(refusal(&format!("{say}; {say}; exit 1")).unwrap_err().contains("unexpected message"));
        assert!(refusal("echo panicked >&2; exit 1").unwrap_err().contains("unexpected message: panicked"));
        assert!(refusal(&format!("{say}; mkdir runs; exit 1")).unwrap_err().contains("leaves"));
    }

    #[test]
    fn crates_with_the_feature_are_found() {
        let metadata = json!({"packages": [
            {"name": "a", "features": {"cuda": ["b/cuda"]}},
            {"name": "b", "features": {"default": []}},
            {"name": "c", "features": {"cuda": []}},
        ]});
        assert_eq!(crates_with_feature(&metadata), ["a", "c"]);
        assert!(crates_with_feature(&json!({})).is_empty());
    }
}
