//! The directory of a run: created once, never overwritten, resumable at any time.
//!
//! ```text
//! runs/<data>-search-<n>/
//!   config.toml        every setting, and the version that wrote it
//!   split.json         the split that each file belongs to
//!   pictures.json      a digest of every image file
//!   manifest.json      version, revision, device, threads, data fingerprint, a copy of the settings
//!   run.lock           advisory file lock of the process that works here
//!   metrics.jsonl      one JSON object per event
//!   events.out.tfevents.*  the same scalars for TensorBoard, one file per session
//!   checkpoints/       the newest two, and the newest that ends an epoch
//!   best.arc.json      the arc found or trained
//!   model.safetensors  the trained network (training only)
//!   start.safetensors  the network whose weights a training started from (training only, optional)
//! ```

mod files;
mod manifest;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_arc::{Arc, Arch};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::files::{
    BEST_ARC, CONFIG, MANIFEST, MEASURED, MODEL, SPLIT, START, delivered, directory, io, stored_split,
    write_config, write_json,
};
use self::files::{CHECKPOINTS, write_arc};
pub use self::files::{read_arc, read_arch};
pub use self::manifest::{Kind, Manifest};
use crate::changes;
use crate::checkpoint::{Checkpoint, Encoded};
use crate::claim::{claim, claim_default, clear_parts};
use crate::config::{RunConfig, SearchConfig, Settings, TrainConfig};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::memory::MemoryPlan;
use crate::metrics::{self, Metrics};
use crate::model::Model;
use crate::network::{GPU, Network};
use crate::pace::Pace;
use crate::pictures;
use crate::recommend::Choice;
use crate::record::Record;
use crate::tensorboard::{Events, Mark};
use crate::tensors::NamedTensor;
use crate::warm_start;

/// An open run directory. It is locked: no other process can open it while this value lives.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
    metrics: Metrics,
    /// The TensorBoard log; opened when a loop starts or resumes.
    events: Option<Events>,
    opened: Instant,
    /// Wall time of earlier sessions, in seconds.
    earlier: f64,
    /// Time before the run began that its limit includes.
    before: Duration,
    pace: Pace,
    /// The checkpoint of the last epoch's end, held in memory while writing it would cost too much. It is written
    /// before any later checkpoint, so the end of the last epoch is always available, in memory or on disk.
    held: Option<Encoded>,
    gpu: Option<Gpu>,
    _lock: Lock,
}

impl Run {
    /// Creates the directory of a new search.
    ///
    /// `out` must not exist or must be empty; without `out` the directory is `runs/<data>-search-<n>` with the first
    /// free `n`.
    ///
    /// # Errors
    /// - [`crate::Error::RunDirectory`] if `out` is not empty or another process works there.
    /// - [`crate::Error::Io`] if it cannot be written.
    /// - [`crate::Error::Config`] if the class weights do not match the classes.
    pub fn for_search(out: Option<&Path>, config: &SearchConfig, data: &Dataset) -> Result<Self> {
        // Refused before anything is written.
        config.run.class_weights.of(data.train.labels(), &data.classes)?;
        Self::create(out, config, Manifest::new(data, None, config), data)
    }

    /// Creates the directory of a new training of `arc`: `out`, or `runs/<data>-train-<n>`.
    ///
    /// # Errors
    /// As [`Run::for_search`].
    pub fn for_training(
        out: Option<&Path>,
        config: &TrainConfig,
        arc: impl Into<Arch>,
        data: &Dataset,
    ) -> Result<Self> {
        config.run.class_weights.of(data.train.labels(), &data.classes)?;
        Self::create(out, config, Manifest::new(data, Some(arc.into()), config), data)
    }

    /// Opens a run to continue it. Pass it to [`crate::search()`] or [`crate::train()`] with its own [`Run::config`]
    /// (and [`Run::arc`]) and the same data.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] if `dir` is not a run directory or another process works there.
    pub fn resume(dir: &Path) -> Result<Self> {
        // Checked before locking: a directory that is not a run gets no lock file.
        Record::open(dir)?;
        let lock = Lock::take(dir)?;
        let (dir, manifest) = Record::open(dir)?.into_parts();
        clear_parts(&dir);
        clear_parts(&dir.join(CHECKPOINTS));
        Self::open(dir, manifest, lock)
    }

