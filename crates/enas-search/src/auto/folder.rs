//! The folder of an automatic run: one run directory per phase, and the best model so far.
//!
//! ```text
//! runs/<data>-auto-<n>/
//!   auto.json          version, data, time limit and time used, what was checked and chosen
//!   search.toml        every setting of the search
//!   train.toml         every setting of both trainings
//!   split.json         the split that each file belongs to
//!   pictures.json      a digest of every image file
//!   run.lock           advisory file lock of the process that works here
//!   first/             training of a random arc
//!   search/            the search
//!   train/             training of the arc found
//!   model.safetensors  that of train/, unless that of first/ has a measurably higher validation accuracy
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;
use enas_run::auto::{AUTO, AutoPhase, AutoPlan, Preparation};
use enas_run::choice::Choice;
use enas_run::config::{ConfigBuilder, SearchConfig, TrainConfig};
use enas_run::directory::create::{create_default_run_dir, create_run_dir, remove_partial_files};
use enas_run::directory::data_identity::{self, ExpectedData};
use enas_run::directory::files::{IMAGE_DIGESTS, MEASURED, MODEL, SPLIT, write_config, write_json};
use enas_run::directory::lock::Lock;
use enas_run::directory::run::Run;
use enas_run::directory::settings_diff;
use enas_run::error::{Error, Result};
use enas_run::evaluation::interval;
use enas_run::files::atomic;
use enas_run::memory::MemoryPlan;
use enas_run::model::Model;

use super::config::AutoConfig;
use super::file::{AutoFile, StoredSettings, read};

const SEARCH: &str = "search.toml";
const TRAIN: &str = "train.toml";

/// An open folder of an automatic run. It is locked: no other process can open it while this value lives.
#[derive(Debug)]
pub struct AutoRun {
    dir: PathBuf,
    about: AutoFile,
    /// Start of this session's time.
    began: Instant,
    gpu: Option<Gpu>,
    _lock: Lock,
    memory: Option<MemoryPlan>,
}

impl AutoRun {
    /// Creates the folder: `out`, which must not exist or must be empty, or `runs/<data>-auto-<n>`. The run's time
    /// counts from `began`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `out` is not empty or another process works there; [`Error::Io`] if it cannot be
    /// written.
    pub fn create(out: Option<&Path>, config: &AutoConfig, data: &Dataset, began: Instant) -> Result<Self> {
        let own = [SEARCH, TRAIN, SPLIT, IMAGE_DIGESTS, AUTO];
        let (dir, lock) = match out {
            Some(dir) => create_run_dir(dir, &own)?,
            None => create_default_run_dir(&data.name, "auto")?,
        };
        write_config(&dir.join(SEARCH), &config.search)?;
        write_config(&dir.join(TRAIN), &config.train)?;
        write_json(&dir.join(SPLIT), &data.split_file())?;
        data_identity::store(&dir, data)?;
        let search = settings_diff::plain(&config.search);
        let train = settings_diff::plain(&config.train);
        let about = AutoFile {
            version: env!("CARGO_PKG_VERSION").into(),
            data: data.name.clone(),
            fingerprint: data.fingerprint.clone(),
            time: config.time,
            finish: config.finish,
            search_when: config.search_when,
            cell: config.cell.clone(),
            fits_network: config.fits_network,
            seconds: 0.0,
            plan: None,
            prepared_seconds: None,
            preparation: None,
            settings: Some(StoredSettings { search, train }),
        };
        let run = Self { dir, about, began, gpu: None, memory: None, _lock: lock };
        // Written last: this file marks the folder as an automatic run.
        run.save()?;
        Ok(run)
    }

    /// Opens a folder to continue its run. This session's time counts from `began`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `dir` is not the folder of an automatic run or another process works there.
    pub fn resume(dir: &Path, began: Instant) -> Result<Self> {
        // Checked before locking: a directory that is not a run gets no lock file.
        read(dir)?;
        let lock = Lock::take(dir)?;
        remove_partial_files(dir);
        Ok(Self { dir: dir.to_owned(), about: read(dir)?, began, gpu: None, memory: None, _lock: lock })
    }

