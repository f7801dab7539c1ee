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
use enas_data::Dataset;
use enas_rng::Seed;
use enas_search::{Error, Result, WorkDirectory, write_file};

use crate::about::{About, CONFIG};
use crate::arcs::{self, Control};
use crate::clock::Clock;
use crate::config::{Counts, StudyConfig};
use crate::journal::{self, Journal};
use crate::laboratory::{Found, Laboratory};
use crate::observer::{StudyEvent, StudyObserver};
use crate::page;
use crate::plan::{Task, tasks};
use crate::record::{Group, Key, Line, Pick, Trial};
use crate::session::{Next, PassedOn, Random, Session, Stopped, Training};
use crate::summary::{Subject, Summary};

/// The result files.
const RESULT: &str = "study.json";
const TABLES: &str = "study.md";
const PAGE: &str = "study.html";

/// An open study. It holds a lock, so no other process can open it.
#[derive(Debug)]
pub struct Study {
    place: WorkDirectory,
    about: About,
    journal: Journal,
    trials: BTreeMap<Key, Trial>,
    picks: BTreeMap<usize, Pick>,
}

/// How a session of a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All work is done.
    Complete,
    /// The next unit of work did not fit into the time limit.
    TimeIsUp,
}

impl Study {
    /// Creates the directory of a study: `out`, which must be empty or not exist, or `runs/<data>-study-<n>`.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `out` is not empty or another process works there, [`Error::Io`] if it cannot be
    /// written, [`Error::Config`] for settings that do not fit together.
    pub fn create(out: Option<&Path>, config: &StudyConfig, data: &Dataset) -> Result<Self> {
        config.check()?;
        let place = WorkDirectory::create(out, &data.name, "study", &[CONFIG])?;
        let about = About::new(config, data);
        let study = Self::open(place, about)?;
        study.about.write(study.dir())?;
        Ok(study)
    }

    /// Opens a study to continue it.
    ///
    /// # Errors
    /// [`Error::RunDirectory`] if `dir` is not the directory of a study or another process works there;
    /// [`Error::File`] if one of its files cannot be read.
    pub fn resume(dir: &Path) -> Result<Self> {
        // Reads it before locking, so that other directories get no lock file.
        About::read(dir)?;
        let place = WorkDirectory::open(dir)?;
        let about = About::read(dir)?;
        Self::open(place, about)
    }