    /// The same directory, opened for reading.
    pub fn record(&self) -> Record {
        Record::new(self.dir.clone(), self.manifest.clone())
    }

    /// Whether `dir` holds a run.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(MANIFEST).exists()
    }

    /// The configuration that the run was started with.
    ///
    /// # Errors
    /// - [`crate::Error::RunDirectory`] if the run is of the other kind.
    /// - [`crate::Error::Config`] if the file was edited and is now invalid.
    /// - [`crate::Error::SettingsChanged`] if it was edited so that the results would change.
    pub fn config<C: Settings>(&self) -> Result<C> {
        let config = self.record().config()?;
        self.changes(&config)?;
        Ok(config)
    }

    /// Refuses settings with which this run could not continue.
    ///
    /// # Errors
    /// As [`Run::adopt`].
    pub fn accepts<C: Settings>(&self, asked: &C) -> Result<()> {
        self.changes(asked).map(drop)
    }

    /// Checks that the images are still at their place.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] with what to do.
    pub fn find_pictures(&self, config: &enas_data::Config) -> Result<()> {
        self.record().find_pictures(config)
    }

    /// Continues with the settings `asked`. They may differ from those of the run only where results do not depend on
    /// them.
    ///
    /// # Errors
    /// [`crate::Error::SettingsChanged`] with every other difference; errors of [`Run::config`].
    pub fn adopt<C: Settings>(&mut self, asked: &C) -> Result<()> {
        let changes = self.changes(asked)?;
        for changes::Change { key, of_run, asked } in &changes {
            tracing::info!("{key} is {asked} from now on; it was {of_run}");
        }
        if changes.is_empty() && self.manifest.settings.is_some() {
            return Ok(());
        }
        // In this order, so that a crash in between leaves a difference without effect.
        write_config(&self.dir.join(CONFIG), asked)?;
        self.manifest.settings = Some(changes::plain(asked));
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// The permitted differences from the settings of the run.
    fn changes<C: Settings>(&self, asked: &C) -> Result<Vec<changes::Change>> {
        let of_run = match &self.manifest.settings {
            Some(settings) if C::KIND == self.manifest.kind => changes::completed::<C>(settings),
            _ => changes::plain(&self.record().config::<C>()?),
        };
        changes::accept(&self.dir, &of_run, &changes::plain(asked))
    }

    /// Loads the images in the splits of this run, independently of the seed. Use it to continue the run, or to
    /// train what a search found on the same splits.
    ///
    /// # Errors
    /// As [`enas_data::load`], and [`crate::Error::RunDirectory`] if the images have changed since.
    pub fn load_data(&self, config: &enas_data::Config, seed: Seed) -> Result<Dataset> {
        self.record().load_data(config, seed)
    }

    /// [`load_data`](Self::load_data) with images stored as the memory plan says.
    ///
    /// # Errors
    /// As [`load_data`](Self::load_data).
    pub fn load_planned(&self, config: &enas_data::Config, seed: Seed, plan: &MemoryPlan) -> Result<Dataset> {
        self.record().load_planned(config, seed, plan)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Search or training.
    pub fn kind(&self) -> Kind {
        self.manifest.kind
    }

    /// Class names in label order.
    ///
    /// # Errors
    /// [`crate::Error::Io`] or [`crate::Error::File`] if the stored split cannot be read.
    pub fn classes(&self) -> Result<Vec<String>> {
        Ok(stored_split(&self.dir)?.classes)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The architecture that this training trains; `None` for a search.
    pub fn arch(&self) -> Option<&Arch> {
        self.manifest.arc.as_ref()
    }

    /// The cells that this training trains; `None` for a search and for an architecture of the macro space.
    pub fn arc(&self) -> Option<&Arc> {
        self.arch().and_then(Arch::micro)
    }

    /// Path of the arc found or trained; the file exists once the run has finished.
    pub fn best_arc_path(&self) -> PathBuf {
        self.dir.join(BEST_ARC)
    }

    /// Path of the trained network; the file exists once there is a model.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    /// Path of the measured network; the file exists if a refit followed.
    pub fn measured_path(&self) -> PathBuf {
        self.dir.join(MEASURED)
    }

    /// The arc in `best.arc.json`: the result of a finished search or training.
    ///
    /// # Errors
    /// If the file does not exist yet; the error says how to finish the run.
    pub fn best_arc(&self) -> Result<Arc> {
        self.record().best_arc()
    }

    /// Sets when the time limit began to count: the work that led to this run, such as reading images, is included.
    pub fn count_from(&mut self, began: Instant) {
        self.count_before(began.elapsed());
    }

    /// [`Self::count_from`] for a known duration.
    pub(crate) fn count_before(&mut self, before: Duration) {
        self.before = before;
    }

    /// Time before the run began that its limit includes.
    pub(crate) fn before(&self) -> Duration {
        self.before
    }

    /// Wall time over all sessions, in seconds.
    pub fn seconds(&self) -> f64 {
        self.earlier + self.opened.elapsed().as_secs_f64()
    }

    /// Appends an event to `metrics.jsonl` and its numbers to the TensorBoard log. `step` counts the events of this
    /// kind.
    pub(crate) fn log(&mut self, kind: &str, step: u64, event: &impl Serialize) -> Result<()> {
        let fields = metrics::fields(event);
        self.metrics.append(self.seconds(), kind, &fields)?;
        self.events.as_mut().map_or(Ok(()), |events| events.add(kind, step, &fields))
    }

    /// Flushes the TensorBoard log.
    pub(crate) fn flush_events(&mut self) -> Result<Option<Mark>> {
        self.events.as_mut().map(Events::flush).transpose()
    }

    /// Flushes the logs of a finished run to the disk, and logs the share of time spent on checkpoints.
    pub(crate) fn conclude(&mut self) -> Result<()> {
        self.flush_events()?;
        self.metrics.sync()?;
        tracing::info!("checkpoints took {:.2} % of the time", 100.0 * self.checkpoint_share());
        Ok(())
    }

    /// Writes `best.arc.json`: the arc in both forms, and `fields`.
    pub(crate) fn write_best_arc(&self, arc: &Arch, fields: &impl Serialize) -> Result<()> {
        write_arc(&self.best_arc_path(), arc, fields)
    }

    /// Loads the newest checkpoint; `None` at the start of a run. Removes log entries that are later than the
    /// checkpoint.
    pub(crate) fn restore<P: Serialize + DeserializeOwned>(&mut self) -> Result<Option<Checkpoint<P>>> {
        let checkpoint = Checkpoint::newest(&self.checkpoints())?;
        self.earlier = checkpoint.as_ref().map_or(0.0, |c| c.seconds);
        self.opened = Instant::now();
        self.held = None;
        self.metrics.rewind(checkpoint.as_ref().map_or(0, |c| c.metrics_bytes))?;
        let known = checkpoint.as_ref().map_or(Some(Mark::START), |c| c.events);
        self.events = Some(Events::begin(&self.dir, known)?);
        Ok(checkpoint)
    }

    /// Writes a checkpoint and returns its path. The end of an epoch is only held in memory if the last checkpoint is
    /// too recent to justify the cost of another one. `began` is when the caller started to collect the state.
    pub(crate) fn save<P: Serialize + DeserializeOwned>(
        &mut self,
        state: State<P>,
        moment: Moment,
        began: Instant,
    ) -> Result<Option<PathBuf>> {
        let State { progress, tensors } = state;
        let metrics_bytes = self.metrics.len()?;
        let events = self.flush_events()?;
        let checkpoint = Checkpoint { progress, metrics_bytes, events, seconds: self.seconds(), tensors };
        let encoded = checkpoint.encode(moment != Moment::WithinEpoch);
        if moment == Moment::EndOfEpoch && self.pace.is_too_soon() {
            self.held = Some(encoded);
            return Ok(None);
        }
        // The checkpoint refers to a position in the log, so the log must survive a power failure first.
        self.metrics.sync()?;
        let before = self.held.take().filter(|_| moment == Moment::WithinEpoch);
        if let Some(end_of_epoch) = before {
            end_of_epoch.write(&self.checkpoints())?;
        }
        let path = encoded.write(&self.checkpoints())?;
        self.pace.saved(began.elapsed());
        Ok(Some(path))
    }

    /// The checkpoint at the end of the last of `complete` epochs; `None` if no epoch is complete.
    pub(crate) fn end_of_last_epoch<P: Serialize + DeserializeOwned>(
        &mut self,
        complete: u64,
    ) -> Result<Option<Checkpoint<P>>> {
        if complete == 0 {
            return Ok(None);
        }
        if let Some(held) = self.held.take() {
            return Ok(Some(Checkpoint::decode(held)));
        }
        match Checkpoint::newest_end_of_epoch(&self.checkpoints()) {
            Ok(Some(checkpoint)) => Ok(Some(checkpoint)),
            // Early versions did not mark the end of an epoch. Any intact checkpoint is better than a new start.
            Ok(None) | Err(_) => Checkpoint::newest(&self.checkpoints()),
        }
    }

    /// Removes events after `known` from the TensorBoard log. `metrics.jsonl` keeps everything.
    pub(crate) fn forget_events(&mut self, known: Option<Mark>) -> Result<()> {
        self.flush_events()?;
        // Closed first, because some systems cannot remove open files.
        self.events = None;
        self.events = Some(Events::begin(&self.dir, known)?);
        Ok(())
    }

    /// Whether it is time for another checkpoint.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        self.pace.is_due()
    }

    /// The share of this session's time that was spent on checkpoints, 0 to 1.
    pub fn checkpoint_share(&self) -> f64 {
        self.pace.share()
    }

    /// Refuses a data set other than the one the run was started with.
    pub(crate) fn check_data(&self, data: &Dataset) -> Result<()> {
        self.record().check_data(data)
    }

    fn create<C: Settings>(
        out: Option<&Path>,
        config: &C,
        manifest: Manifest,
        data: &Dataset,
    ) -> Result<Self> {
        let own = [CONFIG, SPLIT, pictures::PICTURES, CHECKPOINTS, MANIFEST];
        let (dir, lock) = match out {
            Some(dir) => claim(dir, &own)?,
            None => claim_default(&data.name, &manifest.kind.to_string())?,
        };
        write_config(&dir.join(CONFIG), config)?;
        write_json(&dir.join(SPLIT), &data.split_file())?;
        pictures::keep(&dir, data)?;
        let checkpoints = dir.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(|source| io("cannot create", &checkpoints, source))?;
        // Written last: the manifest marks the directory as a run. After a crash before this line, the run can be
        // created again.
        write_json(&dir.join(MANIFEST), &manifest)?;
        Self::open(dir, manifest, lock)
    }

    fn open(dir: PathBuf, manifest: Manifest, lock: Lock) -> Result<Self> {
        let metrics = Metrics::open(metrics::path(&dir))?;
        let (opened, pace) = (Instant::now(), Pace::new(Duration::MAX));
        let (events, earlier, before, held, gpu) = (None, 0.0, Duration::ZERO, None, None);
        Ok(Self { dir, manifest, metrics, events, opened, earlier, before, pace, held, gpu, _lock: lock })
    }

    /// Computes on `gpu` instead of the CPU. A run may continue on another device; from there on its results differ
    /// by rounding.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest, which names the device, cannot be written.
    pub fn use_gpu(&mut self, gpu: Gpu) -> Result<()> {
        self.manifest.device = gpu.name();
        self.gpu = Some(gpu);
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Records in the manifest which search found the arc of this training.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest cannot be written.
    pub fn set_search(&mut self, search: &Path) -> Result<()> {
        // The manifest is UTF-8; other bytes of the path are replaced (lossy conversion).
        self.manifest.search = Some(search.to_string_lossy().into_owned().into());
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Records in the manifest the settings that were chosen for the images, with reasons.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest cannot be written.
    pub fn set_choices(&mut self, choices: &[Choice]) -> Result<()> {
        self.manifest.choices = choices.to_vec();
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Warm start: the training begins with those weights of a trained network that fit, instead of random ones. A
    /// copy of the model is kept in the directory, so that the run does not depend on the original.
    ///
    /// A network that learned from the validation or test images of this run is replaced by the one before its refit, or
    /// causes a warning.
    ///
    /// # Errors
    /// [`crate::Error::File`] if `model` is not a model file; [`crate::Error::Io`] if it cannot be read or copied.
    pub fn set_start(&mut self, model: &Path) -> Result<()> {
        // Loaded before it is copied, so that a file that is not a model is refused.
        warm_start::network(model, &self.dir, false)?.save_copy(&self.dir.join(START))
    }

    /// [`set_start`](Self::set_start) with a network that was chosen already.
    pub(crate) fn copy_start(&mut self, model: &Path) -> Result<()> {
        Model::load(model)?.save_copy(&self.dir.join(START))
    }

    /// The weights for a warm start; `None` without one.
    pub(crate) fn start(&self) -> Result<Option<Vec<NamedTensor>>> {
        let path = self.dir.join(START);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Model::load(&path)?.weights()?))
    }

    /// Sets the plan of the memory. A run may continue with another plan than it began with.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest, which holds the plan, cannot be written.
    pub fn set_memory(&mut self, plan: MemoryPlan) -> Result<()> {
        plan.begin();
        self.manifest.memory = Some(plan);
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// The plan of the memory, if there is one.
    pub(crate) fn memory(&self) -> Option<&MemoryPlan> {
        self.manifest.memory.as_ref()
    }

    /// Moves a network to the run's device, and sets the format of activations and the activation checkpointing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a setting needs a GPU and there is none; [`crate::Error::CellsOnly`] for a macro
    /// network on a GPU; errors of the GPU.
    pub(crate) fn place(&self, network: &mut Network, config: &RunConfig) -> Result<()> {
        config.check_device(self.gpu.as_ref())?;
        let Network::Micro(child) = network else {
            return if self.gpu.is_some() { Err(Error::CellsOnly(GPU)) } else { Ok(()) };
        };
        child.recompute(self.memory().map(|plan| plan.recompute).unwrap_or_default());
        match &self.gpu {
            Some(gpu) => Ok(child.use_gpu(gpu, config.activations.into())?),
            None => Ok(()),
        }
    }

    /// Sets the interval between checkpoints.
    pub(crate) fn checkpoint_every(&mut self, seconds: u64) {
        self.pace.set_every(Duration::from_secs(seconds));
    }

    /// Sets the number of weights; a checkpoint stores each with its momentum.
    pub(crate) fn expect_weights(&mut self, n: usize) {
        self.pace.expect(n * 2 * size_of::<f32>());
    }

    fn checkpoints(&self) -> PathBuf {
        self.dir.join(CHECKPOINTS)
    }
}

/// The content of a checkpoint.
pub(crate) struct State<P> {
    /// Position of the loop.
    pub(crate) progress: P,
    /// Weights and optimiser states.
    pub(crate) tensors: Vec<NamedTensor>,
}

/// Why a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Between two steps.
    WithinEpoch,
    /// After the last step of an epoch.
    EndOfEpoch,
    /// As `EndOfEpoch`, but always written: after the last epoch, and after going back.
    Landmark,
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::config::Layers;

    #[test]
    fn the_end_of_an_epoch_that_would_cost_too_much_is_held_until_something_later_is_written() {
        let config: TrainConfig = Layers::preset("quick").load().unwrap();
        let data = enas_data::digits().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap();
        let mut run = Run::for_training(Some(dir.path()), &config, &arc, &data).unwrap();
        assert!(run.restore::<u64>().unwrap().is_none());
        // Writing a terabyte would take hours.
        run.expect_weights(1 << 37);
        let state = |progress: u64| State {
            progress,
            tensors: vec![("w".into(), Tensor::new(&[progress as f32], &Device::Cpu).unwrap())],
        };
        let files = || fs::read_dir(dir.path().join(CHECKPOINTS)).unwrap().count();
        assert!(run.save(state(1), Moment::EndOfEpoch, Instant::now()).unwrap().is_none());
        assert_eq!(files(), 0);
        // An interruption in the next epoch.
        assert!(run.save(state(2), Moment::WithinEpoch, Instant::now()).unwrap().is_some());
        assert_eq!(files(), 2);
        assert_eq!(run.restore::<u64>().unwrap().unwrap().progress, 2);
        let end = run.end_of_last_epoch::<u64>(1).unwrap().unwrap();
        assert_eq!((end.progress, end.tensors[0].1.to_vec1::<f32>().unwrap()), (1, vec![1.0]));
        assert!(run.end_of_last_epoch::<u64>(0).unwrap().is_none(), "no epoch is complete");
    }
}
