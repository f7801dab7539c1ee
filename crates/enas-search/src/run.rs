//! The directory of a run: created once, never overwritten, resumable at any time.
//!
//! ```text
//! runs/<data>-search-<n>/
//!   config.toml        every setting, with the version that wrote it
//!   manifest.json      version, revision, device, threads, data fingerprint
//!   split.json         which file is in which split
//!   metrics.jsonl      one JSON object per event
//!   events.out.tfevents.*  the same scalars for TensorBoard, a file per session
//!   checkpoints/       the newest two
//!   best.arc.json      the arc found or trained
//!   model.safetensors  the trained network (training only)
//! ```

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_arc::{Arc, Cell};
use enas_child::{Child, Named};
use enas_data::{Dataset, SplitFile};
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::bounded::{SMALL_FILE, read_plain_text, read_text};
use crate::checkpoint::Checkpoint;
use crate::config::{RunConfig, SearchConfig, Settings, TrainConfig};
use crate::error::{Error, Result};
use crate::metrics::{self, Metrics};
use crate::presets::split_comments;
use crate::record::Record;
use crate::tensorboard::{Events, Mark};

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Searches for an arc.
    Search,
    /// Trains one arc from scratch.
    Train,
}

/// What reproduces a run beside its configuration, and what it ran on: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Search or training.
    pub kind: Kind,
    /// Version of the program.
    pub version: String,
    /// Git revision of the program, or `unknown`.
    pub revision: String,
    /// What computed: `cpu`.
    pub device: String,
    /// Threads of the pool at the start.
    pub threads: usize,
    /// Name of the data set.
    pub data: String,
    /// Number and hash of the picture files.
    pub fingerprint: enas_data::Fingerprint,
    /// The arc that is trained (training only).
    pub arc: Option<Arc>,
    /// The run directory of the search that found the arc (training only), if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PathBuf>,
}

/// An open run directory.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    manifest: Manifest,
    metrics: Metrics,
    /// Begun when one of the loops begins or goes on.
    events: Option<Events>,
    opened: Instant,
    /// Wall time of earlier sessions, in seconds.
    earlier: f64,
    saved: Instant,
    checkpoint_every: Duration,
    gpu: Option<Gpu>,
}

impl Run {
    /// Creates the directory of a new search.
    ///
    /// `out` is the directory, which must not exist or be empty; without it, `runs/<data>-search-<n>` with the
    /// first free `n`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when `out` holds something, [`Error::Io`] when it cannot be written, [`Error::Config`]
    /// for class weights that are not those of the classes.
    pub fn for_search(out: Option<&Path>, config: &SearchConfig, data: &Dataset) -> Result<Self> {
        // What the data do not suit is refused before anything is written.
        config.run.class_weights.of(data.train.labels(), &data.classes)?;
        Self::create(out, config, Manifest::new(Kind::Search, data, None), data)
    }

    /// Creates the directory of a new training of `arc`: `out`, or `runs/<data>-train-<n>`.
    ///
    /// # Errors
    /// As [`Run::for_search`].
    pub fn for_training(out: Option<&Path>, config: &TrainConfig, arc: &Arc, data: &Dataset) -> Result<Self> {
        config.run.class_weights.of(data.train.labels(), &data.classes)?;
        Self::create(out, config, Manifest::new(Kind::Train, data, Some(arc)), data)
    }

    /// Opens a run to go on with it: give it to [`crate::search()`] or [`crate::train()`] with its own
    /// [`Run::config`] (and [`Run::arc`]) and the same data.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when `dir` is no run directory.
    pub fn resume(dir: &Path) -> Result<Self> {
        let (dir, manifest) = Record::open(dir)?.into_parts();
        Self::open(dir, manifest)
    }

    /// The same directory, to read from.
    pub fn record(&self) -> Record {
        Record::new(self.dir.clone(), self.manifest.clone())
    }

