//! A search and a training on a folder of images whose names try to break a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use enas_report::ReportOptions;
use enas_search::{ConfigBuilder, Run, SearchConfig, TrainConfig};
use enas_testing::runs::{digits, quick};
use image::{GrayImage, Luma};
use tempfile::TempDir;

/// A class that a careless page would take for markup.
pub(crate) const EVIL: &str = "<b>&\"x'";

/// A finished search and the training of the architecture found, in the same folder as their images.
pub(crate) struct Runs {
    folder: TempDir,
    pub(crate) search: PathBuf,
    pub(crate) train: PathBuf,
}

/// The runs, made once for all tests. Tests must not change them.
pub(crate) fn runs() -> &'static Runs {
    static RUNS: OnceLock<Runs> = OnceLock::new();
    RUNS.get_or_init(make)
}

impl Runs {
    pub(crate) fn images(&self) -> PathBuf {
        self.folder.path().join("pictures")
    }
}

/// The report of a run, written elsewhere than into it.
pub(crate) fn report(run: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("r.html");
    let options = ReportOptions { out: Some(&out), ..ReportOptions::default() };
    assert_eq!(enas_report::write(run, &options).unwrap(), out);
    fs::read_to_string(out).unwrap()
}

/// A copy of a run that a test may damage.
pub(crate) fn copy(run: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(run).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        fs::copy(&entry, dir.path().join(entry.file_name().unwrap())).unwrap();
    }
    dir
}

fn make() -> Runs {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("pictures");
    for (class, name) in [EVIL, "plain", "café"].into_iter().enumerate() {
        let dir = images.join(name);
        fs::create_dir_all(&dir).unwrap();
        (0..30).for_each(|i| image(class as u32, i).save(dir.join(format!("a&b {i:02}.png"))).unwrap());
    }
    let config = small_search(&images);
    let data = digits(&config.data, config.run.seed());
    let search = folder.path().join("a search");
    let mut run = Run::for_search(Some(&search), &config, &data).unwrap();
    let found = enas_search::search(&config, &data, &mut run, &mut ()).unwrap();
    enas_report::write(&search, &ReportOptions::default()).unwrap();

    let config = small_training(&images);
    let train = folder.path().join("train");
    let mut run = Run::for_training(Some(&train), &config, &found.arc, &data).unwrap();
    run.set_search(&search).unwrap();
    enas_search::train(&config, &found.arc, &data, &mut run, &mut ()).unwrap();
    Runs { folder, search, train }
}

fn small(images: &Path) -> ConfigBuilder {
    let keys = [
        "run.epochs=3",
        "run.batch_size=16",
        "run.log_every=1",
        "data.image_size=12",
        "child.filters=4",
        "child.layers=1",
        "child.nodes=2",
    ];
    quick(&keys).set(format!("data.path={}", images.display()))
}

/// Settings of a search that takes no time.
pub(crate) fn small_search(images: &Path) -> SearchConfig {
    let more = [
        "controller.steps=3",
        "controller.aggregate=2",
        "reward.batch_size=9",
        "select.samples=6",
        "select.random=6",
        "reward.metric=accuracy",
        "reward.same_images=false",
        "warmup.updates=0",
        "warmup.fair=0",
        "warmup.collapse=0",
        "finals.steps=0",
    ];
    more.iter().fold(small(images), |layers, key| layers.set(*key)).load().unwrap()
}

/// Settings of a training that takes no time.
pub(crate) fn small_training(images: &Path) -> TrainConfig {
    small(images).load().unwrap()
}

/// A bright square whose place says the class, with a pattern that says nothing.
fn image(class: u32, i: u32) -> GrayImage {
    GrayImage::from_fn(12, 12, |x, y| {
        let inside = (4 * class..4 * class + 4).contains(&x) && (4..8).contains(&y);
        let noise = (x * 7919 + y * 104_729 + i * 1_299_709 + class * 15_485_863) % 97;
        Luma([if inside { 120 } else { 40 } + noise as u8])
    })
}
