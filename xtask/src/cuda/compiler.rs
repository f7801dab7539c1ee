//! Discovery of NVIDIA's compiler, nvcc, and of a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// An nvcc that starts.
pub(crate) struct Compiler {
    /// Its absolute path, or its name if it is on the search path.
    pub(crate) nvcc: PathBuf,
    /// The line of `--version` with the release: `Cuda compilation tools, release 13.0, V13.0.88`.
    pub(crate) version: String,
    /// The output of `--list-gpu-code`.
    pub(crate) known: String,
}

impl Compiler {
    /// Queries a compiler for its version and architectures.
    ///
    /// # Errors
    /// If it does not start or does not answer.
    pub(crate) fn ask(nvcc: PathBuf) -> Result<Self> {
        let answer = |argument: &str| -> Result<String> {
            let output = Command::new(&nvcc)
                .arg(argument)
                .output()
                .with_context(|| format!("cannot start the CUDA compiler {}", nvcc.display()))?;
            if !output.status.success() {
                bail!(
                    "{} {argument} failed: {}",
                    nvcc.display(),
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = answer("--version")?;
        let version = version.lines().find(|line| line.contains("release")).unwrap_or("unknown version");
        Ok(Self { version: version.to_owned(), known: answer("--list-gpu-code")?, nvcc })
    }

    /// The version in the format of cudarc's build script: 13000 for 13.0.
    pub(crate) fn cudarc_version(&self) -> Option<String> {
        let release = self.version.split("release ").nth(1)?.split([',', ' ']).next()?;
        let (major, minor) = release.split_once('.')?;
        Some(format!("{major}0{minor}0"))
    }
}

/// Whether the machine has a GPU with a driver.
pub(super) fn has_gpu() -> bool {
    Path::new("/dev/nvidia0").exists()
}

/// The compiler in the environment variables, with the rules of the build script of `enas-kernels`.
pub(super) fn named(nvcc: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    nvcc.or_else(|| home.map(|home| home.join("bin/nvcc")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_compiler_wins_over_a_toolkit() {
        let nvcc = Some("/n/nvcc".into());
        let home = Some("/cuda".into());
        assert_eq!(named(nvcc.clone(), home.clone()), nvcc);
        assert_eq!(named(None, home), Some("/cuda/bin/nvcc".into()));
        assert_eq!(named(None, None), None);
    }

    #[test]
    fn releases_are_numbers_for_cudarc() {
        let of = |version: &str| {
            let compiler =
                Compiler { nvcc: "nvcc".into(), version: version.to_owned(), known: String::new() };
            compiler.cudarc_version()
        };
        assert_eq!(of("Cuda compilation tools, release 13.0, V13.0.88").as_deref(), Some("13000"));
        assert_eq!(of("Cuda compilation tools, release 12.9, V12.9.1").as_deref(), Some("12090"));
        assert_eq!(of("unknown version"), None);
    }

    #[test]
    fn a_compiler_that_does_not_start_is_named() {
        let error = Compiler::ask("/nowhere/nvcc".into()).err().expect("there is none");
        assert_eq!(error.to_string(), "cannot start the CUDA compiler /nowhere/nvcc");
        let error = Compiler::ask("false".into()).err().expect("it fails");
        assert!(error.to_string().starts_with("false --version failed"), "{error}");
    }
}
