//! From pictures to a model without further questions: a first model, a search, a training, inside a time limit.

mod costs;
mod folder;
mod plan;

use std::path::PathBuf;
use std::time::Duration;

use enas_arc::Arc;
use enas_data::Dataset;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::folder::AutoRun;
pub use self::plan::{AutoPhase, AutoPlan};
use crate::bounded::{SMALL_FILE, read_plain_text};
use crate::config::{SearchConfig, TimeLimit, TrainConfig};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::observer::{Event, Observer};
use crate::run::Run;
use crate::search::search;
use crate::train::train;

/// All settings of an automatic run.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoConfig {
    /// Of the search. Its `run.time` is set by the plan.
    pub search: SearchConfig,
    /// Of both trainings. Its `run.time` is set by the plan.
    pub train: TrainConfig,
    /// Wall time after which everything should be done, sessions before an interruption included.
    pub time: TimeLimit,
    /// What the caller will need of it afterwards, in seconds, beside predicting the validation and test pictures once.
    pub finish: f64,
}

impl AutoConfig {
    /// Epochs of the first model's training.
    fn first_epochs(&self) -> u64 {
        self.train.run.epochs.div_ceil(10)
    }
}

/// What an automatic run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoOutcome {
    /// The best model by validation accuracy, `model.safetensors` in the folder of the run.
    pub model: PathBuf,
    /// The training it is from.
    pub from: AutoPhase,
    /// Its arc.
    pub arc: Arc,
    /// Its accuracy on the validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Its accuracy on the test split, 0 to 1.
    pub test_accuracy: f64,
    /// Accuracy of the arc found, with the shared weights, on the validation split.
    pub search_accuracy: f64,
    /// The same of random arcs, on average; `None` when none were asked for.
    pub random_accuracy: Option<f64>,
    /// Accuracy of the first model, a random arc's after a short training, on the validation split.
    pub first_accuracy: f64,
    /// Wall time over all sessions.
    pub seconds: f64,
}

/// Trains a first model, searches, and trains what was found; goes on where an earlier session stopped.
///
/// `data` must be loaded with the search's configuration and seed, or by [`AutoRun::load_data`]. Whatever ends the run
/// early, [`AutoRun::model_path`] then holds the best model so far, from the first steps of training on.
///
/// # Errors
/// [`Error::Interrupted`] with the run's folder when the observer asked to stop; otherwise those of [`search`] and
/// [`train`].
pub fn auto(
    config: &AutoConfig,
    data: &Dataset,
    run: &mut AutoRun,
    observer: &mut dyn Observer,
) -> Result<AutoOutcome> {
    let outcome = Auto { config, data, run, observer }.phases();
    match (outcome, run.settle()) {
        (Ok(phases), best) => phases.outcome(run, best?.unwrap_or(AutoPhase::Train)),
        (Err(Error::Interrupted { .. }), Ok(_)) => Err(Error::Interrupted { run: run.dir().to_owned() }),
        // The first error is the one worth reporting.
        (Err(error), _) => Err(error),
    }
}

struct Auto<'a> {
    config: &'a AutoConfig,
    data: &'a Dataset,
    run: &'a mut AutoRun,
    observer: &'a mut dyn Observer,
}

/// What `best.arc.json` of a finished search says.
#[derive(Deserialize)]
struct Searched {
    arc: Arc,
    valid_accuracy: f64,
    random_valid_accuracy: Option<f64>,
}

/// What `best.arc.json` of a finished training says.
#[derive(Deserialize)]
struct Trained {
    valid_accuracy: f64,
}

/// All phases, finished.
struct Phases {
    first: Trained,
    searched: Searched,
}

