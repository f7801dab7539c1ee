//! Installs NVIDIA's compiler from Python packages into a virtual environment, without a toolkit and without root.

use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use super::compiler::{Compiler, has_gpu, named};
use crate::process;

/// The parts of nvcc. A newer version would write PTX that the driver 580 refuses.
const PACKAGES: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
];
/// The libraries that candle's CUDA loads when a program starts, 600 MB; installed where there is a GPU to use them.
/// The runtime's library comes with the compiler.
const LIBRARIES: [&str; 3] =
    ["nvidia-cublas==13.1.0.3", "nvidia-curand==10.4.0.35", "nvidia-cuda-nvrtc==13.0.88"];

/// The compiler in `folder`, which is installed if necessary. `folder/home` serves as `CUDA_HOME`.
///
/// # Errors
/// If Python 3 with `venv` or the packages are not available.
pub(crate) fn compiler(folder: &Path) -> Result<Compiler> {
    let folder = absolute(folder).with_context(|| format!("no path: {}", folder.display()))?;
    if let Some(compiler) = find(&folder) {
        return Ok(compiler);
    }
    let remedy = "the CUDA compiler cannot be installed: this needs Linux, Python 3 with venv, and its package index; or install the CUDA toolkit and set CUDA_HOME";
    let environment = folder.join("python");
    let libraries: &[&str] = if has_gpu() { &LIBRARIES } else { &[] };
    let packages = [&PACKAGES, libraries].concat();
    eprintln!("installing {} into {}", packages.join(" "), folder.display());
    process::check(Command::new("python3").args(["-m", "venv"]).arg(&environment)).context(remedy)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&packages);
    process::check(&mut pip).context(remedy)?;
    let toolkit =
        toolkit(&environment).context("the packages are installed, but there is no nvcc in them")?;
    // Without a GPU programs are linked with stubs, also of the library that comes with the compiler.
    if has_gpu() {
        name_for_linkers(&toolkit.join("lib"))?;
    }
    link(&toolkit, &home(&folder))?;
    Compiler::ask(home(&folder).join("bin/nvcc"))
}

/// The compiler in the environment variables, else on the search path, else installed in `folder`; `None` if there is
/// none.
///
/// # Errors
/// If the environment names one that does not work.
pub(crate) fn find_any(folder: &Path) -> Result<Option<Compiler>> {
    if let Some(nvcc) = named(env::var_os("NVCC").map(Into::into), env::var_os("CUDA_HOME").map(Into::into)) {
        return Compiler::ask(nvcc).map(Some);
    }
    if let Ok(compiler) = Compiler::ask("nvcc".into()) {
        return Ok(Some(compiler));
    }
    Ok(find(folder))
}

/// The compiler that is installed in `folder`, if it works.
pub(crate) fn find(folder: &Path) -> Option<Compiler> {
    let nvcc = home(folder).join("bin/nvcc");
    if nvcc.is_file() { Compiler::ask(nvcc).ok() } else { None }
}

fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}

/// The directory in an environment's packages that has the layout of a CUDA toolkit.
fn toolkit(environment: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(environment.join("lib")).ok()?;
    pythons
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nvidia/cu13")))
        .find(|folder| folder.join("bin/nvcc").is_file())
}

/// Links `libX.so` to each `libX.so.N` in a folder: linkers look for the name without a number, which Python packages
/// do not have.
fn name_for_linkers(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((stem, _)) = name.split_once(".so.") {
            link(&path, &folder.join(format!("{stem}.so")))?;
        }
    }
    Ok(())
}

/// Makes `link` a symbolic link to `target` and replaces an earlier link.
fn link(target: &Path, link: &Path) -> Result<()> {
    if link.is_symlink() {
        fs::remove_file(link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(target, link);
    #[cfg(not(unix))]
    let linked = Err(std::io::Error::from(std::io::ErrorKind::Unsupported));
    linked.with_context(|| format!("cannot link {} to {}", link.display(), target.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_toolkit_among_packages_becomes_a_home() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let environment = folder.path().join("python");
        assert_eq!(toolkit(&environment), None);
        let inside = environment.join("lib/python3.99/site-packages/nvidia/cu13");
        fs::create_dir_all(inside.join("bin")).expect("created");
        assert_eq!(toolkit(&environment), None);
        fs::write(inside.join("bin/nvcc"), "").expect("written");
        assert_eq!(toolkit(&environment), Some(inside.clone()));
        link(&inside, &home(folder.path())).expect("linked");
        link(&inside, &home(folder.path())).expect("linked again");
        assert!(home(folder.path()).join("bin/nvcc").is_file());
        assert!(find(folder.path()).is_none(), "a file that does not run is no compiler");
    }

    #[test]
    fn libraries_get_the_names_that_linkers_look_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["libcudart.so.13", "libcudart_static.a"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        for _ in 0..2 {
            name_for_linkers(folder.path()).expect("linked");
        }
        let linked = fs::read_to_string(folder.path().join("libcudart.so")).expect("a library");
        assert_eq!(linked, "libcudart.so.13");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 3);
    }
}
