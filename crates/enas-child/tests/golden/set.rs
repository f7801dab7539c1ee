//! Reading golden sets.

use std::path::{Path, PathBuf};

use enas_arc::Arc;
use enas_testing::goldens::{GoldenTensors, entries, folder, json};
use enas_testing::tensors::Numbers;
use serde_json::Value;

/// One set: a `.json` and the tensors of its files.
pub(crate) struct GoldenSet {
    pub(crate) stem: String,
    pub(crate) meta: Value,
    tensors: GoldenTensors,
}

impl GoldenSet {
    /// Every set of a kind, in the order of their names.
    pub(crate) fn all(kind: &str) -> Vec<Self> {
        let folder = folder(env!("CARGO_MANIFEST_DIR"));
        let is_set = |path: &&PathBuf| {
            let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            path.extension().is_some_and(|e| e == "json")
                && stem.starts_with(kind)
                && json(path)["kind"] == kind
        };
        let sets: Vec<Self> = entries(&folder).iter().filter(is_set).map(|path| Self::load(path)).collect();
        assert!(!sets.is_empty(), "no {kind} sets in {}", folder.display());
        eprintln!("{} {kind} sets from {}", sets.len(), folder.display());
        sets
    }

    /// An estimate of the work of a step: pixels of the images times number of weights.
    pub(crate) fn work(&self) -> usize {
        let weights: usize = self.with_prefix("w/").iter().map(|weight| weight.data.len()).sum();
        self.f32("in/x1").len() * weights
    }

    fn load(path: &Path) -> Self {
        let stem =
            path.file_stem().and_then(|s| s.to_str()).expect("a golden file's name is ASCII").to_owned();
        let mut set = Self { stem, meta: json(path), tensors: GoldenTensors::default() };
        for suffix in ["", "_grad", "_aux"] {
            let file = path.with_file_name(format!("{}{suffix}.safetensors", set.stem));
            if suffix.is_empty() || file.exists() {
                set.tensors.read(&file);
            }
        }
        set
    }

    /// Shape and numbers of a tensor as the file has them.
    pub(crate) fn tensor(&self, name: &str) -> (&[usize], &[f32]) {
        let (shape, data) = &self.tensors.floats[name];
        (shape, data)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&[f32]> {
        self.tensors.floats.get(name).map(|(_, data)| data.as_slice())
    }

    pub(crate) fn f32(&self, name: &str) -> &[f32] {
        self.find(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.stem))
    }

    pub(crate) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.tensors.floats.keys().map(String::as_str).filter(move |n| n.starts_with(prefix))
    }

    /// Tensors under a prefix, which is taken off.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Vec<Numbers> {
        let under = self.tensors.floats.iter().filter_map(|(n, t)| n.strip_prefix(prefix).map(|n| (n, t)));
        under
            // Sets without an auxiliary head may still carry its weights.
            .filter(|(name, _)| self.meta["config"]["use_aux_heads"] == true || !name.starts_with("aux_head"))
            .map(|(name, (shape, data))| Numbers {
                name: name.to_owned(),
                shape: shape.clone(),
                data: data.clone(),
            })
            .collect()
    }

    pub(crate) fn is_search(&self) -> bool {
        self.meta["kind"] == "child_search"
    }

    pub(crate) fn has_gradients(&self) -> bool {
        self.names("grad/").next().is_some()
    }

    pub(crate) fn image_hwc(&self) -> [usize; 3] {
        let hwc = &self.meta["config"]["image_hwc"];
        [0, 1, 2].map(|i| hwc[i].as_u64().expect("image_hwc holds three sizes") as usize)
    }

    pub(crate) fn classes(&self) -> usize {
        self.meta["config"]["num_classes"].as_u64().expect("num_classes is a number") as usize
    }

    pub(crate) fn n_arcs(&self) -> usize {
        self.tensors.ints["arcs/normal"].0[0]
    }

    pub(crate) fn arc(&self, k: usize) -> Arc {
        let row = |name: &str| {
            let (shape, data) = &self.tensors.ints[name];
            data[k * shape[1]..(k + 1) * shape[1]].iter().map(|i| i64::from(*i)).collect::<Vec<_>>()
        };
        Arc::from_ints(&[row("arcs/normal"), row("arcs/reduce")].concat()).expect("golden arcs are valid")
    }

    /// Images as `[n, c, h, w]`; the files have channels last.
    pub(crate) fn images(&self, name: &str) -> Vec<f32> {
        let (shape, data) = &self.tensors.floats[name];
        let n = shape[0];
        let h = shape[1];
        let w = shape[2];
        let c = shape[3];
        let mut out = vec![0.0; data.len()];
        for i in 0..n {
            for p in 0..h * w {
                for channel in 0..c {
                    out[(i * c + channel) * h * w + p] = data[(i * h * w + p) * c + channel];
                }
            }
        }
        out
    }

    pub(crate) fn labels(&self, name: &str) -> Vec<u32> {
        self.tensors.ints[name].1.iter().map(|l| *l as u32).collect()
    }
}
