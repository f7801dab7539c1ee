//! Read-only access to a run directory, for reports and views.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use enas_arc::{Arc, Arch};
use enas_data::{Dataset, SplitFile};
use enas_rng::Seed;
use serde::Deserialize;

use crate::config::{ConfigBuilder, Settings};
use crate::directory::data_identity::ExpectedData;
use crate::directory::files::{
    BEST_ARC, CONFIG, MANIFEST, MEASURED, MODEL, read_arc, read_arch, stored_split,
};
use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::files::limited_read::{SMALL_FILE, read_plain_text};
use crate::finals::{FinalsOutcome, Pick, Picks};
use crate::log::jsonl;
use crate::memory::MemoryPlan;

/// A run, finished or not, opened for reading.
#[derive(Clone, Debug)]
pub struct RunReader {
    dir: PathBuf,
    manifest: Manifest,
}

impl RunReader {
    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `dir` is not a run directory; [`Error::File`] if its manifest cannot be parsed.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = match read_plain_text(&path, SMALL_FILE) {
            Ok(text) => text,
            Err(e) => {
                use ErrorKind::{InvalidData, InvalidInput, NotADirectory, NotFound};
                return Err(match e.kind() {
                    NotFound | NotADirectory | InvalidInput => {
                        Error::run_directory(dir, "this is not a run directory: it has no manifest.json")
                    }
                    InvalidData => Error::run_directory(
                        dir,
                        &format!("this is not a run directory: its manifest.json is invalid ({e})"),
                    ),
                    _ => Error::io("cannot read", &path, e),
                });
            }
        };
        let manifest = serde_json::from_str(&text).map_err(|e| Error::File {
            path,
            problem: format!("not a manifest of this version ({e}); use the version that started the run"),
        })?;
        Ok(Self::new(dir.to_owned(), manifest))
    }

    pub(crate) fn new(dir: PathBuf, manifest: Manifest) -> Self {
        Self { dir, manifest }
    }

    pub(crate) fn into_parts(self) -> (PathBuf, Manifest) {
        (self.dir, self.manifest)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The manifest: what the run is and the machine it ran on.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The settings that the run was started with.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if the run is of the other kind; [`Error::Config`] if the file is invalid in this
    /// version.
    pub fn config<C: Settings>(&self) -> Result<C> {
        self.config_builder::<C>()?.load()
    }

    /// The settings that the run was started with, as a base for other configurations.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if the run is of the other kind.
    pub fn config_builder<C: Settings>(&self) -> Result<ConfigBuilder> {
        if C::KIND != self.manifest.kind {
            let problem =
                format!("this is the run of a {}, not of a {}", self.manifest.kind.noun(), C::KIND.noun());
            return Err(Error::run_directory(&self.dir, &problem));
        }
        if !self.config_path().is_file() {
            return Err(Error::run_directory(&self.dir, &format!("the run has no {CONFIG}")));
        }
        Ok(ConfigBuilder::file(self.config_path()))
    }

    /// Path of the settings.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    /// Path of the event log, one JSON object per line.
    pub fn metrics_path(&self) -> PathBuf {
        jsonl::path(&self.dir)
    }

    /// Path of the trained network; the file exists once there is a model.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    /// Path of the measured network: the one before the refit if there was one, otherwise the trained network.
    pub fn measured_path(&self) -> PathBuf {
        let before = self.dir.join(MEASURED);
        if before.is_file() { before } else { self.model_path() }
    }

    /// Path of the arc found or trained; the file exists once the run has finished.
    pub fn best_arc_path(&self) -> PathBuf {
        self.dir.join(BEST_ARC)
    }

    /// The architecture found or trained.
    ///
    /// # Errors
    /// If the file does not exist yet; the error says how to finish the run.
    pub fn best_arch(&self) -> Result<Arch> {
        self.must_have_best_arc()?;
        read_arch(&self.best_arc_path())
    }

    /// The cells found or trained.
    ///
    /// # Errors
    /// As [`best_arch`](Self::best_arch); [`Error::CellsOnly`] for an architecture of the macro space.
    pub fn best_arc(&self) -> Result<Arc> {
        self.must_have_best_arc()?;
        read_arc(&self.best_arc_path())
    }

    fn must_have_best_arc(&self) -> Result<()> {
        if !self.best_arc_path().is_file() {
            let problem = format!("the run has no {BEST_ARC} yet; finish it with --resume");
            return Err(Error::run_directory(&self.dir, &problem));
        }
        Ok(())
    }

    /// One of the three picks of a search.
    ///
    /// # Errors
    /// As [`best_arc`](Self::best_arc); [`Error::RunDirectory`] if the search had no finals. Without finals, the
    /// balanced pick is the arc found.
    pub fn pick(&self, pick: Pick) -> Result<Arc> {
        #[derive(Deserialize)]
        struct Offered {
            picks: Option<Picks>,
        }
        let best = self.best_arc()?;
        let text = read_plain_text(&self.best_arc_path(), SMALL_FILE)
            .map_err(|source| Error::io("cannot read", &self.best_arc_path(), source))?;
        match serde_json::from_str::<Offered>(&text).ok().and_then(|offered| offered.picks) {
            Some(picks) => Ok(picks.of(pick).clone()),
            None if pick == Pick::Balanced => Ok(best),
            None => {
                let problem =
                    "this run offers one architecture only: its settings had no finals; leave --pick out";
                Err(Error::run_directory(&self.dir, problem))
            }
        }
    }

    /// The result of the finals of a finished search; `None` if its settings had none.
    ///
    /// # Errors
    /// As [`best_arc`](Self::best_arc).
    pub fn finals(&self) -> Result<Option<FinalsOutcome>> {
        self.best_arc()?;
        let text = read_plain_text(&self.best_arc_path(), SMALL_FILE)
            .map_err(|source| Error::io("cannot read", &self.best_arc_path(), source))?;
        // Without finals some of the fields are missing, and parsing fails.
        Ok(serde_json::from_str(&text).ok())
    }

    /// The stored split.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] if it cannot be read.
    pub fn split(&self) -> Result<SplitFile> {
        stored_split(&self.dir)
    }

    /// Loads the images in the splits of this run, independently of the seed: stored as `plan` says or, without one, as
    /// the machine's memory allows.
    ///
    /// # Errors
    /// As [`enas_data::load`]; [`Error::RunDirectory`] with the differing files if the images have
    /// changed; [`Error::Mismatch`] if they are missing.
    pub fn load_data(
        &self,
        config: &enas_data::Config,
        seed: Seed,
        plan: Option<&MemoryPlan>,
    ) -> Result<Dataset> {
        self.expected().load(config, seed, plan)
    }

    /// Checks that the images are still at their place.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with what to do.
    pub fn find_images(&self, config: &enas_data::Config) -> Result<()> {
        self.expected().find(config)
    }

    /// Refuses a data set other than the one the run was started with.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] with the differing files.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        self.expected().check(data)
    }

    fn expected(&self) -> ExpectedData<'_> {
        let Manifest { data: name, fingerprint, .. } = &self.manifest;
        ExpectedData { dir: &self.dir, name, fingerprint, or_else: ", or give their new place with --data" }
    }
}
