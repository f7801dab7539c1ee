//! Tiny searches and trainings on the built-in digits, with and without interruptions.

use std::cell::Cell;
use std::path::Path;

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{
    ConfigBuilder, Error, Event, Observer, Run, SearchConfig, SearchOutcome, TrainConfig, TrainOutcome,
};
use serde_json::{Value, json};

use crate::ARC;

/// A search of two epochs of 11 steps.
pub fn search_config(assignments: &[&str]) -> SearchConfig {
    let tiny = [
        "run.epochs=2",
        "run.batch_size=128",
        "run.log_every=1",
        "data.image_size=8",
        "child.filters=4",
        "child.layers=1",
        "child.nodes=2",
        "controller.steps=2",
        "controller.aggregate=3",
        "reward.batch_size=32",
        "select.samples=5",
        "select.random=5",
        "reward.metric=accuracy",
        "warmup.updates=0",
        "warmup.fair=0",
        "warmup.collapse=0",
        "finals.steps=0",
    ];
    quick(&[&tiny[..], assignments].concat()).load().unwrap()
}

/// A training of two epochs of 11 steps, with all sources of noise on.
pub fn train_config(assignments: &[&str]) -> TrainConfig {
    let tiny = [
        "run.epochs=2",
        "run.batch_size=128",
        "run.log_every=1",
        "data.image_size=8",
        "child.filters=4",
        "child.layers=1",
        "child.nodes=2",
        "child.keep_prob=0.9",
        "child.drop_path_keep=0.7",
    ];
    quick(&[&tiny[..], assignments].concat()).load().unwrap()
}

/// The preset `quick` with changed settings; later assignments win.
pub fn quick(assignments: &[&str]) -> ConfigBuilder {
    assignments.iter().fold(ConfigBuilder::preset("quick"), |layers, assignment| layers.set(*assignment))
}

/// [`ARC`] as an arc.
pub fn arc() -> Arc {
    ARC.parse().unwrap()
}

/// The images of a configuration, in the splits of a seed.
pub fn digits(config: &enas_data::Config, seed: enas_rng::Seed) -> Dataset {
    enas_data::load(config, &enas_data::LoadOptions::new(seed)).unwrap()
}

/// Interrupts whenever it has been asked `patience` times.
#[derive(Debug)]
pub struct StopsAfter {
    patience: u64,
    asked: Cell<u64>,
}

impl StopsAfter {
    /// One that was not asked yet.
    pub fn new(patience: u64) -> Self {
        Self { patience, asked: Cell::new(0) }
    }
}

impl Observer for StopsAfter {
    fn event(&mut self, _: &Event<'_>) {}

    fn should_stop(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.asked.get() >= self.patience
    }
}

/// A search that is interrupted after every `patience` steps and resumed until it is done; also how often it was.
pub fn search(config: &SearchConfig, dir: &Path, patience: u64) -> (SearchOutcome, u64) {
    search_on(None, config, dir, patience)
}

/// As [`search`], on a GPU that every session opens anew.
pub fn search_on(
    gpu: Option<fn() -> Gpu>,
    config: &SearchConfig,
    dir: &Path,
    patience: u64,
) -> (SearchOutcome, u64) {
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir), config, &data).unwrap();
    let mut interruptions = 0;
    loop {
        if let Some(open) = gpu {
            run.use_gpu(open()).unwrap();
        }
        match enas_search::search(config, &data, &mut run, &mut StopsAfter::new(patience)) {
            Ok(outcome) => return (outcome, interruptions),
            Err(Error::Interrupted { run: at }) => assert_eq!(at, dir),
            Err(e) => panic!("{e}"),
        }
        interruptions += 1;
        // No two can have it open at once.
        drop(run);
        run = Run::resume(dir).unwrap();
        assert_eq!(&run.config::<SearchConfig>().unwrap(), config);
    }
}

/// As [`search`], for a training.
pub fn train(config: &TrainConfig, dir: &Path, patience: u64) -> (TrainOutcome, u64) {
    train_on(None, config, dir, patience)
}

/// As [`train`], on a GPU that every session opens anew.
pub fn train_on(
    gpu: Option<fn() -> Gpu>,
    config: &TrainConfig,
    dir: &Path,
    patience: u64,
) -> (TrainOutcome, u64) {
    let mut data = digits(&config.data, config.run.seed());
    if gpu.is_some() {
        // An emulated GPU is slow, and one set of images is as good a test split as another.
        data.test = data.valid.clone();
    }
    let mut run = Run::for_training(Some(dir), config, arc(), &data).unwrap();
    let mut interruptions = 0;
    loop {
        if let Some(open) = gpu {
            run.use_gpu(open()).unwrap();
        }
        match enas_search::train(config, &arc(), &data, &mut run, &mut StopsAfter::new(patience)) {
            Ok(outcome) => return (outcome, interruptions),
            Err(Error::Interrupted { run: at }) => assert_eq!(at, dir),
            Err(e) => panic!("{e}"),
        }
        interruptions += 1;
        // No two can have it open at once.
        drop(run);
        run = Run::resume(dir).unwrap();
        assert_eq!(run.arc(), Some(&arc()));
    }
}

/// The lines of `metrics.jsonl`, without what the clock says.
pub fn metrics(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let fields = value.as_object_mut().unwrap();
        assert!(fields["t"].is_number() && fields["kind"].is_string(), "{line}");
        ["t", "seconds", "waited_seconds", "images_per_second"]
            .iter()
            .for_each(|key| drop(fields.remove(*key)));
        value
    };
    text.lines().map(line).collect()
}

/// The lines of `metrics.jsonl` of one kind, without what the clock says.
pub fn lines_of(dir: &Path, kind: &str) -> Vec<Value> {
    metrics(dir).into_iter().filter(|line| line["kind"] == kind).collect()
}

/// Names and bytes of all tensors in the newest checkpoint.
pub fn newest_weights(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir.join("checkpoints")).unwrap();
    let newest = entries.map(|e| e.unwrap().path()).max().unwrap();
    let bytes = std::fs::read(newest).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = file.iter().map(|(name, t)| (name.to_owned(), t.data().to_vec())).collect();
    all.sort();
    all
}

/// Changes the result of a search: its gain has an interval from `low` to `low + 2`.
pub fn set_gain(dir: &Path, low: f64) {
    let path = dir.join("best.arc.json");
    let mut facts: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    facts["gain"] = json!({ "points": low + 1.0, "low": low, "high": low + 2.0 });
    std::fs::write(&path, facts.to_string()).unwrap();
}
