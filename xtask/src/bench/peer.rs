//! The same steps in PyTorch: the Python that runs them, and the environment in which they are fastest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::program::Program;
use crate::repo;

/// Advice for a missing PyTorch.
const REMEDY: &str = "make one with:\n  python3 -m venv V && V/bin/pip install -r benches/peer/requirements.txt\nand give --python V/bin/python";

/// The directories in which distributions install tcmalloc, and its file names.
const LIBRARY_FOLDERS: &[&str] =
    &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
const LIBRARY_NAMES: &[&str] = &["libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so", "libtcmalloc.so.4"];

/// PyTorch, ready to run.
pub(crate) struct Peer {
    pub(crate) program: Program,
    version: String,
    has_tcmalloc: bool,
}

impl Peer {
    /// A description for the table.
    pub(crate) fn described(&self) -> String {
        let allocator = if self.has_tcmalloc { "tcmalloc" } else { "the system's allocator" };
        format!("PyTorch {} with pinned threads and {allocator}", self.version)
    }
}

/// PyTorch in the given Python, or in `python3` if that can import it.
///
/// # Errors
/// If the given Python cannot import torch.
pub(crate) fn find(python: Option<&Path>) -> Result<Option<Peer>> {
    let path = python.unwrap_or(Path::new("python3"));
    match torch_version(path) {
        Ok(version) => Ok(Some(peer(path, version))),
        Err(reason) if python.is_some() => {
            bail!("--python: {reason}\nA Python with PyTorch is needed; {REMEDY}")
        }
        Err(reason) => {
            eprintln!(
                "only ours is timed: {reason}\nFor the comparison, a Python with PyTorch is needed; {REMEDY}"
            );
            Ok(None)
        }
    }
}

fn peer(python: &Path, version: String) -> Peer {
    let tcmalloc = tcmalloc(LIBRARY_FOLDERS);
    if tcmalloc.is_none() {
        eprintln!(
            "tcmalloc was not found, without which PyTorch is slower than it can be; \
             on Debian and Ubuntu: apt-get install libtcmalloc-minimal4"
        );
    }
    let has_tcmalloc = tcmalloc.is_some();
    let program = Program {
        name: "PyTorch",
        path: python.to_path_buf(),
        before: vec![repo::root().join("benches/peer/enas_torch.py").display().to_string()],
        environment: environment(tcmalloc),
    };
    Peer { program, version, has_tcmalloc }
}

/// The environment in which PyTorch is fastest: pinned threads, and memory that is not returned to the system.
fn environment(tcmalloc: Option<PathBuf>) -> Vec<(&'static str, String)> {
    let mut environment = vec![("OMP_PROC_BIND", "close".to_owned()), ("OMP_PLACES", "cores".to_owned())];
    if let Some(library) = tcmalloc {
        environment.push(("TCMALLOC_RELEASE_RATE", "0".to_owned()));
        environment.push(("LD_PRELOAD", library.display().to_string()));
    }
    environment
}

fn tcmalloc(folders: &[&str]) -> Option<PathBuf> {
    let paths =
        folders.iter().flat_map(|folder| LIBRARY_NAMES.iter().map(|name| Path::new(folder).join(name)));
    paths.into_iter().find(|path| path.is_file())
}

/// The version of PyTorch in this Python.
///
/// # Errors
/// A message that says why it cannot be imported.
fn torch_version(python: &Path) -> Result<String, String> {
    let shown = python.display();
    let output = Command::new(python)
        .args(["-c", "import torch; print(torch.__version__)"])
        .output()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.trim().lines().last().unwrap_or_default().to_owned();
        return Err(format!("{shown} cannot import torch: {last}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_was_asked_for_must_have_torch() {
        let error = find(Some(Path::new("no-such-python-here"))).err().unwrap().to_string();
        assert!(error.starts_with("--python: cannot start no-such-python-here"), "{error}");
        assert!(error.contains("pip install -r benches/peer/requirements.txt"), "{error}");
    }

    #[test]
    fn a_program_that_is_no_python_has_no_torch() {
        assert!(torch_version(Path::new("false")).unwrap_err().starts_with("false cannot import torch"));
    }

    #[test]
    fn tcmalloc_is_preloaded_where_it_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(tcmalloc(&["/no/such/folder", path]), None);
        let library = folder.path().join(LIBRARY_NAMES[0]);
        std::fs::write(&library, "").unwrap();
        assert_eq!(tcmalloc(&["/no/such/folder", path]), Some(library.clone()));
        assert!(environment(Some(library.clone())).contains(&("LD_PRELOAD", library.display().to_string())));
        assert_eq!(environment(None).len(), 2);
    }

    #[test]
    fn the_script_is_in_the_repository() {
        assert!(Path::new(&peer(Path::new("python3"), String::new()).program.before[0]).is_file());
    }
}