    /// Whether `dir` holds a run.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(MANIFEST).exists()
    }

    /// The configuration the run was started with.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] when the run is of the other kind, [`Error::Config`] when the file was edited into
    /// something invalid.
    pub fn config<C: Settings>(&self) -> Result<C> {
        self.record().config()
    }

    /// Loads the pictures in the splits that this run uses, whatever the seed.
    ///
    /// For going on with the run, and for training what a search found on the pictures it was found with.
    ///
    /// # Errors
    /// As [`enas_data::load_with_split`], and [`Error::RunDirectory`] when the pictures have changed since.
    pub fn load_data(&self, config: &enas_data::Config, seed: Seed) -> Result<Dataset> {
        self.record().load_data(config, seed)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Search or training.
    pub fn kind(&self) -> Kind {
        self.manifest.kind
    }

    /// The names of the classes that this run tells apart, in label order.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] when the stored split cannot be read.
    pub fn classes(&self) -> Result<Vec<String>> {
        Ok(stored_split(&self.dir)?.classes)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The arc that this training trains; `None` for a search.
    pub fn arc(&self) -> Option<&Arc> {
        self.manifest.arc.as_ref()
    }

    /// Where the arc found or trained is, or will be.
    pub fn best_arc_path(&self) -> PathBuf {
        self.dir.join(BEST_ARC)
    }

    /// Where the trained network is, or will be.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    /// The arc in `best.arc.json`: the result of a finished search or training.
    ///
    /// # Errors
    /// Says how to finish the run when the file is not there yet.
    pub fn best_arc(&self) -> Result<Arc> {
        self.record().best_arc()
    }

    /// Wall time over all sessions, in seconds.
    pub fn seconds(&self) -> f64 {
        self.earlier + self.opened.elapsed().as_secs_f64()
    }

    /// Appends an event to `metrics.jsonl`, and its numbers to the events file, at `step` of all events of this kind.
    pub(crate) fn log(&mut self, kind: &str, step: u64, event: &impl Serialize) -> Result<()> {
        let fields = metrics::fields(event);
        self.metrics.append(self.seconds(), kind, &fields)?;
        self.events.as_mut().map_or(Ok(()), |events| events.add(kind, step, &fields))
    }

    /// Lets TensorBoard see what was logged so far.
    pub(crate) fn flush_events(&mut self) -> Result<Option<Mark>> {
        self.events.as_mut().map(Events::flush).transpose()
    }

    /// Writes `best.arc.json`: the arc in both forms, and `fields`.
    pub(crate) fn write_best_arc(&self, arc: &Arc, fields: &impl Serialize) -> Result<()> {
        write_json(
            &self.best_arc_path(),
            &ArcFile { arc, normal: ints(arc.normal()), reduction: ints(arc.reduction()), fields },
        )
    }

    /// The state to go on from; `None` at the start of a run. What the log says about later moments is forgotten.
    pub(crate) fn restore<P: Serialize + DeserializeOwned>(&mut self) -> Result<Option<Checkpoint<P>>> {
        let checkpoint = Checkpoint::newest(&self.checkpoints())?;
        self.earlier = checkpoint.as_ref().map_or(0.0, |c| c.seconds);
        self.opened = Instant::now();
        self.saved = self.opened;
        self.metrics.rewind(checkpoint.as_ref().map_or(0, |c| c.metrics_bytes))?;
        let known = checkpoint.as_ref().map_or(Some(Mark::START), |c| c.events);
        self.events = Some(Events::begin(&self.dir, known)?);
        Ok(checkpoint)
    }

    /// Writes a checkpoint and returns its path.
    pub(crate) fn save<P: Serialize + DeserializeOwned>(&mut self, state: State<P>) -> Result<PathBuf> {
        let State { progress, tensors } = state;
        let metrics_bytes = self.metrics.len()?;
        let events = self.flush_events()?;
        let checkpoint = Checkpoint { progress, metrics_bytes, events, seconds: self.seconds(), tensors };
        let path = checkpoint.save(&self.checkpoints())?;
        self.saved = Instant::now();
        Ok(path)
    }

    /// Whether the last checkpoint is old enough for another one.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        self.saved.elapsed() >= self.checkpoint_every
    }

    /// Refuses a data set that is not the one the run was started with.
    pub(crate) fn check_data(&self, data: &Dataset) -> Result<()> {
        self.record().check_data(data)
    }

    fn create<C: Settings>(
        out: Option<&Path>,
        config: &C,
        manifest: Manifest,
        data: &Dataset,
    ) -> Result<Self> {
        let dir = match out {
            Some(dir) => claim(dir)?,
            None => claim_default(&data.name, &manifest.kind.to_string())?,
        };
        write_config(&dir.join(CONFIG), config)?;
        write_json(&dir.join(MANIFEST), &manifest)?;
        write_json(&dir.join(SPLIT), &data.split_file())?;
        make_dir(&dir.join(CHECKPOINTS))?;
        Self::open(dir, manifest)
    }

    fn open(dir: PathBuf, manifest: Manifest) -> Result<Self> {
        let metrics = Metrics::open(metrics::path(&dir))?;
        let now = Instant::now();
        let checkpoint_every = Duration::MAX;
        Ok(Self {
            dir,
            manifest,
            metrics,
            events: None,
            opened: now,
            earlier: 0.0,
            saved: now,
            checkpoint_every,
            gpu: None,
        })
    }

    /// Computes on `gpu` instead of the CPU. A run may go on on another device than it began on; from there on its
    /// numbers differ in rounding.
    ///
    /// # Errors
    /// [`Error::Io`] when the manifest, which names the device, cannot be written.
    pub fn use_gpu(&mut self, gpu: Gpu) -> Result<()> {
        self.manifest.device = gpu.name();
        self.gpu = Some(gpu);
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Notes in the manifest which search found the arc that this run trains.
    ///
    /// # Errors
    /// [`Error::Io`] when the manifest cannot be written.
    pub fn set_search(&mut self, search: &Path) -> Result<()> {
        self.manifest.search = Some(search.to_owned());
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Moves a network to where the run computes, with activations as its configuration has them.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no GPU for what needs one; what the GPU reports.
    pub(crate) fn place(&self, child: &mut Child, config: &RunConfig) -> Result<()> {
        config.check_device(self.gpu.as_ref())?;
        match &self.gpu {
            Some(gpu) => Ok(child.use_gpu(gpu, config.activations.into())?),
            None => Ok(()),
        }
    }

    /// Sets the age at which a checkpoint is due to be followed by another.
    pub(crate) fn checkpoint_every(&mut self, seconds: u64) {
        self.checkpoint_every = Duration::from_secs(seconds);
    }

    fn checkpoints(&self) -> PathBuf {
        self.dir.join(CHECKPOINTS)
    }
}

/// Refuses pictures other than those of the run in `dir`, whose data set `name` had this fingerprint.
pub(crate) fn same_pictures(
    dir: &Path,
    name: &str,
    fingerprint: &enas_data::Fingerprint,
    data: &Dataset,
) -> Result<()> {
    if data.fingerprint == *fingerprint {
        return Ok(());
    }
    let problem = format!(
        "the pictures of {name} are not those the run was started with; restore them, or start a new run"
    );
    Err(directory(dir, &problem))
}

/// What a checkpoint is made of.
pub(crate) struct State<P> {
    /// Where the loop stands.
    pub(crate) progress: P,
    /// Weights and optimiser states.
    pub(crate) tensors: Vec<Named>,
}

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODEL: &str = "model.safetensors";
/// The split that a run directory holds.
pub(crate) fn stored_split(run: &Path) -> Result<SplitFile> {
    let path = run.join(SPLIT);
    let text = read_plain_text(&path, MAX_SPLIT)
        .map_err(|source| io("cannot read the stored split", &path, source))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::File { path, problem: format!("not a stored split of this version ({e})") })
}

pub(crate) const SPLIT: &str = "split.json";
/// Most bytes of a stored split: a line for each of some million pictures.
const MAX_SPLIT: u64 = 1 << 30;
const CHECKPOINTS: &str = "checkpoints";
pub(crate) const BEST_ARC: &str = "best.arc.json";

impl Manifest {
    fn new(kind: Kind, data: &Dataset, arc: Option<&Arc>) -> Self {
        Self {
            kind,
            version: env!("CARGO_PKG_VERSION").into(),
            revision: env!("ENAS_REVISION").into(),
            device: "cpu".into(),
            threads: rayon::current_num_threads(),
            data: data.name.clone(),
            fingerprint: data.fingerprint.clone(),
            arc: arc.cloned(),
            search: None,
        }
    }
}

/// The contents of `best.arc.json`.
#[derive(Serialize)]
struct ArcFile<'a, T> {
    arc: &'a Arc,
    normal: Vec<usize>,
    reduction: Vec<usize>,
    #[serde(flatten)]
    fields: &'a T,
}

