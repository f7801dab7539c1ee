//! Several trainings that differ in their seed alone, in one folder: how much of an accuracy is chance.
//!
//! ```text
//! runs/<data>-train-<n>/
//!   train.toml         the settings; their seed is the first one
//!   split.json         which file is in which split
//!   seeds.json         the arc and the seeds
//!   run.lock           held by the process that works here
//!   start.safetensors  the network that all begin with, if they do
//!   seed-<s>/          the training with the seed s
//!   model.safetensors, …  the files of the median training
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::bounded::{SMALL_FILE, read_plain_text};
use crate::claim::{claim, claim_default, clear_parts};
use crate::config::{Layers, TimeLimit, TrainConfig};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::memory::MemoryPlan;
use crate::model::Model;
use crate::observer::Observer;
use crate::recommend::Choice;
use crate::run::{self, Run};
use crate::train::{TrainOutcome, train};

const SEEDS: &str = "seeds.json";
const TRAIN: &str = "train.toml";

/// An open folder of trainings with several seeds. No other process can open it as long as this lives.
#[derive(Debug)]
pub struct SeedsRun {
    dir: PathBuf,
    about: About,
    gpu: Option<Gpu>,
    memory: Option<MemoryPlan>,
    _lock: Lock,
}

/// The contents of `seeds.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    version: String,
    arc: Arc,
    seeds: Vec<u64>,
    /// The run directory of the search that found the arc, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    search: Option<PathBuf>,
    /// The settings that were chosen for the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    choices: Vec<Choice>,
}

/// What trainings with several seeds came to.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedsOutcome {
    /// The training of the median validation accuracy, the lower one of two; its files are those of the whole run.
    pub median: TrainOutcome,
    /// Every training, in the order of the seeds.
    pub seeds: Vec<SeedOutcome>,
    /// Mean accuracy on the test split, 0 to 1.
    pub test_accuracy_mean: f64,
    /// Its standard deviation over the seeds (of a sample, with n − 1); 0 for one seed.
    pub test_accuracy_sd: f64,
}

/// What the training with one seed came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: u64,
    /// Accuracy of the kept weights on the validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// The same on the test split.
    pub test_accuracy: f64,
}

impl SeedsRun {
    /// Creates the folder for `n` seeds that follow each other from `config.run.seed` on: `out`, which must not exist or
    /// be empty, or `runs/<data>-train-<n>`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when `out` holds something or another process works there, [`Error::Io`] when it cannot be
    /// written.
    pub fn create(
        out: Option<&Path>,
        config: &TrainConfig,
        arc: &Arc,
        data: &Dataset,
        n: u64,
    ) -> Result<Self> {
        let (dir, lock) = match out {
            Some(dir) => claim(dir, &[TRAIN, run::SPLIT, SEEDS])?,
            None => claim_default(&data.name, "train")?,
        };
        let seeds = (0..n).map(|i| config.run.seed.wrapping_add(i)).collect();
        let version = env!("CARGO_PKG_VERSION").into();
        let about = About { version, arc: arc.clone(), seeds, search: None, choices: Vec::new() };
        run::write_config(&dir.join(TRAIN), config)?;
        run::write_json(&dir.join(run::SPLIT), &data.split_file())?;
        // Last, as it makes the folder a run.
        run::write_json(&dir.join(SEEDS), &about)?;
        Ok(Self { dir, about, gpu: None, memory: None, _lock: lock })
    }

    /// Whether a folder holds trainings with several seeds.
    pub fn is_at(dir: &Path) -> bool {
        dir.join(SEEDS).is_file()
    }

    /// Opens a folder to go on with it.
    ///
    /// # Errors
    /// [`Error::File`] when its description does not read, [`Error::RunDirectory`] when another process works there.
    pub fn resume(dir: &Path) -> Result<Self> {
        let path = dir.join(SEEDS);
        let text = read_plain_text(&path, SMALL_FILE).map_err(|e| run::io("cannot read", &path, e))?;
        let lock = Lock::take(dir)?;
        clear_parts(dir);
        let about = serde_json::from_str(&text).map_err(|e| {
            let problem =
                format!("not a list of seeds of this version ({e}); use the version that started the run");
            Error::File { path, problem }
        })?;
        Ok(Self { dir: dir.to_owned(), about, gpu: None, memory: None, _lock: lock })
    }

