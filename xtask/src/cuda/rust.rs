//! The Rust part of the GPU build: clippy, the program, the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::compiler::{Compiler, has_gpu};
use super::stand_in;
use crate::{process, repo};

/// A search step that takes milliseconds.
const TINY_STEP: &str = "bench --mode search-step --batch 4 --size 8 --filters 4 --layers 1 --cells 2 --pools 2 --aux 0 --warmup 0 --iters 1";

/// Beginnings of the messages with which the program ends if the GPU is not available.
const NO_GPU: [&str; 2] = ["error: no device cuda:", "error: the NVIDIA driver does not start"];

/// Lints the workspace with the feature `cuda`.
pub(crate) fn lint(compiler: Option<&Compiler>) -> Result<String> {
    let crates = crates_with_feature(&repo::metadata()?);
    ensure!(!crates.is_empty(), "no crate has the feature `cuda`");
    let arguments = ["clippy", "--release", "--workspace", "--all-targets", "--features", "cuda"];
    cargo(&[&arguments[..], &["--", "-D", "warnings"]].concat(), &environment(compiler)?)?;
    let kernels = if compiler.is_some() { "" } else { ", kernels left out" };
    Ok(format!("no warnings in {}{kernels}", crates.join(", ")))
}

/// The names of this workspace's crates that have the feature `cuda`.
fn crates_with_feature(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages
        .iter()
        .filter(|package| package["features"]["cuda"].is_array())
        .filter_map(|package| Some(package["name"].as_str()?.to_owned()))
        .collect()
}

/// Runs the tests of the kernels on the emulated GPU.
pub(crate) fn emulate() -> Result<String> {
    cargo(&["test", "--release", "--package", "enas-emulator"], &[])?;
    // All golden sets: `cargo test` checks the cheapest ones.
    let golden = ["test", "--release", "--package", "enas-child", "--test", "golden", "gpu"];
    cargo(&golden, &[("ENAS_EMULATED_GOLDENS", "all".into())])?;
    Ok("the kernels' sources pass their tests on the emulated GPU".to_owned())
}

/// Links a program that uses candle's CUDA and our kernels against stub libraries whose functions all fail, and runs
/// it.
///
/// Code for the CPU must work, and nothing may look for a GPU.
pub(crate) fn link() -> Result<String> {
    let environment = [environment(None)?, stand_in_libraries()?].concat();
    let program = ["--package", "enas-kernels", "--test", "candle", "--features", "cuda"];
    cargo(&[&["test", "--release"], &program[..]].concat(), &environment)?;
    Ok("candle's CUDA and ours are in one program, which works on the CPU".to_owned())
}

/// Builds the program with its kernels. With a GPU the tests run on it; without one the program must report that.
pub(crate) fn program(compiler: &Compiler) -> Result<String> {
    let mut environment = environment(Some(compiler))?;
    environment.extend(if has_gpu() { libraries_of(compiler) } else { stand_in_libraries()? });
    cargo(
        &["build", "--release", "--package", "enas-cli", "--bin", "enas", "--features", "cuda"],
        &environment,
    )?;
    let enas = repo::target()?.join("release/enas").with_extension(env::consts::EXE_EXTENSION);
    let enas = Program { path: enas, environment: &environment };
    runs_on_the_cpu(&enas)?;
    if end(&enas, &format!("{TINY_STEP} --device cuda"))?.code == Some(0) {
        eprintln!("there is a GPU: the tests run on it");
        let crates = ["enas-kernels", "enas-emulator", "enas-child", "enas-controller"];
        let crates = crates.map(|name| ["--package", name]).concat();
        cargo(&[&["test", "--release", "--features", "cuda"], &crates[..]].concat(), &environment)?;
        return Ok("all tests pass on the GPU of this machine".to_owned());
    }
    let message = refuses(&enas, "cuda")?;
    refuses(&enas, "cuda:7")?;
    Ok(format!(
        "nothing ran on a GPU, there is none: --device cpu works, --device cuda ends with \"{message}\""
    ))
}

/// Runs one step on the CPU with a program that has CUDA built in.
fn runs_on_the_cpu(enas: &Program<'_>) -> Result<()> {
    let arguments = format!("{TINY_STEP} --device cpu");
    let end = end(enas, &arguments)?;
    ensure!(end.code == Some(0), "enas {arguments} failed: {}", end.message);
    Ok(())
}

/// Runs a search on a missing device, which must end immediately with a clear message and without files. Returns the
/// message.
fn refuses(enas: &Program<'_>, device: &str) -> Result<String> {
    let arguments = format!("search --device {device}");
    let End { code, message, left } = end(enas, &arguments)?;
    ensure!(code == Some(1), "enas {arguments} ended with {code:?} instead of 1: {message}");
    ensure!(is_clear(&message), "enas {arguments} gives an unexpected message: {message}");
    ensure!(left.is_empty(), "enas {arguments} leaves {left:?} behind");
    Ok(message)
}

/// Whether a message is one line that says what is missing.
fn is_clear(message: &str) -> bool {
    message.lines().count() == 1 && NO_GPU.iter().any(|beginning| message.starts_with(beginning))
}

