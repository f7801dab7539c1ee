//! Repeated trainings of one arc in one folder, with several seeds or as a cross-validation: how far accuracies vary
//! by chance.
//!
//! ```text
//! runs/<data>-train-<n>/
//!   train.toml         the settings; their seed is the first seed, or the common seed of all folds
//!   split.json         the split that each file belongs to
//!   seeds.json         the arc and the seeds; or
//!   folds.json         the arc and the number of folds
//!   run.lock           advisory file lock of the process that works here
//!   start.safetensors  the network that all trainings start from (optional)
//!   seed-<s>/          the training with seed s; or
//!   fold-<i>/          the training that fold i tests, with its own split.json
//!   model.safetensors, …  the files of the median training
//! ```

mod outcome;
mod work;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::choice::Choice;
use enas_run::config::{ConfigBuilder, TrainConfig};
use enas_run::directory::create::{create_default_run_dir, create_run_dir, remove_partial_files};
use enas_run::directory::data_identity;
use enas_run::directory::files::{
    IMAGE_DIGESTS, MODEL, SPLIT, START, delivered, stored_split, write_config, write_json,
};
use enas_run::directory::lock::Lock;
use enas_run::directory::run::Run;
use enas_run::error::{Error, Result};
use enas_run::files::atomic;
use enas_run::files::limited_read::{SMALL_FILE, read_plain_text};
use enas_run::memory::MemoryPlan;
use enas_run::model::warm_start;
use serde::{Deserialize, Serialize};

pub use self::outcome::{MemberOutcome, Pooled, SeriesOutcome};
pub use self::work::{Observers, train_series};
use crate::train::TrainOutcome;

const SEEDS: &str = "seeds.json";
const FOLDS: &str = "folds.json";
const TRAIN: &str = "train.toml";

/// How the trainings of a series differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// This many consecutive seeds, starting at `run.seed`.
    Seeds(u64),
    /// This many folds of a cross-validation; see [`Dataset::folds`].
    Folds(u64),
}

/// One training of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The training with this seed.
    Seed(u64),
    /// The training that this fold tests, counted from 1.
    Fold(u64),
}

impl Member {
    fn folder(self) -> String {
        match self {
            Self::Seed(seed) => format!("seed-{seed}"),
            Self::Fold(fold) => format!("fold-{fold}"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "seed {seed}"),
            Self::Fold(fold) => write!(f, "fold {fold}"),
        }
    }
}

/// An open folder of a series. It is locked: no other process can open it while this value lives.
#[derive(Debug)]
pub struct SeriesRun {
    dir: PathBuf,
    about: SeriesFile,
    gpu: Option<Gpu>,
    memory: Option<MemoryPlan>,
    /// Time before the series began that its limit includes.
    before: Duration,
    _lock: Lock,
}

/// The contents of `seeds.json` or `folds.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SeriesFile {
    version: String,
    arc: Arc,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seeds: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folds: Option<u64>,
    /// The run directory of the search that found the arc, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    search: Option<PathBuf>,
    /// The settings chosen for the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    choices: Vec<Choice>,
}

impl SeriesFile {
    fn file(&self) -> &'static str {
        if self.folds.is_some() { FOLDS } else { SEEDS }
    }
}

impl SeriesRun {
    /// Creates the folder: `out`, which must not exist or must be empty, or `runs/<data>-train-<n>`.
    ///
    /// # Errors
    /// - [`Error::RunDirectory`] if `out` is not empty or another process works there.
    /// - [`Error::Io`] if it cannot be written.
    /// - [`Error::Data`] if the images cannot be divided into folds.
    pub fn create(
        out: Option<&Path>,
        config: &TrainConfig,
        arc: &Arc,
        data: &Dataset,
        series: Series,
    ) -> Result<Self> {
        let (seeds, folds) = match series {
            Series::Seeds(n) => ((0..n).map(|i| config.run.seed.wrapping_add(i)).collect(), None),
            Series::Folds(k) => {
                // Refused before anything is written.
                divide(config, data, k)?;
                (Vec::new(), Some(k))
            }
        };
        let version = env!("CARGO_PKG_VERSION").into();
        let about = SeriesFile { version, arc: arc.clone(), seeds, folds, search: None, choices: Vec::new() };
        let (dir, lock) = match out {
            Some(dir) => create_run_dir(dir, &[TRAIN, SPLIT, IMAGE_DIGESTS, SEEDS, FOLDS])?,
            None => create_default_run_dir(&data.name, "train")?,
        };
        write_config(&dir.join(TRAIN), config)?;
        write_json(&dir.join(SPLIT), &data.split_file())?;
        data_identity::store(&dir, data)?;
        let run = Self { dir, about, gpu: None, memory: None, before: Duration::ZERO, _lock: lock };
        // Written last: this file marks the folder as a series.
        run.save()?;
        Ok(run)
    }

    /// Whether `dir` is the folder of a series.
    pub fn is_at(dir: &Path) -> bool {
        description(dir).is_file()
    }

    /// Opens a folder to continue its series.
    ///
    /// # Errors
    /// [`Error::File`] if its description cannot be parsed; [`Error::RunDirectory`] if another process works there.
    pub fn resume(dir: &Path) -> Result<Self> {
        let path = description(dir);
        let text = read_plain_text(&path, SMALL_FILE).map_err(|e| Error::io("cannot read", &path, e))?;
        let lock = Lock::take(dir)?;
        remove_partial_files(dir);
        let about = serde_json::from_str(&text).map_err(|e| {
            let problem = format!(
                "not a series of trainings of this version ({e}); use the version that started the run"
            );
            Error::File { path, problem }
        })?;
        Ok(Self { dir: dir.to_owned(), about, gpu: None, memory: None, before: Duration::ZERO, _lock: lock })
    }

