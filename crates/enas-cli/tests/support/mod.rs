//! What all tests of the program need: running it and looking at what came back.
#![allow(dead_code, reason = "each test target needs its own part of it")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// An arc of one node per cell, the quickest there is.
pub(crate) const TINY_ARC: &str = "0 0 1 2 0 3 1 4";

/// Settings of a network that takes a second for an epoch of the digits.
pub(crate) const TINY: [&str; 8] = [
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
pub(crate) const TINY_SEARCH: [&str; 22] = [
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
pub(crate) fn enas(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("enas").unwrap();
    // In help texts as wide as that, no line is wrapped.
    command.current_dir(folder).env_remove("RUST_LOG").env("COLUMNS", "1000");
    command
}

/// Runs the program to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    enas(folder).args(args).output().unwrap()
}

/// Runs the program, which must succeed, and gives its stdout.
pub(crate) fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs the program with `--json`; stdout must be one document.
pub(crate) fn json(folder: &Path, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let text = stdout(folder, &args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// Runs the program, which must fail with `code`, no stdout and one error that contains `fragment`.
pub(crate) fn refused(folder: &Path, args: &[&str], code: i32, fragment: &str) {
    let output = run(folder, args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{args:?}: {stderr}");
    assert!(stderr.contains(fragment), "{args:?}: no {fragment:?} in: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{args:?}: {stderr}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The keys of a JSON object.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

pub(crate) fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A run of `enas train` on the digits that all tests of models share, and what it printed.
pub(crate) struct Trained {
    folder: TempDir,
    pub(crate) printed: Value,
}

impl Trained {
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn model(&self) -> String {
        self.folder().join(self.printed["model"].as_str().unwrap()).display().to_string()
    }
}

/// Trains once for all tests.
pub(crate) fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = temp();
        let args = [&["train", "--arc", TINY_ARC, "--epochs", "2"], &TINY[..]].concat();
        let printed = json(folder.path(), &args);
        Trained { folder, printed }
    })
}

/// Writes `n` of the built-in test digits as PNG files into `folder/<class>/`; returns their paths.
pub(crate) fn write_digits(folder: &Path, n: usize) -> Vec<PathBuf> {
    let data = enas_data::digits().unwrap();
    let side = data.height as u32;
    let write = |i: usize| {
        let class = folder.join(&data.classes[data.test.labels()[i] as usize]);
        std::fs::create_dir_all(&class).unwrap();
        let path = class.join(format!("{i:04}.png"));
        let pixels = data.test.image(i).unwrap().into_owned();
        image::GrayImage::from_raw(side, side, pixels).unwrap().save(&path).unwrap();
        path
    };
    (0..n).map(write).collect()
}