/// A program with its environment variables.
struct Program<'a> {
    path: PathBuf,
    environment: &'a [(&'static str, OsString)],
}

/// The outcome of a run of the program.
struct End {
    code: Option<i32>,
    /// The text on standard error.
    message: String,
    /// The files that it left in its directory.
    left: Vec<PathBuf>,
}

/// Runs the program in an empty directory.
fn end(enas: &Program<'_>, arguments: &str) -> Result<End> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    eprintln!("enas {arguments}");
    let output = Command::new(&enas.path)
        .current_dir(folder.path())
        .args(arguments.split(' '))
        .envs(enas.environment.iter().map(|(name, value)| (name, value)))
        .output()
        .with_context(|| format!("cannot start {}", enas.path.display()))?;
    let left = fs::read_dir(folder.path()).context("cannot read the temporary folder")?;
    Ok(End {
        code: output.status.code(),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        left: left.filter_map(|entry| Some(entry.ok()?.path())).collect(),
    })
}

/// Runs cargo with these environment variables.
fn cargo(arguments: &[&str], environment: &[(&str, OsString)]) -> Result<()> {
    let mut command = repo::cargo();
    command.args(arguments).env_remove("ENAS_CUDA_STUB");
    environment.iter().for_each(|(name, value)| _ = command.env(name, value));
    eprintln!("cargo {}", arguments.join(" "));
    process::check(&mut command)
}

/// The variables for the build scripts of candle, of cudarc and of our kernels: the given compiler, or the stand-in.
///
/// Variables that are set already are kept, except that of the compiler.
fn environment(compiler: Option<&Compiler>) -> Result<Vec<(&'static str, OsString)>> {
    let mut variables = match compiler {
        Some(compiler) => vec![("NVCC", compiler.nvcc.clone().into_os_string())],
        None => {
            let home = stand_in::home()?;
            let nvcc = home.join("bin/nvcc").into_os_string();
            let version = stand_in::VERSION.into();
            vec![
                ("NVCC", nvcc),
                ("CUDA_HOME", home.into_os_string()),
                ("CUDARC_CUDA_VERSION", version),
                ("ENAS_CUDA_STUB", "1".into()),
            ]
        }
    };
    if let Some(compiler) = compiler {
        let toolkit = compiler.nvcc.parent().and_then(Path::parent).filter(|home| home.is_dir());
        let version = compiler.cudarc_version();
        let found = [
            ("CUDA_HOME", toolkit.map(|home| home.as_os_str().to_owned())),
            ("CUDARC_CUDA_VERSION", version.map(OsString::from)),
        ];
        let unset = |(name, _): &(&str, _)| env::var_os(name).is_none();
        variables.extend(found.into_iter().filter(unset).filter_map(|(name, value)| Some((name, value?))));
    }
    // Otherwise candle's build script queries a GPU for its architecture, and there may be none.
    if env::var_os("CUDA_COMPUTE_CAP").is_none() && !(compiler.is_some() && has_gpu()) {
        variables.push(("CUDA_COMPUTE_CAP", "80".into()));
    }
    Ok(variables)
}

/// Variables with which linkers and programs find the stub libraries. Linkers search a toolkit's own directories
/// first.
fn stand_in_libraries() -> Result<Vec<(&'static str, OsString)>> {
    Ok(found_in(&stand_in::libraries()?))
}

/// Variables with which linkers and programs find the libraries of a compiler from Python packages. Those of a
/// toolkit are where the system's loader finds them.
fn libraries_of(compiler: &Compiler) -> Vec<(&'static str, OsString)> {
    let home = compiler.nvcc.parent().and_then(Path::parent);
    let folder = home.map(|home| home.join("lib")).filter(|lib| lib.join("libcublas.so").exists());
    folder.map(|folder| found_in(&folder)).unwrap_or_default()
}

fn found_in(libraries: &Path) -> Vec<(&'static str, OsString)> {
    ["LIBRARY_PATH", "LD_LIBRARY_PATH"].map(|name| (name, before(libraries, name))).into()
}

/// The list of directories in a variable, with `folder` in front.
fn before(folder: &Path, variable: &str) -> OsString {
    let listed = env::var_os(variable).unwrap_or_default();
    let all = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&listed));
    env::join_paths(all.filter(|path| !path.as_os_str().is_empty())).unwrap_or_else(|_| folder.into())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    /// A program that consists of shell commands.
    fn script(folder: &Path, commands: &str) -> Program<'static> {
        let path = folder.join("enas");
        fs::write(&path, format!("#!/bin/sh\n{commands}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        Program { path, environment: &[] }
    }

    #[test]
    fn a_refusal_is_one_clear_line_with_exit_code_1_and_no_trace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refusal = |commands: &str| {
            refuses(&script(folder.path(), commands), "cuda").map_err(|error| error.to_string())
        };
        let say = "echo 'error: the NVIDIA driver does not start: x' >&2";
        assert_eq!(refusal(&format!("{say}; exit 1")).unwrap(), "error: the NVIDIA driver does not start: x");
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
