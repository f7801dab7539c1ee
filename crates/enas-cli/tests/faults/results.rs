//! What is in the folder of a run, with everything taken out that is measured: times, speeds, dates, threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use enas_testing::program::text;
use serde_json::{Map, Value};

/// Keys of what is measured, or depends on when it was saved, wherever they stand.
const MEASURED: [&str; 16] = [
    "t",
    "seconds",
    "images_per_second",
    "waited_seconds",
    "epoch_began",
    "scoring",
    "threads",
    // What the machine has and the program takes.
    "memory",
    // Of an automatic run: what the phases are expected to take.
    "plan",
    "prepared_seconds",
    // How far the choice at the end of a search had come when it was last saved. Its outcome is in the metrics.
    "phase",
    "losses",
    "finals",
    "latency_ms",
    "scores",
    "macro_f1s",
];

/// What must not differ between equal runs: content by name.
#[derive(Clone, PartialEq)]
pub(crate) struct Results(BTreeMap<String, Vec<u8>>);

impl Results {
    /// Reads the folder of a finished run, and of the runs in it.
    pub(crate) fn of(run: &Path) -> Self {
        let mut found = BTreeMap::new();
        collect(run, "", &mut found);
        assert!(!found.is_empty(), "{} is empty", run.display());
        Self(found)
    }

    /// The content under this name.
    pub(crate) fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.names()))
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Panics where `other` differs, saying where and in which `case`; returns how many bytes are equal.
    pub(crate) fn assert_same(&self, other: &Self, case: &str) -> u64 {
        assert_eq!(self.names(), other.names(), "{case}: other files");
        for (name, content) in &self.0 {
            let found = &other.0[name];
            if content != found {
                let at = content.iter().zip(found).take_while(|(a, b)| a == b).count();
                let wanted = around(content, at);
                let found = around(found, at);
                panic!("{case}: {name} differs at byte {at}:\n  wanted …{wanted}…\n  found  …{found}…");
            }
        }
        self.0.values().map(|content| content.len() as u64).sum()
    }
}

/// The content near a byte, for a message.
fn around(content: &[u8], at: usize) -> String {
    let from = at.saturating_sub(60).min(content.len());
    let to = (at + 60).min(content.len());
    String::from_utf8_lossy(&content[from..to]).into_owned()
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.ends_with(".part"), "{} was left behind", path.display());
        if name == "run.lock" {
            // Says who works or worked there.
        } else if name == "checkpoints" {
            // How many there were depends on interruptions; what the newest holds does not.
            found.insert(format!("{prefix}checkpoints"), newest_checkpoint(&path));
        } else if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), found);
        } else if name.starts_with("events.out.tfevents.") {
            let scalars = events(&fs::read(&path).unwrap());
            found.entry(format!("{prefix}events")).or_default().extend(scalars.into_bytes());
        } else {
            found.insert(format!("{prefix}{name}"), lasting(name, &fs::read(&path).unwrap()));
        }
    }
}

/// A file without what is measured.
pub(crate) fn lasting(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name {
        "metrics.jsonl" => lines(bytes, |line| unmeasured(&serde_json::from_str(line).unwrap()).to_string()),
        "manifest.json" | "auto.json" => {
            unmeasured(&serde_json::from_slice(bytes).unwrap()).to_string().into_bytes()
        }
        "report.html" => lines(bytes, |line| if is_of_clock(line) { String::new() } else { line.to_owned() }),
        _ => bytes.to_owned(),
    }
}

fn lines(bytes: &[u8], each: impl Fn(&str) -> String) -> Vec<u8> {
    text(bytes).lines().flat_map(|line| each(line).into_bytes().into_iter().chain([b'\n'])).collect()
}

/// Whether a line of a report tells a time, a speed or the number of threads.
fn is_of_clock(line: &str) -> bool {
    ["Written ", "µs", "\u{a0}ms", "wall time", "time used", "class=\"clock\"", "Time per image", "thread"]
        .iter()
        .any(|w| line.contains(w))
}

fn unmeasured(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, _)| !MEASURED.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key.clone(), unmeasured(value))).collect())
        }
        Value::Array(all) => Value::Array(all.iter().map(unmeasured).collect()),
        other => other.clone(),
    }
}

/// The tensors of the newest checkpoint, and where it stands.
fn newest_checkpoint(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.max().unwrap_or_else(|| panic!("no checkpoint in {}", folder.display()));
    assert!(newest.extension().is_some_and(|e| e == "safetensors"), "{} was left behind", newest.display());
    let bytes = fs::read(&newest).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut tensors: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let metadata = tensors.remove("__metadata__").unwrap();
    let about: Value = serde_json::from_str(metadata["checkpoint"].as_str().unwrap()).unwrap();
    let mut content = unmeasured(&about["progress"]).to_string().into_bytes();
    content.extend(Value::Object(tensors).to_string().bytes());
    content.extend(&bytes[8 + length..]);
    content
}

/// The scalars of an events file, one on a line, without times. The files are records of a length (8 bytes), its
/// checksum (4), a message and its checksum (4); the messages are protocol buffers.
fn events(mut file: &[u8]) -> String {
    let mut lines = String::new();
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        // First a time of nine bytes, last a value of five behind its tag; or the version of the format.
        let message = &file[12 + 9..12 + length];
        let tag = String::from_utf8_lossy(&message[..message.len() - 5]);
        let is_measured = MEASURED.iter().any(|key| tag.ends_with(&format!("/{key}")));
        if !is_measured && !message.ends_with(b"brain.Event:2") {
            lines.push_str(&enas_data::hexadecimal(message));
            lines.push('\n');
        }
        file = &file[16 + length..];
    }
    lines
}
