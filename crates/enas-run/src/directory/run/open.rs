//! Creation and resumption of a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_arc::Arch;
use enas_data::Dataset;

use super::{FollowUpWork, Run};
use crate::checkpoint::interval::CheckpointInterval;
use crate::config::{SearchConfig, Settings, TrainConfig};
use crate::directory::create::{create_default_run_dir, create_run_dir, remove_partial_files};
use crate::directory::data_identity;
use crate::directory::files::{
    CHECKPOINTS, CONFIG, IMAGE_DIGESTS, MANIFEST, SPLIT, write_config, write_json,
};
use crate::directory::lock::Lock;
use crate::directory::manifest::Manifest;
use crate::directory::reader::RunReader;
use crate::error::{Error, Result};
use crate::log::jsonl::{self, Metrics};

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

    /// Opens a run to continue it. Pass it to `search` or `train` of `enas-search` with its own [`Run::config`]
    /// (and [`Run::arc`]) and the same data.
    ///
    /// # Errors
    /// [`crate::Error::RunDirectory`] if `dir` is not a run directory or another process works there.
    pub fn resume(dir: &Path) -> Result<Self> {
        // Checked before locking: a directory that is not a run gets no lock file.
        RunReader::open(dir)?;
        let lock = Lock::take(dir)?;
        let (dir, manifest) = RunReader::open(dir)?.into_parts();
        remove_partial_files(&dir);
        remove_partial_files(&dir.join(CHECKPOINTS));
        Self::open(dir, manifest, lock)
    }

    /// Whether `dir` holds a run.
    pub fn exists(dir: &Path) -> bool {
        dir.join(MANIFEST).exists()
    }

    fn create<C: Settings>(
        out: Option<&Path>,
        config: &C,
        manifest: Manifest,
        data: &Dataset,
    ) -> Result<Self> {
        let own = [CONFIG, SPLIT, IMAGE_DIGESTS, CHECKPOINTS, MANIFEST];
        let (dir, lock) = match out {
            Some(dir) => create_run_dir(dir, &own)?,
            None => create_default_run_dir(&data.name, &manifest.kind.to_string())?,
        };
        write_config(&dir.join(CONFIG), config)?;
        write_json(&dir.join(SPLIT), &data.split_file())?;
        data_identity::store(&dir, data)?;
        let checkpoints = dir.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints)
            .map_err(|source| Error::io("cannot create", &checkpoints, source))?;
        // Written last: the manifest marks the directory as a run. After a crash before this line, the run can be
        // created again.
        write_json(&dir.join(MANIFEST), &manifest)?;
        Self::open(dir, manifest, lock)
    }

    fn open(dir: PathBuf, manifest: Manifest, lock: Lock) -> Result<Self> {
        let metrics = Metrics::open(jsonl::path(&dir))?;
        let opened = Instant::now();
        let checkpoint_interval = CheckpointInterval::new(Duration::MAX);
        let events = None;
        let earlier = 0.0;
        let before = Duration::ZERO;
        let held = None;
        let gpu = None;
        Ok(Self {
            dir,
            manifest,
            metrics,
            events,
            opened,
            earlier,
            before,
            follow_up: FollowUpWork::default(),
            checkpoint_interval,
            held,
            gpu,
            _lock: lock,
        })
    }
}
