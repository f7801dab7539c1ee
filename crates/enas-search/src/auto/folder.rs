//! The folder of an automatic run: one run directory per phase, and the best model so far on top.
//!
//! ```text
//! runs/<data>-auto-<n>/
//!   auto.json          version, data, time limit and time used
//!   search.toml        every setting of the search
//!   train.toml         every setting of both trainings
//!   split.json         which file is in which split
//!   first/             training of a random arc
//!   search/            the search
//!   train/             training of the arc found
//!   model.safetensors  the best of both models by validation accuracy
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use enas_data::{Dataset, Fingerprint};
use enas_kernels::gpu::Gpu;
use serde::{Deserialize, Serialize};

use super::{AutoConfig, AutoPhase, AutoPlan};
use crate::atomic;
use crate::bounded::{SMALL_FILE, read_plain_text};
use crate::config::{Layers, TimeLimit};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::run::{self, Run};

const AUTO: &str = "auto.json";
const SEARCH: &str = "search.toml";
const TRAIN: &str = "train.toml";
const MODEL: &str = "model.safetensors";

/// An open folder of an automatic run.
#[derive(Debug)]
pub struct AutoRun {
    dir: PathBuf,
    about: About,
    /// The moment from which this session's time counts.
    began: Instant,
    gpu: Option<Gpu>,
}

/// The contents of `auto.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    version: String,
    data: String,
    fingerprint: Fingerprint,
    time: TimeLimit,
    /// What the caller keeps for itself at the end, in seconds.
    finish: f64,
    /// Wall time of earlier sessions.
    seconds: f64,
    plan: Option<AutoPlan>,
}

impl AutoRun {
    /// Creates the folder: `out`, which must not exist or be empty, or `runs/<data>-auto-<n>`. The run's time counts
    /// from `began` on.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when `out` holds something, [`Error::Io`] when it cannot be written.
    pub fn create(out: Option<&Path>, config: &AutoConfig, data: &Dataset, began: Instant) -> Result<Self> {
        let dir = match out {
            Some(dir) => run::claim(dir)?,
            None => run::claim_default(&data.name, "auto")?,
        };
        run::write_config(&dir.join(SEARCH), &config.search)?;
        run::write_config(&dir.join(TRAIN), &config.train)?;
        run::write_json(&dir.join(run::SPLIT), &data.split_file())?;
        let about = About {
            version: env!("CARGO_PKG_VERSION").into(),
            data: data.name.clone(),
            fingerprint: data.fingerprint.clone(),
            time: config.time,
            finish: config.finish,
            seconds: 0.0,
            plan: None,
        };
        let run = Self { dir, about, began, gpu: None };
        run.save()?;
        Ok(run)
    }

    /// Opens a folder to go on with it. This session's time counts from `began` on.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when `dir` is not the folder of an automatic run.
    pub fn resume(dir: &Path, began: Instant) -> Result<Self> {
        let path = dir.join(AUTO);
        let Ok(text) = read_plain_text(&path, SMALL_FILE) else {
            let problem = format!("this is not the folder of an automatic run: it has no {AUTO}");
            return Err(Error::RunDirectory { path: dir.to_owned(), problem });
        };
        let about = serde_json::from_str(&text).map_err(|e| Error::File {
            path,
            problem: format!("not of this version ({e}); resume with the version that started the run"),
        })?;
        Ok(Self { dir: dir.to_owned(), about, began, gpu: None })
    }

    /// What the run was started with.
    ///
    /// # Errors
    /// [`Error::Config`] when a file was edited into something invalid.
    pub fn config(&self) -> Result<AutoConfig> {
        Ok(AutoConfig {
            search: Layers::file(self.dir.join(SEARCH)).load()?,
            train: Layers::file(self.dir.join(TRAIN)).load()?,
            time: self.about.time,
            finish: self.about.finish,
        })
    }

    /// Loads the pictures in the splits that this run uses.
    ///
    /// # Errors
    /// As [`enas_data::load_with_split`], and [`Error::RunDirectory`] when the pictures have changed since.
    pub fn load_data(&self, config: &AutoConfig) -> Result<Dataset> {
        let split = run::stored_split(&self.dir)?;
        let data = enas_data::load_with_split(&config.search.data, config.search.run.seed(), &split)?;
        run::same_pictures(&self.dir, &self.about.data, &self.about.fingerprint, &data)?;
        Ok(data)
    }

    /// Computes on `gpu` instead of the CPU.
    pub fn use_gpu(&mut self, gpu: Gpu) {
        self.gpu = Some(gpu);
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run directory of a phase, which is there from its beginning on.
    pub fn phase_dir(&self, phase: AutoPhase) -> PathBuf {
        self.dir.join(phase.folder())
    }

    /// Where the best model is, from the end of the first phase on.
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
        self.save()
    }

    /// The run of a phase: a new one from `create`, or the one there is.
    pub(super) fn phase_run(
        &self,
        phase: AutoPhase,
        create: impl FnOnce(&Path) -> Result<Run>,
    ) -> Result<Run> {
        let dir = self.phase_dir(phase);
        let mut run = if Run::exists(&dir) { Run::resume(&dir)? } else { create(&dir)? };
        if let Some(gpu) = &self.gpu {
            run.use_gpu(gpu.clone())?;
        }
        Ok(run)
    }

    /// Puts the better of the two models on top, the later one on a tie, and notes the time. Returns whose it is.
    pub(super) fn settle(&mut self) -> Result<Option<AutoPhase>> {
        let mut best: Option<(AutoPhase, PathBuf, f64)> = None;
        for phase in [AutoPhase::First, AutoPhase::Train] {
            let path = self.phase_dir(phase).join(MODEL);
            if path.exists() {
                let accuracy = Model::load(&path)?.accuracy().valid;
                if best.as_ref().is_none_or(|(_, _, so_far)| accuracy >= *so_far) {
                    best = Some((phase, path, accuracy));
                }
            }
        }
        if let Some((_, path, _)) = &best {
            let bytes = fs::read(path).map_err(|source| run::io("cannot read", path, source))?;
            atomic::write(&self.model_path(), &[&bytes])?;
        }
        self.about.seconds = self.seconds();
        self.began = Instant::now();
        self.save()?;
        Ok(best.map(|(phase, _, _)| phase))
    }

    fn save(&self) -> Result<()> {
        run::write_json(&self.dir.join(AUTO), &self.about)
    }
}
