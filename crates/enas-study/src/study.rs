//! A study in its directory: finished work and next work.
//!
//! ```text
//! runs/<data>-study-<n>/
//!   study.config.json  version, images, every setting
//!   run.lock           lock of the process that works here
//!   trials.jsonl       one line per finished training or search
//!   search-1/ …        the runs of the searches
//!   study.json         the result, of all work or of the work so far
//!   study.md           the same as tables
//!   study.html         the same with a chart
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use enas_arc::Arc;
use enas_data::{Dataset, visible};
use enas_rng::Seed;
use enas_search::{Error, Result, WorkDirectory, write_file};

use crate::arcs::{self, Control};
use crate::clock::Clock;
use crate::config::{StudyConfig, StudyCounts};
use crate::html;
use crate::manifest::{CONFIG, StudyManifest};
use crate::observer::{StudyEvent, StudyObserver};
use crate::plan::{Task, tasks};
use crate::record::{Group, LogLine, SearchPick, StudyTrial, TrialKey};
use crate::session::{NextTraining, PlannedTraining, RandomArcs, SearchObserver, Session, StopReason};
use crate::summary::{StudyInfo, StudySummary};
use crate::trainer::{SearchResult, Trainer};
use crate::trial_log::{self, TrialLog};

/// The result files.
const RESULT: &str = "study.json";
const TABLES: &str = "study.md";
const HTML_PAGE: &str = "study.html";

/// An open study. It holds a lock, so no other process can open it.
#[derive(Debug)]
pub struct Study {
    workplace: WorkDirectory,
    manifest: StudyManifest,
    trial_log: TrialLog,
    trials: BTreeMap<TrialKey, StudyTrial>,
    picks: BTreeMap<usize, SearchPick>,
}

/// How a session of a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// All work is done.
    Complete,
    /// The next unit of work did not fit into the time limit.
    TimeLimit,
}

impl Study {
    /// Creates the directory of a study: `out`, which must be empty or not exist, or `runs/<data>-study-<n>`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `out` is not empty or another process works there, [`Error::Io`] if it cannot be
    /// written, [`Error::Config`] for settings that do not fit together.
    pub fn create(out: Option<&Path>, config: &StudyConfig, data: &Dataset) -> Result<Self> {
        config.check()?;
        let workplace = WorkDirectory::create(out, &data.name, "study", &[CONFIG])?;
        let manifest = StudyManifest::new(config, data);
        let study = Self::open(workplace, manifest)?;
        study.manifest.write(study.dir())?;
        Ok(study)
    }

    /// Opens a study to continue it.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `dir` is not the directory of a study or another process works there;
    /// [`Error::File`] if one of its files cannot be read.
    pub fn resume(dir: &Path) -> Result<Self> {
        // Reads it before locking, so that other directories get no lock file.
        StudyManifest::read(dir)?;
        let workplace = WorkDirectory::open(dir)?;
        let manifest = StudyManifest::read(dir)?;
        Self::open(workplace, manifest)
    }

    fn open(workplace: WorkDirectory, manifest: StudyManifest) -> Result<Self> {
        let (trial_log, lines) = TrialLog::open(workplace.dir())?;
        let (trials, picks) = trials_and_picks(lines);
        Ok(Self { workplace, manifest, trial_log, trials, picks })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.workplace.dir()
    }

    /// Its settings.
    pub fn config(&self) -> &StudyConfig {
        &self.manifest.settings
    }

    /// Increases the numbers of architectures, searches or seeds. Smaller numbers have no effect.
    ///
    /// # Errors
    /// [`Error::Io`] if the settings cannot be written.
    pub fn extend(&mut self, counts: StudyCounts) -> Result<()> {
        let counts = self.manifest.settings.counts.or_more(counts);
        if counts == self.manifest.settings.counts {
            return Ok(());
        }
        self.manifest.settings.counts = counts;
        self.manifest.write(self.workplace.dir())
    }