    /// The settings, as a base for others.
    pub fn layers(&self) -> Layers {
        Layers::file(self.dir.join(TRAIN))
    }

    /// The arc that is trained.
    pub fn arc(&self) -> &Arc {
        &self.about.arc
    }

    /// Loads the images in the splits that all trainings use, held as planned.
    ///
    /// # Errors
    /// Those of [`enas_data`], and [`Error::Io`] when the stored split cannot be read.
    pub fn load(&self, config: &TrainConfig, plan: &MemoryPlan) -> Result<Dataset> {
        plan.load(&config.data, config.run.seed(), Some(&run::stored_split(&self.dir)?))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins all trainings with the weights of a trained network; see [`Run::set_start`].
    ///
    /// # Errors
    /// As there.
    pub fn set_start(&mut self, model: &Path) -> Result<()> {
        Model::load(model)?.save_copy(&self.dir.join(run::START))
    }

    /// Notes which search found the arc; see [`Run::set_search`].
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn set_search(&mut self, search: &Path) -> Result<()> {
        self.about.search = Some(search.to_owned());
        run::write_json(&self.dir.join(SEEDS), &self.about)
    }

    /// Notes which settings were chosen for the images; see [`Run::set_choices`].
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn set_choices(&mut self, choices: Vec<Choice>) -> Result<()> {
        self.about.choices = choices;
        run::write_json(&self.dir.join(SEEDS), &self.about)
    }

    /// Computes on `gpu` instead of the CPU.
    pub fn use_gpu(&mut self, gpu: Gpu) {
        self.gpu = Some(gpu);
    }

    /// Keeps to a plan of the memory, which is that of one training.
    pub fn set_memory(&mut self, plan: MemoryPlan) {
        self.memory = Some(plan);
    }

    /// The training with one seed, new or to go on with.
    fn of_seed(&self, config: &TrainConfig, data: &Dataset) -> Result<Run> {
        let dir = self.dir.join(format!("seed-{}", config.run.seed));
        let mut run = if Run::exists(&dir) {
            let run = Run::resume(&dir)?;
            run.accepts(config)?;
            run
        } else {
            Run::for_training(Some(&dir), config, &self.about.arc, data)?
        };
        let start = self.dir.join(run::START);
        if start.is_file() {
            run.set_start(&start)?;
        }
        if let Some(search) = &self.about.search {
            run.set_search(search)?;
        }
        if !self.about.choices.is_empty() {
            run.set_choices(&self.about.choices)?;
        }
        if let Some(plan) = &self.memory {
            run.set_memory(plan.clone())?;
        }
        if let Some(gpu) = &self.gpu {
            run.use_gpu(gpu.clone())?;
        }
        Ok(run)
    }

    /// Makes the files of a training those of the folder, so that it can be used like any run.
    fn deliver(&self, median: &TrainOutcome) -> Result<TrainOutcome> {
        for name in run::delivered() {
            let (from, to) = (median.run.join(name), self.dir.join(name));
            let bytes = fs::read(&from).map_err(|source| run::io("cannot read", &from, source))?;
            atomic::write(&to, &[&bytes])?;
        }
        Ok(TrainOutcome { run: self.dir.clone(), model: self.dir.join(run::MODEL), ..median.clone() })
    }
}

/// Trains the arc of `run` once for every seed, and makes the median training that of the whole run.
///
/// All use the splits of `data`, which must be loaded with `config.run.seed()`. A time limit is shared out equally.
///
/// # Errors
/// Those of [`train()`]; [`Error::Interrupted`] names the folder of all.
pub fn train_seeds(
    config: &TrainConfig,
    data: &Dataset,
    run: &SeedsRun,
    observer: &mut dyn Observer,
) -> Result<SeedsOutcome> {
    let mut trained = Vec::new();
    for seed in &run.about.seeds {
        let config = of_seed(config, *seed, run.about.seeds.len() as u32);
        let mut training = run.of_seed(&config, data)?;
        let own = load(&training, &config, run.memory.as_ref())?;
        let outcome = train(&config, &run.about.arc, &own, &mut training, observer);
        trained.push(outcome.map_err(|error| match error {
            Error::Interrupted { .. } => Error::Interrupted { run: run.dir.clone() },
            other => other,
        })?);
    }
    let mut order: Vec<&TrainOutcome> = trained.iter().collect();
    order.sort_by(|a, b| a.valid_accuracy.total_cmp(&b.valid_accuracy));
    let median = run.deliver(order[(order.len() - 1) / 2])?;
    let tested: Vec<f64> = trained.iter().map(|outcome| outcome.test_accuracy).collect();
    let (test_accuracy_mean, test_accuracy_sd) = mean_and_deviation(&tested);
    let of = |(seed, outcome): (&u64, &TrainOutcome)| {
        let TrainOutcome { valid_accuracy, test_accuracy, .. } = *outcome;
        SeedOutcome { seed: *seed, valid_accuracy, test_accuracy }
    };
    let seeds = run.about.seeds.iter().zip(&trained).map(of).collect();
    Ok(SeedsOutcome { median, seeds, test_accuracy_mean, test_accuracy_sd })
}

/// The settings of the training with one of `n` seeds.
fn of_seed(config: &TrainConfig, seed: u64, n: u32) -> TrainConfig {
    let mut config = config.clone();
    config.run.seed = seed;
    let share = |limit: Duration| Duration::from_secs((limit / n).as_secs().max(1));
    config.run.time = TimeLimit(config.run.time.0.map(share));
    config
}

/// The pictures in the common splits, in an order and with variations of the seed's own.
fn load(training: &Run, config: &TrainConfig, memory: Option<&MemoryPlan>) -> Result<Dataset> {
    let seed: Seed = config.run.seed();
    match memory {
        Some(plan) => training.load_planned(&config.data, seed, plan),
        None => training.load_data(&config.data, seed),
    }
}

/// Mean and standard deviation of a sample.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;
    use crate::observer::Event;

