//! An open run directory.

mod checkpoints;
mod follow_up;
mod logging;
mod open;
mod settings;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_arc::{Arc, Arch};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;

use crate::checkpoint::Encoded;
use crate::checkpoint::interval::CheckpointInterval;
use crate::config::Kind;
use crate::directory::files::{BEST_ARC, MEASURED, MODEL, stored_split};
use crate::directory::lock::Lock;
use crate::directory::manifest::Manifest;
use crate::directory::reader::RunReader;
use crate::error::Result;
use crate::log::jsonl::Metrics;
use crate::log::tensorboard::Events;
use crate::memory::MemoryPlan;

pub use self::checkpoints::{SaveReason, State};
pub use self::follow_up::FollowUpWork;

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
    follow_up: FollowUpWork,
    checkpoint_interval: CheckpointInterval,
    /// The checkpoint of the last epoch's end, held in memory while writing it would cost too much. It is written
    /// before any later checkpoint, so the end of the last epoch is always available, in memory or on disk.
    held: Option<Encoded>,
    gpu: Option<Gpu>,
    _lock: Lock,
}

impl Run {
    /// Sets the work that follows the run, for which it leaves time; none if this is not called.
    pub fn set_follow_up(&mut self, work: FollowUpWork) {
        self.follow_up = work;
    }

    /// The work that follows the run.
    pub fn follow_up(&self) -> FollowUpWork {
        self.follow_up
    }

    /// The same directory, opened for reading.
    pub fn reader(&self) -> RunReader {
        RunReader::new(self.dir.clone(), self.manifest.clone())
    }

    /// Checks that the images are still at their place.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] with what to do.
    pub fn find_images(&self, config: &enas_data::Config) -> Result<()> {
        self.reader().find_images(config)
    }

    /// Loads the images in the splits of this run, independently of the seed: stored as `plan` says or, without one, as
    /// the machine's memory allows. Use it to continue the run, or to train what a search found on the same splits.
    ///
    /// # Errors
    /// As [`enas_data::load`], and [`crate::Error::RunDirectory`] if the images have changed since.
    pub fn load_data(
        &self,
        config: &enas_data::Config,
        seed: Seed,
        plan: Option<&MemoryPlan>,
    ) -> Result<Dataset> {
        self.reader().load_data(config, seed, plan)
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
        self.reader().best_arc()
    }

    /// Sets when the time limit began to count: the work that led to this run, such as reading images, is included.
    pub fn count_from(&mut self, began: Instant) {
        self.count_before(began.elapsed());
    }

    /// [`Self::count_from`] for a known duration.
    pub fn count_before(&mut self, before: Duration) {
        self.before = before;
    }

    /// Time before the run began that its limit includes.
    pub fn before(&self) -> Duration {
        self.before
    }

    /// Wall time over all sessions, in seconds.
    pub fn seconds(&self) -> f64 {
        self.earlier + self.opened.elapsed().as_secs_f64()
    }

    /// Refuses a data set other than the one the run was started with.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] with the differing files.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        self.reader().check_data(data)
    }
}
