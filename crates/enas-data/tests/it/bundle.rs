//! Small data sets on disk for the tests, and a way to read the warnings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc as SyncArc, Mutex};

use enas_data::{
    Config, Dataset, Error, InputSpec, LabelledOptions, LoadOptions, Normalization, Part, Skipped, Split,
    Storage, load, load_labelled,
};
use enas_rng::Seed;
use tempfile::TempDir;

/// A temporary folder to put images into.
pub(crate) struct Bundle {
    dir: TempDir,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Adds `n` small grey images to `folder`, all different.
    pub(crate) fn with(self, folder: &str, n: usize) -> Self {
        for i in 0..n {
            self.file(&format!("{folder}/{i:03}.png"), &png(folder.len() as u8, i as u8));
        }
        self
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        fs::create_dir_all(self.dir.path().join(name)).unwrap();
        self
    }

    pub(crate) fn config(&self) -> Config {
        Config { path: self.root().into(), image_size: 6, ..Config::default() }
    }
}

/// A PNG of 6 x 6 grey pixels that depend on both numbers.
pub(crate) fn png(a: u8, b: u8) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let mixed = (x as u8).wrapping_mul(31) ^ (y as u8).wrapping_mul(17);
        image::Luma([mixed.wrapping_mul(b.wrapping_add(3)).wrapping_add(a)])
    };
    encode(&image::DynamicImage::ImageLuma8(image::GrayImage::from_fn(6, 6, pixel)))
}

pub(crate) fn encode(image: &image::DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A data set with splits: classes `cat` and `dog`, 4 + 2 + 2 images each.
pub(crate) fn with_splits() -> Bundle {
    ["cat", "dog"].into_iter().fold(Bundle::new(), |bundle, class| {
        bundle
            .with(&format!("train/{class}"), 4)
            .with(&format!("valid/{class}"), 2)
            .with(&format!("test/{class}"), 2)
    })
}

/// Runs `action` and returns its result with everything that was logged on this thread.
pub(crate) fn with_log<T>(action: impl FnOnce() -> T) -> (T, String) {
    let log = SyncArc::new(Mutex::new(Vec::new()));
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || Sink(sink.clone()))
        .finish();
    let result = tracing::subscriber::with_default(subscriber, action);
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    (result, text)
}

/// Loads what is in a bundle, with what was logged.
pub(crate) fn loaded(bundle: &Bundle) -> (Dataset, String) {
    with_log(|| load(&bundle.config(), &LoadOptions::new(Seed::new(1))).unwrap())
}

/// Why a bundle cannot be loaded.
pub(crate) fn message(bundle: &Bundle) -> String {
    load(&bundle.config(), &LoadOptions::new(Seed::new(1))).unwrap_err().to_string()
}

/// Loads a bundle to measure a model on, with all usable images.
pub(crate) fn labelled(
    root: &Path,
    part: Part,
    classes: &[String],
    input: &InputSpec,
    normalization: &Normalization,
) -> Result<(Split, Vec<Skipped>), Error> {
    let options = LabelledOptions {
        part,
        classes,
        input,
        normalization,
        strict: false,
        storage: Storage::Decoded,
        wanted: &|_| true,
    };
    load_labelled(root, &options).map(|loaded| (loaded.split, loaded.skipped))
}

/// The one warning that says something about `what`.
pub(crate) fn warning<'a>(log: &'a str, what: &str) -> &'a str {
    let found: Vec<&str> = log.lines().filter(|line| line.contains(what)).collect();
    assert_eq!(found.len(), 1, "{what}: {log}");
    found[0]
}

struct Sink(SyncArc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