    /// The configuration that the run was started with.
    ///
    /// # Errors
    /// [`Error::Config`] if a file was edited and is now invalid; [`Error::SettingsChanged`] if it was edited so that
    /// the results would change.
    pub fn config(&self) -> Result<AutoConfig> {
        let search: SearchConfig = ConfigBuilder::file(self.dir.join(SEARCH)).load()?;
        let train: TrainConfig = ConfigBuilder::file(self.dir.join(TRAIN)).load()?;
        let AutoFile { time, finish, search_when, fits_network, .. } = self.about;
        let cell = self.about.cell.clone();
        let config = AutoConfig { search, train, time, finish, search_when, cell, fits_network };
        self.accepts(&config)?;
        Ok(config)
    }

    /// The settings of the search and of the trainings, as bases for other configurations.
    pub fn config_builders(&self) -> [ConfigBuilder; 2] {
        [SEARCH, TRAIN].map(|file| ConfigBuilder::file(self.dir.join(file)))
    }

    /// Refuses settings with which this run could not continue. The time limit may change.
    ///
    /// # Errors
    /// [`Error::SettingsChanged`] with every difference that affects results.
    pub fn accepts(&self, asked: &AutoConfig) -> Result<()> {
        let Some(stored) = &self.about.settings else { return Ok(()) };
        let of_search = settings_diff::completed::<SearchConfig>(&stored.search);
        let of_train = settings_diff::completed::<TrainConfig>(&stored.train);
        settings_diff::accept(&self.dir.join(SEARCH), &of_search, &settings_diff::plain(&asked.search))?;
        settings_diff::accept(&self.dir.join(TRAIN), &of_train, &settings_diff::plain(&asked.train))?;
        Ok(())
    }

    /// Checks that the images are still at their place.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with what to do.
    pub fn find_images(&self, config: &AutoConfig) -> Result<()> {
        self.expected().find(&config.search.data)
    }

