//! Golden files: settings as JSON, tensors in the safetensors format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The folder of golden files: `ENAS_GOLDEN_DIR`, or `goldens` below the folder of the crate.
pub fn folder(of_crate: &str) -> PathBuf {
    let given = std::env::var_os("ENAS_GOLDEN_DIR");
    given.map_or_else(|| Path::new(of_crate).join("goldens"), PathBuf::from)
}

/// The entries of a folder, sorted.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

/// Reads a document.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Tensors by name, each with its shape and its numbers, row-major.
#[derive(Debug, Default)]
pub struct GoldenTensors {
    /// Those of F32.
    pub floats: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Those of I32.
    pub ints: BTreeMap<String, (Vec<usize>, Vec<i32>)>,
}

impl GoldenTensors {
    /// Adds the tensors of a file.
    pub fn read(&mut self, file: &Path) {
        let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let tensors = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for (name, view) in tensors.tensors() {
            let words = view.data().as_chunks::<4>().0.iter().copied();
            let shape = view.shape().to_vec();
            match view.dtype() {
                Dtype::F32 => {
                    self.floats.insert(name, (shape, words.map(f32::from_le_bytes).collect()));
                }
                Dtype::I32 => {
                    self.ints.insert(name, (shape, words.map(i32::from_le_bytes).collect()));
                }
                other => panic!("{}: {name} has type {other:?}", file.display()),
            }
        }
    }
}