    /// Refuses images other than those that the study began with.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with a remedy.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        let then = &self.manifest.fingerprint;
        if data.fingerprint == *then {
            return Ok(());
        }
        Err(Error::Mismatch(format!(
            "{}: this study was begun with {} image files of {}. What is there now ({} files) has other contents; put \
             the images back, or begin another study",
            visible(self.dir()),
            then.files,
            self.manifest.data,
            data.fingerprint.files
        )))
    }

    /// Does the remaining work in order, as far as the time limit allows. Every unit is on the disk as soon as it is
    /// finished.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the observer asked to stop; errors of the trainer and the disk.
    pub fn run(
        &mut self,
        trainer: &mut dyn Trainer,
        clock: Clock,
        observer: &mut dyn StudyObserver,
    ) -> Result<SessionEnd> {
        let config = self.manifest.settings.clone();
        let seed = Seed::new(config.seed);
        let n_nodes = config.train.child.nodes;
        let pool = arcs::uniform(config.counts.pool, n_nodes, seed);
        let wide = arcs::wide(config.counts.wide, n_nodes, seed);
        let all = tasks(&config.counts, pool.len(), wide.len());
        let total = all.len();
        let mut session = Session { config, clock, observer, controls: BTreeMap::new(), total };
        let random = RandomArcs { pool, wide };
        for task in all.into_iter().filter(|task| !self.is_done(*task)).collect::<Vec<_>>() {
            let stopped = match task {
                Task::Search(index) => self.search(index, trainer, &mut session)?,
                Task::Train(key) => match self.next_training(key, &random, trainer, &mut session)? {
                    NextTraining::Train(subject) => self.train(key, &subject, trainer, &mut session)?,
                    NextTraining::NoArc => None,
                    NextTraining::Stop => Some(session.stop_reason()),
                },
            };
            match stopped {
                None => {}
                Some(StopReason::TimeLimit) => return Ok(SessionEnd::TimeLimit),
                Some(StopReason::Requested) => return Err(Error::Interrupted { run: self.dir().to_owned() }),
            }
        }
        Ok(SessionEnd::Complete)
    }

    fn is_done(&self, task: Task) -> bool {
        match task {
            Task::Search(index) => self.picks.contains_key(&index),
            Task::Train(key) => self.trials.contains_key(&key),
        }
    }

    fn done(&self) -> usize {
        self.trials.len() + self.picks.len()
    }

    fn search(
        &mut self,
        index: usize,
        trainer: &mut dyn Trainer,
        session: &mut Session<'_>,
    ) -> Result<Option<StopReason>> {
        if session.must_stop() {
            return Ok(Some(session.stop_reason()));
        }
        let seed = session.config.search_seed(index);
        let dir = self.dir().join(format!("search-{}", index + 1));
        let searches = session.config.counts.searches;
        session.observer.event(&StudyEvent::Searching { number: index + 1, searches });
        let found = trainer.search(seed, &dir, &mut SearchObserver(session));
        let found = match found {
            Err(Error::Interrupted { .. }) => return Ok(Some(session.stop_reason())),
            found => found?,
        };
        let SearchResult { arc, small, valid_accuracy, random_valid_accuracy, seconds } = found;
        let pick = SearchPick { index, seed, arc, small, valid_accuracy, random_valid_accuracy, seconds };
        self.trial_log.append(&LogLine::Search(pick.clone()))?;
        self.picks.insert(index, pick.clone());
        session.observer.event(&StudyEvent::Found { pick: &pick, done: self.done(), total: session.total });
        Ok(None)
    }

    fn train(
        &mut self,
        key: TrialKey,
        subject: &PlannedTraining,
        trainer: &mut dyn Trainer,
        session: &mut Session<'_>,
    ) -> Result<Option<StopReason>> {
        // The longest training so far predicts the next one. A training that the limit would cut off is not started.
        let longest = self.trials.values().map(|trial| trial.seconds).fold(0.0, f64::max);
        if session.must_stop() || !session.clock.has(longest) {
            return Ok(Some(session.stop_reason()));
        }
        let seed = session.config.training_seed(key.repeat);
        let began = Instant::now();
        // Names count from 1, keys from 0.
        let name = format!("{} {}, seed {}", key.group.description(), key.index + 1, key.repeat + 1);
        let mut goes_on = |share: f64| {
            session.observer.event(&StudyEvent::Training { name: &name, share });
            !session.observer.should_stop() && session.clock.has_rest_of(began, share)
        };
        let PlannedTraining { arc, fits } = subject.clone();
        let Some(measured) = trainer.train(&arc, seed, &mut goes_on)? else {
            return Ok(Some(session.stop_reason()));
        };
        let seconds = (began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        let trial = StudyTrial { key, seed, arc, measured, fits, seconds };
        self.trial_log.append(&LogLine::Training(trial.clone()))?;
        self.trials.insert(key, trial.clone());
        session.observer.event(&StudyEvent::Trained {
            trial: &trial,
            done: self.done(),
            total: session.total,
        });
        Ok(None)
    }

    /// The architecture of a training.
    fn next_training(
        &self,
        key: TrialKey,
        random: &RandomArcs,
        trainer: &dyn Trainer,
        session: &mut Session<'_>,
    ) -> Result<NextTraining> {
        let of = |arc: &Arc| NextTraining::Train(PlannedTraining { arc: arc.clone(), fits: None });
        Ok(match key.group {
            Group::Pool => of(&random.pool[key.index]),
            Group::Wide => of(&random.wide[key.index]),
            Group::SearchPick => self.picks.get(&key.index).map_or(NextTraining::NoArc, |pick| of(&pick.arc)),
            Group::Control => self.control(key.index, trainer, session)?,
            Group::Small => {
                let small = self.picks.get(&key.index).and_then(|pick| pick.small.as_ref());
                small.map_or(NextTraining::NoArc, of)
            }
        })
    }

    /// The control with this number. All controls of a pick are drawn together.
    fn control(
        &self,
        index: usize,
        trainer: &dyn Trainer,
        session: &mut Session<'_>,
    ) -> Result<NextTraining> {
        let n = session.config.counts.controls;
        let pick_index = index / n;
        let Some(pick) = self.picks.get(&pick_index) else { return Ok(NextTraining::NoArc) };
        if !session.controls.contains_key(&pick_index) {
            let seed = Seed::new(session.config.seed);
            let goes_on = || !session.must_stop();
            let size = |arc: &Arc| trainer.size(arc);
            let Some(drawn) = arcs::controls(&pick.arc, pick_index, n, seed, &size, &goes_on)? else {
                return Ok(NextTraining::Stop);
            };
            session.controls.insert(pick_index, drawn);
        }
        // A very small space may have fewer.
        let control = session.controls[&pick_index].get(index % n);
        Ok(control.map_or(NextTraining::NoArc, |Control { arc, fits }| {
            NextTraining::Train(PlannedTraining { arc: arc.clone(), fits: Some(*fits) })
        }))
    }

    /// The results of the trainings so far.
    pub fn summary(&self) -> StudySummary {
        summary(
            &self.manifest,
            self.trials.values().cloned().collect(),
            self.picks.values().cloned().collect(),
        )
    }

    /// Writes `study.json`, `study.md` and `study.html`. Equal results give equal bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn write(&self, summary: &StudySummary) -> Result<()> {
        let json = serde_json::to_string_pretty(summary).expect("a summary is plain data");
        write_file(&self.dir().join(RESULT), format!("{json}\n").as_bytes())?;
        write_file(&self.dir().join(TABLES), summary.markdown().as_bytes())?;
        let trials: Vec<&StudyTrial> = self.trials.values().collect();
        write_file(&self.page_path(), html::page(summary, &trials).as_bytes())
    }

    /// The path of the page with the chart, whether or not it exists.
    pub fn page_path(&self) -> PathBuf {
        self.dir().join(HTML_PAGE)
    }
}