impl Auto<'_> {
    fn phases(&mut self) -> Result<Phases> {
        let seed = self.config.search.run.seed();
        let random = Arc::random(self.config.search.child.nodes, &mut seed.stream("auto/first", &[]));
        let plan = self.plan(&random)?;
        let epochs = self.config.first_epochs();
        let first = self.train(AutoPhase::First, &random, epochs, |_| plan.first)?;
        let searched = self.search(plan.search)?;
        let epochs = self.config.train.run.epochs;
        // The training gets what the others have left, however much that is.
        let rest = |auto: &Self| auto.left() - plan.finish;
        let _: Trained = self.train(AutoPhase::Train, &searched.arc, epochs, rest)?;
        Ok(Phases { first, searched })
    }

    /// The plan of the first session, which later ones keep.
    fn plan(&mut self, arc: &Arc) -> Result<AutoPlan> {
        let plan = match self.run.plan() {
            Some(plan) => plan,
            None => {
                let work = costs::measure(self.config, arc, self.data, (self.run.gpu(), self.run.memory()))?;
                let limit = self.config.time.0.map(|limit| limit.as_secs_f64());
                let plan = AutoPlan::divide(limit, self.run.seconds(), &work, self.config.finish);
                self.run.set_plan(plan)?;
                plan
            }
        };
        self.observer.event(&Event::Planned(&plan));
        Ok(plan)
    }

    fn search(&mut self, seconds: f64) -> Result<Searched> {
        self.begin(AutoPhase::Search)?;
        let mut config = self.config.search.clone();
        config.run.time = self.limit(seconds);
        let data = self.data;
        let mut run =
            self.run.phase_run(AutoPhase::Search, |dir| Run::for_search(Some(dir), &config, data))?;
        if !run.best_arc_path().exists() {
            search(&run.config()?, data, &mut run, self.observer)?;
        }
        finished(&run)
    }

    /// Trains `arc` for `epochs`, or for as many of the seconds that `seconds` gives as measuring leaves.
    fn train(
        &mut self,
        phase: AutoPhase,
        arc: &Arc,
        epochs: u64,
        seconds: impl FnOnce(&Self) -> f64,
    ) -> Result<Trained> {
        self.begin(phase)?;
        let mut config = self.config.train.clone();
        config.run.epochs = epochs;
        config.run.time = self.limit(seconds(self));
        let data = self.data;
        let mut run = self.run.phase_run(phase, |dir| Run::for_training(Some(dir), &config, arc, data))?;
        if phase == AutoPhase::Train {
            run.set_search(&self.run.phase_dir(AutoPhase::Search))?;
        }
        if !run.best_arc_path().exists() {
            train(&run.config()?, arc, data, &mut run, self.observer)?;
        }
        self.run.settle()?;
        finished(&run)
    }

    fn begin(&mut self, phase: AutoPhase) -> Result<()> {
        if self.observer.should_stop() {
            return Err(Error::Interrupted { run: self.run.dir().to_owned() });
        }
        self.observer.event(&Event::Phase(phase));
        Ok(())
    }

    /// Seconds until the time limit.
    fn left(&self) -> f64 {
        self.config.time.0.map_or(f64::INFINITY, |limit| limit.as_secs_f64() - self.run.seconds())
    }

    /// A phase's own limit; none where the run has none. Even the least is enough for one step and a model.
    fn limit(&self, seconds: f64) -> TimeLimit {
        TimeLimit(self.config.time.0.map(|_| Duration::from_secs(seconds.max(1.0) as u64)))
    }
}

impl Phases {
    fn outcome(self, run: &AutoRun, from: AutoPhase) -> Result<AutoOutcome> {
        let Self { first, searched } = self;
        let model = Model::load(&run.model_path())?;
        let accuracy = model.accuracy();
        Ok(AutoOutcome {
            model: run.model_path(),
            from,
            arc: model.arc().clone(),
            valid_accuracy: accuracy.valid,
            test_accuracy: accuracy.test.unwrap_or_default(),
            search_accuracy: searched.valid_accuracy,
            random_accuracy: searched.random_valid_accuracy,
            first_accuracy: first.valid_accuracy,
            seconds: run.seconds(),
        })
    }
}

/// What the `best.arc.json` of a finished run says.
fn finished<T: DeserializeOwned>(run: &Run) -> Result<T> {
    let path = run.best_arc_path();
    let text =
        read_plain_text(&path, SMALL_FILE).map_err(|source| crate::run::io("cannot read", &path, source))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::File { path, problem: format!("not a result of this version: {e}") })
}
