//! A stand-in for NVIDIA's toolkit: a compiler that writes empty files, and stub libraries whose functions all fail.
//!
//! Rust code compiles and links with them; the program starts and finds no GPU.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, repo};

/// The script that replaces nvcc.
const NVCC: &str = include_str!("stand_in.sh");
/// The version that it claims, in the format of cudarc's build script.
pub(crate) const VERSION: &str = "13000";
/// The libraries: the name for linkers, and the file name that programs load.
const LIBRARIES: [(&str, &str); 6] = [
    ("cuda", "libcuda.so.1"),
    ("nvrtc", "libnvrtc.so.13"),
    ("curand", "libcurand.so.10"),
    ("cublas", "libcublas.so.13"),
    ("cublasLt", "libcublasLt.so.13"),
    ("cudart", "libcudart.so.13"),
];
/// The return value of every function: `CUDA_ERROR_STUB_LIBRARY`.
const FAILURE: i32 = 34;
/// Functions of the CUDA runtime that only nvcc's code for the host calls; no source in Rust declares them.
const RUNTIME: [&str; 10] = [
    "__cudaGetKernel",
    "__cudaInitModule",
    "__cudaLaunchKernel",
    "__cudaPopCallConfiguration",
    "__cudaPushCallConfiguration",
    "__cudaRegisterFatBinary",
    "__cudaRegisterFatBinaryEnd",
    "__cudaRegisterFunction",
    "__cudaRegisterVar",
    "__cudaUnregisterFatBinary",
];

/// Writes the compiler and returns the directory that serves as `CUDA_HOME`.
///
/// # Errors
/// If the files cannot be written.
pub(crate) fn home() -> Result<PathBuf> {
    let home = repo::target()?.join("cuda/stand-in");
    let nvcc = home.join("bin/nvcc");
    write(&nvcc, NVCC)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&nvcc, runs).with_context(|| format!("cannot change {}", nvcc.display()))?;
    }
    Ok(home)
}

/// Builds the libraries with the C compiler of this machine and returns their directory.
///
/// # Errors
/// If there is no C compiler, or files cannot be read or written.
pub(crate) fn libraries() -> Result<PathBuf> {
    let folder = home()?.join("lib64");
    let mut names = functions(&sources()?)?;
    names.extend(RUNTIME.map(str::to_owned));
    let body = |name: &String| format!("int {name}(void) {{ return {FAILURE}; }}\n");
    let source = folder.join("stubs.c");
    let text: String = names.iter().map(body).collect();
    if fs::read_to_string(&source).is_ok_and(|old| old == text) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let source_of_all = folder.join("new.c");
    write(&source_of_all, &text)?;
    for (name, file) in LIBRARIES {
        let mut cc = Command::new("cc");
        cc.current_dir(&folder).args(["-w", "-fno-builtin", "-shared", "-fPIC", "-o", file]);
        process::check(cc.arg(format!("-Wl,-soname,{file}")).arg(&source_of_all))?;
        let link = folder.join(format!("lib{name}.so"));
        fs::copy(folder.join(file), &link).with_context(|| format!("cannot write {}", link.display()))?;
    }
    // Written last, as it marks the libraries as complete.
    fs::rename(&source_of_all, &source).with_context(|| format!("cannot write {}", source.display()))?;
    Ok(folder)
}

/// The files in which cudarc and candle declare NVIDIA's functions and those of candle's own kernels.
fn sources() -> Result<Vec<PathBuf>> {
    let output = repo::cargo()
        .args(["metadata", "--format-version", "1", "--all-features"])
        .output()
        .context("cannot start cargo metadata")?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata did not answer in JSON")?;
    let folder = |name: &str| -> Result<PathBuf> {
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let package = packages.iter().find(|package| package["name"] == name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let Some(folder) = manifest.and_then(|path| Path::new(path).parent()) else {
            bail!("{name} is not among the dependencies");
        };
        Ok(folder.join("src"))
    };
    let cudarc = folder("cudarc")?;
    let parts = ["driver", "runtime", "nvrtc", "curand", "cublas", "cublaslt"];
    let mut sources: Vec<PathBuf> = parts.iter().map(|part| cudarc.join(part).join("sys/mod.rs")).collect();
    sources.push(folder("candle-kernels")?.join("ffi.rs"));
    Ok(sources)
}

/// The names of all functions that the sources declare.
fn functions(sources: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
        names.extend(declared(&text));
    }
    Ok(names)
}

/// The functions in the blocks `extern "C" { … }` of a source, that is, those without a body.
fn declared(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("extern \"C\" {").skip(1).flat_map(|block| {
        let block = block.split('}').next().unwrap_or_default();
        let name = |rest: &str| rest.split('(').next().unwrap_or_default().trim().to_owned();
        block.split("fn ").skip(1).map(name).collect::<Vec<_>>()
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    // Unchanged files keep their modification time, which build scripts compare.
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_functions_are_found() {
        let text = "pub unsafe fn cuA() { { extern \"C\" {\n fn cuA(x: *mut u8) -> R; } cuA(x) } }\n\
                    extern \"C\" {\n    pub fn launch_b(\n        n: i32,\n    );\n    pub fn launch_c();\n}\n";
        assert_eq!(declared(text).collect::<Vec<_>>(), ["cuA", "launch_b", "launch_c"]);
        assert_eq!(declared("fn ordinary() {}").count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_compiler_writes_what_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let nvcc = folder.path().join("nvcc");
        fs::write(&nvcc, NVCC).expect("written");
        let run = |arguments: &[&str]| {
            let mut command = Command::new("sh");
            let output = command.current_dir(folder.path()).arg(&nvcc).args(arguments).output();
            let output = output.expect("it starts");
            assert!(output.status.success(), "{arguments:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(run(&["--version"]).lines().nth(3).is_some_and(|line| line.contains("release 13.0,")));
        run(&["--gpu-architecture=sm_80", "--ptx", "--output-directory", ".", "-O3", "src/a.cu"]);
        run(&["-c", "-o", "b.o", "b.cu"]);
        run(&["--lib", "-o", "c.a", "b.o"]);
        for name in ["a.ptx", "b.o", "c.a"] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
    }
}