/// The results so far of a study in `dir`, also while another process works on it.
///
/// # Errors
/// [`Error::RunDirectory`] if `dir` is not the directory of a study; [`Error::File`] if a file cannot be read.
pub fn read_summary(dir: &Path) -> Result<StudySummary> {
    let manifest = StudyManifest::read(dir)?;
    let (trials, picks) = trials_and_picks(trial_log::read(dir)?);
    Ok(summary(&manifest, trials.into_values().collect(), picks.into_values().collect()))
}

fn summary(manifest: &StudyManifest, trials: Vec<StudyTrial>, picks: Vec<SearchPick>) -> StudySummary {
    let settings = &manifest.settings;
    StudySummary::of(
        &StudyInfo { data: manifest.data.clone(), seed: settings.seed, counts: settings.counts },
        &trials,
        &picks,
    )
}

fn trials_and_picks(lines: Vec<LogLine>) -> (BTreeMap<TrialKey, StudyTrial>, BTreeMap<usize, SearchPick>) {
    let mut trials = BTreeMap::new();
    let mut picks = BTreeMap::new();
    for line in lines {
        match line {
            LogLine::Training(trial) => drop(trials.insert(trial.key, trial)),
            LogLine::Search(pick) => drop(picks.insert(pick.index, pick)),
        }
    }
    (trials, picks)
}