    #[test]
    fn a_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5]), (0.5, 0.0));
        let (mean, sd) = mean_and_deviation(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean - 2.5).abs() < 1e-12 && (sd - (5.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_time_limit_is_shared_out() {
        let config: TrainConfig = Layers::preset("quick").set("run.time=10s").load().unwrap();
        let of_three = of_seed(&config, 9, 3);
        assert_eq!((of_three.run.seed, of_three.run.time.to_string()), (9, "3s".to_owned()));
    }

    /// Stops whenever it has been asked so many times.
    struct Impatient(u64, std::cell::Cell<u64>);

    impl Observer for Impatient {
        fn event(&mut self, _: &Event<'_>) {}

        fn should_stop(&self) -> bool {
            self.1.set(self.1.get() + 1);
            self.1.get() >= self.0
        }
    }

    #[test]
    fn seeds_are_trained_one_by_one_and_interruptions_change_nothing() {
        let small =
            ["child.filters=4", "child.layers=1", "child.nodes=2", "data.image_size=8", "run.epochs=1"];
        let layers = small.iter().fold(Layers::preset("quick"), |layers, a| layers.set(*a));
        let config: TrainConfig = layers.set("run.batch_size=128").set("run.seed=5").load().unwrap();
        let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap();
        let data = enas_data::load(&config.data, config.run.seed()).unwrap();
        let go = |patience: u64| {
            let dir = tempfile::tempdir().unwrap();
            let at = dir.path().join("run");
            let mut run = SeedsRun::create(Some(&at), &config, &arc, &data, 3).unwrap();
            loop {
                match train_seeds(&config, &data, &run, &mut Impatient(patience, 0.into())) {
                    Ok(outcome) => {
                        let model = fs::read(&outcome.median.model).unwrap();
                        assert_eq!(outcome.median.run, at);
                        return (outcome.seeds, outcome.test_accuracy_mean, outcome.test_accuracy_sd, model);
                    }
                    Err(Error::Interrupted { run }) => assert_eq!(run, at),
                    Err(e) => panic!("{e}"),
                }
                drop(run);
                run = SeedsRun::resume(&at).unwrap();
                assert_eq!(run.layers().load::<TrainConfig>().unwrap(), config);
            }
        };
        let calm = go(u64::MAX);
        assert_eq!(calm.0.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(calm.2 > 0.0, "the seeds differ: {:?}", calm.0);
        assert!(go(7) == calm);
    }
}