/// The numbers of one cell, as in the integer form of an arc.
fn ints(cell: &Cell) -> Vec<usize> {
    cell.nodes().iter().flat_map(|n| [n.x.input, n.x.op.id(), n.y.input, n.y.op.id()]).collect()
}

/// Reads an arc from a file: a `best.arc.json`, or text in either form of an arc with `#` comments.
///
/// # Errors
/// [`Error::File`] names the file and what is wrong with the arc in it.
pub fn read_arc(path: &Path) -> Result<Arc> {
    #[derive(Deserialize)]
    struct OnlyArc {
        arc: String,
    }
    let text = read_text(path, SMALL_FILE).map_err(|source| io("cannot read the arc file", path, source))?;
    let broken = |problem: String| Error::File { path: path.to_owned(), problem };
    let arc = if text.trim_start().starts_with('{') {
        serde_json::from_str::<OnlyArc>(&text).map_err(|e| broken(format!("no JSON with an `arc`: {e}")))?.arc
    } else {
        split_comments(&text).1
    };
    Arc::parse_any(&arc).map_err(|e| broken(e.to_string()))
}

/// Makes sure that `dir` is there and empty.
pub(crate) fn claim(dir: &Path) -> Result<PathBuf> {
    make_dir(dir)?;
    let mut entries = fs::read_dir(dir).map_err(|source| io("cannot read", dir, source))?;
    if entries.next().is_some() {
        let remedy = if dir.join(MANIFEST).exists() {
            "this run exists already; go on with it by --resume, or choose another --out"
        } else {
            "the directory is not empty, and a run overwrites nothing; choose another --out"
        };
        return Err(directory(dir, remedy));
    }
    Ok(dir.to_owned())
}

/// Creates the first of `runs/<data>-<kind>-1`, `-2`, … that does not exist.
pub(crate) fn claim_default(data: &str, kind: &str) -> Result<PathBuf> {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let data: String = data.chars().map(plain).collect();
    let root = Path::new("runs");
    make_dir(root)?;
    for n in 1u64.. {
        let dir = root.join(format!("{data}-{kind}-{n}"));
        // Creating is the test, so that two runs that start together do not share a directory.
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(io("cannot create", &dir, source)),
        }
    }
    unreachable!("there are more numbers than directories")
}

pub(crate) fn write_config<C: Settings>(path: &Path, config: &C) -> Result<()> {
    let body = toml::to_string(config).expect("a configuration is plain data");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("# Every setting of this {}, as enas {version} ran it.\n\n{body}", C::KIND);
    atomic::write(path, &[text.as_bytes()])
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).expect("plain data");
    text.push('\n');
    atomic::write(path, &[text.as_bytes()])
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| io("cannot create", dir, source))
}

pub(crate) fn directory(path: &Path, problem: &str) -> Error {
    Error::RunDirectory { path: path.to_owned(), problem: problem.to_owned() }
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "search",
            Self::Train => "train",
        })
    }
}
