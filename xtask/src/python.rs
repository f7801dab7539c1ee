//! Checks our files in the programs of most users: exported networks in ONNX Runtime, events in TensorBoard.
//!
//! Both are Python packages, installed in an environment of their own. An export also checks itself with a runtime in
//! Rust; this check is independent of that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{process, repo};

/// The directory of the scripts, below the root.
const FOLDER: &str = "xtask/python";

/// Every operation in both cells, several loose ends, and an input that is a loose end of the reduction cell.
const ARC: &str = "0 0 1 1 0 2 1 3 0 4 2 0  1 0 1 1 1 2 1 3 1 4 2 3";

/// Grey images of an even size with two reductions, colour images of an odd size with three, and every method to
/// resize.
///
/// The last network knows that white is 4095 in images of 12 bits, and 2 in those of floats.
const NETWORKS: [(&str, &[&str]); 5] = [
    ("grey", &["data.image_size=28", "child.reductions=two"]),
    ("colour", &["data.image_size=33", "data.channels=3", "child.reductions=three", "data.resize=pad"]),
    ("crop", &["data.image_size=24", "data.channels=3", "child.reductions=two", "data.resize=crop"]),
    ("opencv", &["data.image_size=32", "child.reductions=two", "data.resize_filter=opencv"]),
    (
        "deep",
        &["data.image_size=24", "child.reductions=two", "data.white_level=4095", "data.float_white_level=2"],
    ),
];

/// Trains five small networks, exports them and runs them in ONNX Runtime. Reads the events of a training and of a
/// search with TensorBoard.
///
/// If Python or its packages are not available, prints that and passes, unless the environment variable `CI` is set.
pub(crate) fn run() -> Result<()> {
    let found = requirements().and_then(|wanted| environment(&repo::target()?.join("python"), &wanted));
    let python = match found {
        Ok(python) => python,
        Err(problem) if env::var_os("CI").is_none() => {
            println!("python: SKIPPED, the packages are not available: {problem:#}");
            return Ok(());
        }
        Err(problem) => return Err(problem.context("CI is set, so Python and its packages are needed")),
    };
    let script = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(repo::root().join(FOLDER).join(name));
        command
    };
    let enas = repo::release_binary(&[])?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let networks = NETWORKS.map(|(name, settings)| (folder.path().join(name), settings));
    for (network, settings) in &networks {
        export(&enas, network, settings)?;
    }
    let search = folder.path().join("search");
    let small = [
        "child.filters=4",
        "child.layers=1",
        "controller.steps=2",
        "select.samples=3",
        "warmup.updates=0",
        "finals.steps=5",
    ];
    let mut searching = Command::new(&enas);
    searching.args(["search", "--quiet", "--epochs", "2", "--out"]).arg(&search);
    process::check(with_settings(&mut searching, &small))?;

    let folders = || networks.iter().map(|(network, _)| network);
    process::check(script("onnx_check.py").args(folders()))?;
    process::check(script("predict_check.py").arg(&enas).args(folders()))?;
    process::check(script("tensorboard_check.py").arg(&networks[0].0))?;
    process::check(script("tensorboard_check.py").arg(&search))
}

fn with_settings<'a>(command: &'a mut Command, settings: &[&str]) -> &'a mut Command {
    settings.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    command
}

/// Trains a network for one epoch and exports it as `model.onnx`, with samples, to `folder`.
fn export(enas: &Path, folder: &Path, settings: &[&str]) -> Result<()> {
    let shown = folder.display().to_string();
    let small = ["child.filters=8", "child.layers=4", "child.nodes=3"];
    let mut train = Command::new(enas);
    train.args(["train", "--quiet", "--epochs", "1", "--arc", ARC, "--out", &shown]);
    process::check(with_settings(&mut train, &[&small[..], settings].concat()))?;
    let model = folder.join("model.safetensors");
    let out = folder.join("model.onnx");
    let mut export = Command::new(enas);
    export.arg("export").arg("--model").arg(model).arg("--out").arg(out).args(["--samples", &shown]);
    process::check(&mut export)
}

/// The packages of the check, as a requirements file of pip.
fn requirements() -> Result<String> {
    let path = repo::root().join(FOLDER).join("requirements.txt");
    fs::read_to_string(path).context("cannot read the list of packages")
}

/// Provides a Python environment in `folder` with the packages of the requirements file `wanted`. Returns its
/// interpreter.
///
/// A complete environment is reused until the list changes.
pub(crate) fn environment(folder: &Path, wanted: &str) -> Result<PathBuf> {
    let python = interpreter(folder);
    // Written last, so that an interrupted installation is repeated.
    let complete = folder.join("complete.txt");
    if fs::read_to_string(&complete).is_ok_and(|have| have == wanted) && python.is_file() {
        return Ok(python);
    }
    let host = if cfg!(windows) { "python" } else { "python3" };
    quietly(Command::new(host).args(["-m", "venv", "--clear"]).arg(folder))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, wanted).with_context(|| format!("cannot write {}", requirements.display()))?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    quietly(Command::new(&python).args(pip).arg(&requirements))?;
    fs::write(&complete, wanted).with_context(|| format!("cannot write {}", complete.display()))?;
    Ok(python)
}

/// The path of an environment's interpreter.
fn interpreter(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Runs a command without showing its output.
///
/// # Errors
/// If it fails; the message contains the last line that it printed.
fn quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let last = said.iter().flat_map(|text| text.lines()).next_back().unwrap_or("it printed nothing");
    bail!("{name} ended with {}: {last}", output.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_told_by_its_last_words() {
        let error = quietly(Command::new("sh").args(["-c", "echo first; echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("3: why"), "{error}");
        assert!(quietly(Command::new("sh").args(["-c", "exit 0"])).is_ok());
        let missing = quietly(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot start no-such-program-here"), "{missing}");
    }

    #[test]
    fn an_environment_that_is_complete_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let python = interpreter(folder.path());
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        fs::write(&python, "").unwrap();
        let wanted = requirements().unwrap();
        fs::write(folder.path().join("complete.txt"), &wanted).unwrap();
        assert_eq!(environment(folder.path(), &wanted).unwrap(), python);
    }
}
