//! The program `enas` as a process: running it and reading what came back.
//!
//! It is in the same build folder as the test, so only tests of the package that builds it can use this.

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::OnceLock;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// An arc of one node per cell, the quickest there is.
pub const TINY_ARC: &str = "0 0 1 2 0 3 1 4";

/// Settings of a network that takes a second for an epoch of the digits.
pub const TINY: [&str; 8] = [
    "--set",
    "child.filters=4",
    "--set",
    "child.layers=1",
    "--set",
    "child.reductions=two",
    "--set",
    "run.batch_size=256",
];

/// The same for a search, with cells of one node and few candidates.
pub const TINY_SEARCH: [&str; 22] = [
    "--set",
    "child.nodes=1",
    "--set",
    "select.samples=4",
    "--set",
    "select.random=3",
    "--set",
    "controller.steps=2",
    "--set",
    "reward.batch_size=40",
    "--set",
    "warmup.updates=0",
    "--set",
    "finals.steps=2",
    "--set",
    "finals.policy=2",
    "--set",
    "finals.wide=1",
    "--set",
    "finals.mutants=1",
    "--set",
    "finals.controls=1",
];

/// The program, in a folder of its own.
pub fn enas(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("enas").unwrap();
    // In help texts as wide as that, no line is wrapped.
    command.current_dir(folder).env_remove("RUST_LOG").env("COLUMNS", "1000");
    command
}

/// Starts the program in a folder, with pipes for what it prints.
pub fn start(folder: &Path, args: &[&str]) -> Child {
    std::process::Command::new(cargo_bin("enas"))
        .current_dir(folder)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program to its end.
pub fn run(folder: &Path, args: &[&str]) -> Output {
    enas(folder).args(args).output().unwrap()
}

/// Runs the program, which must succeed, and gives its stdout.
pub fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs the program with `--json`; stdout must be one document.
pub fn json(folder: &Path, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let text = stdout(folder, &args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// Runs the program, which must fail with `code`, no stdout and one error that contains `fragment`.
pub fn refused(folder: &Path, args: &[&str], code: i32, fragment: &str) {
    let output = run(folder, args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{args:?}: {stderr}");
    assert!(stderr.contains(fragment), "{args:?}: no {fragment:?} in: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{args:?}: {stderr}");
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The keys of a JSON object.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A temporary folder.
pub fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A run of `enas train` on the digits that all tests of models share, and what it printed.
#[derive(Debug)]
pub struct Trained {
    folder: TempDir,
    /// What it printed with `--json`.
    pub printed: Value,
}

impl Trained {
    /// The folder that the program ran in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the model.
    pub fn model(&self) -> String {
        self.folder().join(self.printed["model"].as_str().unwrap()).display().to_string()
    }
}

/// Trains once for all tests.
pub fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = temp();
        let args = [&["train", "--arc", TINY_ARC, "--epochs", "2"], &TINY[..]].concat();
        let printed = json(folder.path(), &args);
        Trained { folder, printed }
    })
}