    fn open(place: WorkDirectory, about: About) -> Result<Self> {
        let (journal, lines) = Journal::open(place.dir())?;
        let (trials, picks) = sorted(lines);
        Ok(Self { place, about, journal, trials, picks })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// Its settings.
    pub fn config(&self) -> &StudyConfig {
        &self.about.settings
    }

    /// Increases the numbers of architectures, searches or seeds. Smaller numbers have no effect.
    ///
    /// # Errors
    /// [`Error::Io`] if the settings cannot be written.
    pub fn extend(&mut self, counts: Counts) -> Result<()> {
        let counts = self.about.settings.counts.or_more(counts);
        if counts == self.about.settings.counts {
            return Ok(());
        }
        self.about.settings.counts = counts;
        self.about.write(self.place.dir())
    }

    /// Refuses images other than those that the study began with.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with a remedy.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        if data.fingerprint == self.about.fingerprint {
            return Ok(());
        }
        let (now, then) = (&data.fingerprint, &self.about.fingerprint);
        Err(Error::Mismatch(format!(
            "{}: this study was begun with {} image files of {}, and what is there now ({} files) has other contents; put \
             the images back, or begin another study",
            self.dir().display(),
            then.files,
            self.about.data,
            now.files
        )))
    }

    /// Does the remaining work in order, as far as the time limit allows. Every unit is on the disk as soon as it is
    /// finished.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the observer asked to stop; errors of the laboratory and the disk.
    pub fn run(
        &mut self,
        laboratory: &mut dyn Laboratory,
        clock: Clock,
        observer: &mut dyn StudyObserver,
    ) -> Result<Ended> {
        let config = self.about.settings.clone();
        let (seed, n_nodes) = (Seed::new(config.seed), config.train.child.nodes);
        let pool = arcs::uniform(config.counts.pool, n_nodes, seed);
        let wide = arcs::wide(config.counts.wide, n_nodes, seed);
        let all = tasks(&config.counts, pool.len(), wide.len());
        let total = all.len();
        let mut session = Session { config, clock, observer, controls: BTreeMap::new(), total };
        let random = Random { pool, wide };
        for task in all.into_iter().filter(|task| !self.is_done(*task)).collect::<Vec<_>>() {
            let stopped = match task {
                Task::Search(index) => self.search(index, laboratory, &mut session)?,
                Task::Train(key) => match self.next(key, &random, laboratory, &mut session)? {
                    Next::Train(subject) => self.train(key, &subject, laboratory, &mut session)?,
                    Next::Nothing => None,
                    Next::Stop => Some(session.why()),
                },
            };
            match stopped {
                None => {}
                Some(Stopped::Time) => return Ok(Ended::TimeIsUp),
                Some(Stopped::Asked) => return Err(Error::Interrupted { run: self.dir().to_owned() }),
            }
        }
        Ok(Ended::Complete)
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
        laboratory: &mut dyn Laboratory,
        session: &mut Session<'_>,
    ) -> Result<Option<Stopped>> {
        if session.must_stop() {
            return Ok(Some(session.why()));
        }
        let seed = session.config.search_seed(index);
        let dir = self.dir().join(format!("search-{}", index + 1));
        let (number, searches) = (index + 1, session.config.counts.searches);
        session.observer.event(&StudyEvent::Searching { number, searches });
        let found = laboratory.search(seed, &dir, &mut PassedOn(session));
        let found = match found {
            Err(Error::Interrupted { .. }) => return Ok(Some(session.why())),
            found => found?,
        };
        let Found { arc, small, valid_accuracy, random_valid_accuracy, seconds } = found;
        let pick = Pick { index, seed, arc, small, valid_accuracy, random_valid_accuracy, seconds };
        self.journal.append(&Line::Search(pick.clone()))?;
        self.picks.insert(index, pick.clone());
        session.observer.event(&StudyEvent::Found { pick: &pick, done: self.done(), total: session.total });
        Ok(None)
    }

    fn train(
        &mut self,
        key: Key,
        subject: &Training,
        laboratory: &mut dyn Laboratory,
        session: &mut Session<'_>,
    ) -> Result<Option<Stopped>> {
        // The longest training so far predicts the next one. A training that the limit would cut off is not started.
        let longest = self.trials.values().map(|trial| trial.seconds).fold(0.0, f64::max);
        if session.must_stop() || !session.clock.has(longest) {
            return Ok(Some(session.why()));
        }
        let (seed, began) = (session.config.training_seed(key.repeat), Instant::now());
        // Names count from 1, keys from 0.
        let name = format!("{} {}, seed {}", key.group.words(), key.index + 1, key.repeat + 1);
        let mut goes_on = |share: f64| {
            session.observer.event(&StudyEvent::Training { name: &name, share });
            !session.observer.should_stop() && session.clock.has_rest_of(began, share)
        };
        let Training { arc, fits } = subject.clone();
        let Some(measured) = laboratory.train(&arc, seed, &mut goes_on)? else {
            return Ok(Some(session.why()));
        };
        let seconds = (began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        let trial = Trial { key, seed, arc, measured, fits, seconds };
        self.journal.append(&Line::Training(trial.clone()))?;
        self.trials.insert(key, trial.clone());
        session.observer.event(&StudyEvent::Trained {
            trial: &trial,
            done: self.done(),
            total: session.total,
        });
        Ok(None)
    }

    /// The architecture of a training.
    fn next(
        &self,
        key: Key,
        random: &Random,
        laboratory: &dyn Laboratory,
        session: &mut Session<'_>,
    ) -> Result<Next> {
        let of = |arc: &Arc| Next::Train(Training { arc: arc.clone(), fits: None });
        Ok(match key.group {
            Group::Pool => of(&random.pool[key.index]),
            Group::Wide => of(&random.wide[key.index]),
            Group::Pick => self.picks.get(&key.index).map_or(Next::Nothing, |pick| of(&pick.arc)),
            Group::Control => self.control(key.index, laboratory, session)?,
            Group::Small => {
                let small = self.picks.get(&key.index).and_then(|pick| pick.small.as_ref());
                small.map_or(Next::Nothing, of)
            }
        })
    }

    /// The control with this number. All controls of a pick are drawn together.
    fn control(&self, index: usize, laboratory: &dyn Laboratory, session: &mut Session<'_>) -> Result<Next> {
        let n = session.config.counts.controls;
        let place = index / n;
        let Some(pick) = self.picks.get(&place) else { return Ok(Next::Nothing) };
        if !session.controls.contains_key(&place) {
            let seed = Seed::new(session.config.seed);
            let goes_on = || !session.must_stop();
            let size = |arc: &Arc| laboratory.size(arc);
            let Some(drawn) = arcs::controls((&pick.arc, place), n, seed, &size, &goes_on)? else {
                return Ok(Next::Stop);
            };
            session.controls.insert(place, drawn);
        }
        // A very small space may have fewer.
        let control = session.controls[&place].get(index % n);
        Ok(control.map_or(Next::Nothing, |Control { arc, fits }| {
            Next::Train(Training { arc: arc.clone(), fits: Some(*fits) })
        }))
    }

    /// The results of the trainings so far.
    pub fn summary(&self) -> Summary {
        summary(&self.about, self.trials.values().cloned().collect(), self.picks.values().cloned().collect())
    }

    /// Writes `study.json`, `study.md` and `study.html`. Equal results give equal bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn write(&self, summary: &Summary) -> Result<()> {
        let json = serde_json::to_string_pretty(summary).expect("a summary is plain data");
        write_file(&self.dir().join(RESULT), format!("{json}\n").as_bytes())?;
        write_file(&self.dir().join(TABLES), summary.markdown().as_bytes())?;
        let trials: Vec<&Trial> = self.trials.values().collect();
        write_file(&self.page_path(), page::html(summary, &trials).as_bytes())
    }

    /// The path of the page with the chart, whether or not it exists.
    pub fn page_path(&self) -> PathBuf {
        self.dir().join(PAGE)
    }
}

/// The results so far of a study in `dir`, also while another process works on it.
///
/// # Errors
/// [`Error::RunDirectory`] if `dir` is not the directory of a study; [`Error::File`] if a file cannot be read.
pub fn read_summary(dir: &Path) -> Result<Summary> {
    let about = About::read(dir)?;
    let (trials, picks) = sorted(journal::read(dir)?);
    Ok(summary(&about, trials.into_values().collect(), picks.into_values().collect()))
}

fn summary(about: &About, trials: Vec<Trial>, picks: Vec<Pick>) -> Summary {
    let settings = &about.settings;
    Summary::of(
        &Subject { data: about.data.clone(), seed: settings.seed, counts: settings.counts },
        &trials,
        &picks,
    )
}

fn sorted(lines: Vec<Line>) -> (BTreeMap<Key, Trial>, BTreeMap<usize, Pick>) {
    let (mut trials, mut picks) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        match line {
            Line::Training(trial) => drop(trials.insert(trial.key, trial)),
            Line::Search(pick) => drop(picks.insert(pick.index, pick)),
        }
    }
    (trials, picks)
}