    fn expected(&self) -> ExpectedData<'_> {
        let AutoFile { data: name, fingerprint, .. } = &self.about;
        ExpectedData { dir: &self.dir, name, fingerprint, or_else: ", or give their new place" }
    }

    /// Continues with the settings `asked`. Phases that have begun keep the settings they began with.
    ///
    /// # Errors
    /// As [`AutoRun::accepts`], and [`Error::Io`] if they cannot be written.
    pub fn adopt(&mut self, asked: &AutoConfig) -> Result<()> {
        self.accepts(asked)?;
        write_config(&self.dir.join(SEARCH), &asked.search)?;
        write_config(&self.dir.join(TRAIN), &asked.train)?;
        let search = settings_diff::plain(&asked.search);
        let train = settings_diff::plain(&asked.train);
        self.about.settings = Some(StoredSettings { search, train });
        (self.about.time, self.about.finish) = (asked.time, asked.finish);
        self.save()
    }

    /// Loads the images in the splits of this run: stored as `plan` says or, without one, as the machine's memory
    /// allows.
    ///
    /// # Errors
    /// As [`enas_data::load`], and [`Error::RunDirectory`] if the images have changed since.
    pub fn load_data(&self, config: &AutoConfig, plan: Option<&MemoryPlan>) -> Result<Dataset> {
        self.expected().load(&config.search.data, config.search.run.seed(), plan)
    }

    /// Loads the images with other settings, in the splits of this run and stored as planned.
    pub(super) fn load(&self, config: &enas_data::Config, seed: Seed) -> Result<Dataset> {
        let plan = self.memory.clone().unwrap_or_else(MemoryPlan::plenty);
        self.expected().load(config, seed, Some(&plan))
    }

    /// Computes on `gpu` instead of the CPU.
    pub fn use_gpu(&mut self, gpu: Gpu) {
        self.gpu = Some(gpu);
    }

    /// Sets the memory plan of all phases.
    pub fn set_memory(&mut self, plan: MemoryPlan) {
        self.memory = Some(plan);
    }

    /// The memory plan, if there is one.
    pub(super) fn memory(&self) -> Option<&MemoryPlan> {
        self.memory.as_ref()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run directory of a phase; it exists once the phase has begun.
    pub fn phase_dir(&self, phase: AutoPhase) -> PathBuf {
        self.dir.join(phase.folder())
    }

    /// Path of the best model; the file exists from the end of the first phase.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    /// Wall time over all sessions, in seconds.
    pub fn seconds(&self) -> f64 {
        self.about.seconds + self.began.elapsed().as_secs_f64()
    }

    pub(super) fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    pub(super) fn plan(&self) -> Option<AutoPlan> {
        self.about.plan
    }

    pub(super) fn set_plan(&mut self, plan: AutoPlan) -> Result<()> {
        self.about.plan = Some(plan);
        self.about.prepared_seconds = Some(self.seconds());
        self.save()
    }

    /// Records what was done before the first phase, for the report of the run.
    ///
    /// # Errors
    /// [`Error::Io`] if `auto.json` cannot be written.
    pub fn note_preparation(&mut self, preparation: Preparation) -> Result<()> {
        self.about.preparation = Some(preparation);
        self.save()
    }

    /// Opens the run of a phase, or creates it by `create`.
    pub(super) fn phase_run(
        &self,
        phase: AutoPhase,
        create: impl FnOnce(&Path) -> Result<Run>,
    ) -> Result<Run> {
        let dir = self.phase_dir(phase);
        let mut run = if Run::exists(&dir) { Run::resume(&dir)? } else { create(&dir)? };
        let choices = self.about.preparation.iter().flat_map(|preparation| &preparation.choices);
        let of_kind: Vec<Choice> = choices.filter(|choice| choice.is_for(run.kind())).cloned().collect();
        if run.manifest().choices.is_empty() && !of_kind.is_empty() {
            run.set_choices(&of_kind)?;
        }
        if let Some(gpu) = &self.gpu {
            run.use_gpu(gpu.clone())?;
        }
        if let Some(plan) = &self.memory {
            run.set_memory(plan.clone())?;
        }
        Ok(run)
    }

    /// Copies the better of the two models into the folder, and saves the time used. Returns the phase of that model.
    ///
    /// The model of the final training wins unless the first model is measurably better on the `images` of the
    /// validation split. Both accuracies are those before a refit.
    pub(super) fn store_best_model(&mut self, images: usize) -> Result<Option<AutoPhase>> {
        let mut best: Option<(AutoPhase, PathBuf, f64)> = None;
        for phase in [AutoPhase::First, AutoPhase::Train] {
            let path = self.phase_dir(phase).join(MODEL);
            if path.exists() {
                let accuracy = Model::load(&path)?.accuracy().valid;
                let is_beaten = |(_, _, first): &(AutoPhase, PathBuf, f64)| {
                    !is_measurably_better(*first, accuracy, images)
                };
                if best.as_ref().is_none_or(is_beaten) {
                    best = Some((phase, path, accuracy));
                }
            }
        }
        if let Some((phase, path, _)) = &best {
            deliver(path, &self.model_path())?;
            let measured = self.phase_dir(*phase).join(MEASURED);
            if measured.exists() {
                deliver(&measured, &self.dir.join(MEASURED))?;
            }
        }
        self.about.seconds = self.seconds();
        self.began = Instant::now();
        self.save()?;
        Ok(best.map(|(phase, _, _)| phase))
    }

    fn save(&self) -> Result<()> {
        write_json(&self.dir.join(AUTO), &self.about)
    }
}

/// Whether an accuracy (0 to 1) on a number of images is above another one on the same images by more than chance
/// explains: the 95 % interval of the difference lies above 0.
///
/// The interval is that of Newcombe (*Interval estimation for the difference between independent proportions*, 1998),
/// from the Wilson intervals of both accuracies. Networks tend to agree on images, so it is rather wide.
fn is_measurably_better(accuracy: f64, other: f64, images: usize) -> bool {
    let correct = |accuracy: f64| (accuracy * images as f64).round() as u64;
    let (low, _) = interval(correct(accuracy), images as u64);
    let (_, high) = interval(correct(other), images as u64);
    accuracy - other > ((accuracy - low).powi(2) + (high - other).powi(2)).sqrt()
}

/// Copies a model file atomically.
fn deliver(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).map_err(|source| Error::io("cannot read", from, source))?;
    atomic::write(to, &[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_more_images_of_a_small_split_are_chance() {
        // 18 against 16 of 27 images.
        assert!(!is_measurably_better(18.0 / 27.0, 16.0 / 27.0, 27));
        assert!(is_measurably_better(26.0 / 27.0, 9.0 / 27.0, 27));
        assert!(!is_measurably_better(0.9, 0.88, 500) && is_measurably_better(0.9, 0.8, 500));
        assert!(!is_measurably_better(0.5, 0.5, 1000) && !is_measurably_better(0.4, 0.5, 1000));
        assert!(!is_measurably_better(1.0, 0.0, 1), "one image shows nothing");
    }
}