    /// The settings, as a base for other configurations.
    pub fn config_builder(&self) -> ConfigBuilder {
        ConfigBuilder::file(self.dir.join(TRAIN))
    }

    /// The arc that is trained.
    pub fn arc(&self) -> &Arc {
        &self.about.arc
    }

    /// The trainings, in execution order.
    pub fn members(&self) -> Vec<Member> {
        match self.about.folds {
            Some(k) => (1..=k).map(Member::Fold).collect(),
            None => self.about.seeds.iter().copied().map(Member::Seed).collect(),
        }
    }

    /// Loads the images in the splits of the folder, stored as the memory plan says.
    ///
    /// # Errors
    /// Errors of [`enas_data`]; [`Error::Io`] if the stored split cannot be read.
    pub fn load(&self, config: &TrainConfig, plan: &MemoryPlan) -> Result<Dataset> {
        plan.load(&config.data, config.run.seed(), Some(&stored_split(&self.dir)?))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Warm start of all trainings from a trained network; see [`Run::set_start`].
    ///
    /// # Errors
    /// As [`Run::set_start`].
    pub fn set_start(&mut self, model: &Path) -> Result<()> {
        let folds = self.about.folds.is_some();
        warm_start::network(model, &self.dir, folds)?.save_copy(&self.dir.join(START))
    }

    /// Records which search found the arc; see [`Run::set_search`].
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn set_search(&mut self, search: &Path) -> Result<()> {
        self.about.search = Some(search.to_owned());
        self.save()
    }

    /// Records which settings were chosen for the images; see [`Run::set_choices`].
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn set_choices(&mut self, choices: Vec<Choice>) -> Result<()> {
        self.about.choices = choices;
        self.save()
    }

    /// Sets when the time limit began to count; see [`Run::count_from`].
    pub fn count_from(&mut self, began: Instant) {
        self.before = began.elapsed();
    }

    /// Computes on `gpu` instead of the CPU.
    pub fn use_gpu(&mut self, gpu: Gpu) {
        self.gpu = Some(gpu);
    }

    /// Sets the memory plan of each training.
    pub fn set_memory(&mut self, plan: MemoryPlan) {
        self.memory = Some(plan);
    }

    /// Number of parallel trainings: at most `wanted`, as far as memory allows. Trainings on a GPU run one by one.
    pub fn jobs(&self, wanted: usize) -> usize {
        let most = wanted.clamp(1, self.members().len().max(1));
        let Some(plan) = &self.memory else { return most };
        let fitting = match plan.limit {
            _ if plan.is_tight() => 1,
            Some(limit) => usize::try_from(limit / plan.parts.total().max(1)).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        if self.gpu.is_some() { 1 } else { most.min(fitting).max(1) }
    }

    fn save(&self) -> Result<()> {
        write_json(&self.dir.join(self.about.file()), &self.about)
    }

    /// The run of one training, new or resumed, and its images.
    fn of_member(&self, member: Member, config: &TrainConfig, data: &Dataset) -> Result<(Run, Dataset)> {
        let dir = self.dir.join(member.folder());
        let plenty = MemoryPlan::plenty();
        let plan = self.memory.as_ref().unwrap_or(&plenty);
        let seed = config.run.seed();
        let (mut run, own) = match (Run::exists(&dir), member) {
            (true, _) => {
                let run = Run::resume(&dir)?;
                run.accepts(config)?;
                let own = run.load_data(&config.data, seed, Some(plan))?;
                (run, own)
            }
            (false, Member::Seed(_)) => {
                let run = Run::for_training(Some(&dir), config, &self.about.arc, data)?;
                // Seeds share the splits, but each has its own order and augmentation.
                let own = run.load_data(&config.data, seed, Some(plan))?;
                (run, own)
            }
            (false, Member::Fold(fold)) => {
                let folds = divide(config, data, self.about.folds.unwrap_or(fold))?;
                let own = plan.load(&config.data, seed, Some(&folds[fold as usize - 1]))?;
                (Run::for_training(Some(&dir), config, &self.about.arc, &own)?, own)
            }
        };
        let start = self.dir.join(START);
        if start.is_file() {
            run.copy_start(&start)?;
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
        Ok((run, own))
    }

    /// Copies the files of a training into the folder, so that the folder can be used like any run.
    fn deliver(&self, median: &TrainOutcome) -> Result<TrainOutcome> {
        for name in delivered() {
            let from = median.run.join(name);
            let to = self.dir.join(name);
            let bytes = fs::read(&from).map_err(|source| Error::io("cannot read", &from, source))?;
            atomic::write(&to, &[&bytes])?;
        }
        Ok(TrainOutcome { run: self.dir.clone(), model: self.dir.join(MODEL), ..median.clone() })
    }
}

/// The splits of a cross-validation with these settings.
fn divide(config: &TrainConfig, data: &Dataset, k: u64) -> Result<Vec<enas_data::SplitFile>> {
    Ok(data.folds(k as usize, config.data.valid_fraction, config.run.seed())?)
}

/// The file that marks a folder as a series.
fn description(dir: &Path) -> PathBuf {
    let folds = dir.join(FOLDS);
    if folds.is_file() { folds } else { dir.join(SEEDS) }
}

#[cfg(test)]
mod tests;
