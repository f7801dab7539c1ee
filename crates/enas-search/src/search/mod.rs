//! The search loop: trains shared weights ω and a strategy in turns, then chooses an architecture.
//!
//! With the published strategy, an LSTM policy π(m; θ), this is the algorithm of Pham et al. (ICML 2018,
//! arXiv:1802.03268, section 2.2). Each epoch has its two phases, as in the authors' code (`src/cifar10/main.py`):
//!
//! ```text
//! phase 1   train ω on the training split, θ fixed       every minibatch has its own m ~ π(m; θ)   main.py:246-253
//! phase 2   train θ on the validation split, ω fixed     REINFORCE on the rewards R(m, ω)          main.py:275-307
//! ```
//!
//! Four steps are additions, and each can be switched off:
//!
//! - warm-up: before the first reward, ω is trained with architectures that are drawn fairly ([`warmup`]);
//! - other strategies: evolution or random draws can replace the policy ([`strategy`]);
//! - collapse: a policy that always proposes the same is started anew ([`collapse`]);
//! - finals: the best candidates are trained alone, without shared weights ([`crate::finals`]).

mod choice;
mod collapse;
mod learning;
mod oracle;
mod outcome;
mod progress;
mod scoring;
mod space;
mod strategy;
mod warmup;

use std::time::Duration;

use enas_arc::{Arch, SpaceKind};
use enas_child::Step;
use enas_data::Dataset;
use enas_rng::Seed;
use enas_run::config::{SearchConfig, Settings as _};
use enas_run::data_warnings;
use enas_run::directory::run::{Run, SaveReason, State};
use enas_run::divergence::LOWERED;
use enas_run::error::{Error, Result};
use enas_run::loader::Source;
use enas_run::network::Network;
use enas_run::non_finite::{self, NonFinite, explain};

pub use self::outcome::SearchOutcome;
use self::progress::{Progress, load, state};
use self::scoring::Score;
use self::space::ImageSpace;
pub(crate) use self::space::canonical;
use self::strategy::Proposer;
use crate::annealing::{self, SchedulePosition};
use crate::epoch::{epoch_plan, steps_per_epoch};
use crate::finals::Halves;
use crate::observer::{EpochSummary, Event, Observer, Phase, Position};
use crate::session::Session;
use crate::train::full_rate;

/// Searches the micro space for an arc: trains shared weights ω and a strategy in turns, then chooses.
///
/// Resumes from the newest checkpoint if `run` has one. Load `data` with `config.run.seed()`, or by
/// [`Run::load_data`].
///
/// # Errors
/// - [`Error::CellsOnly`] if the settings name the macro space.
/// - [`Error::Interrupted`] if the observer asked to stop. A checkpoint was written.
/// - [`Error::Diverged`] if numbers stopped being finite although the run had gone back once.
/// - Errors of data, network, controller and disk.
pub fn search(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome> {
    if config.space() != SpaceKind::Micro {
        return Err(Error::CellsOnly("this command"));
    }
    let outcome = search_any(config, data, run, observer)?;
    Ok(outcome.map(|arch| match arch {
        Arch::Micro(arc) => arc,
        Arch::Macro(_) => unreachable!("a search of the micro space has cells only"),
    }))
}

/// [`search`] in the space that the settings name.
///
/// # Errors
/// As [`search`], but the macro space is allowed.
pub fn search_any(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome<Arch>> {
    let mut search = Search::start_or_resume(config, data, Session::new(&config.run, run, observer))?;
    // Phases 1 and 2 alternate; then the best proposals are compared, and one is chosen.
    while search.at.epoch < search.at.epochs {
        search.epoch().or_else(|error| search.go_back(error))?;
    }
    let selection = search.select()?;
    let finals = search.finals(&selection)?;
    search.finish(selection, finals)
}

struct Search<'a> {
    config: &'a SearchConfig,
    data: &'a Dataset,
    seed: Seed,
    space: ImageSpace,
    /// The network with the shared weights ω.
    child: Network,
    /// The images of both phases: in host memory, or resident on the GPU.
    train: Source,
    valid: Source,
    /// Indices of validation images: those that choices are made by, and those that only report.
    halves: Halves,
    /// Proposes architectures; by the published settings the policy π(m; θ).
    strategy: Proposer,
    at: Progress,
    session: Session<'a>,
    /// Time spent waiting for batches in this epoch.
    waited: Duration,
}

impl<'a> Search<'a> {
    fn start_or_resume(config: &'a SearchConfig, data: &'a Dataset, session: Session<'a>) -> Result<Self> {
        session.run.check_data(data)?;
        config.check()?;
        let seed = config.run.seed();
        let checkpoint = session.run.restore::<Progress>()?;
        // A run that went back once continues with lowered learning rates.
        let lr_factor = checkpoint.as_ref().map_or_else(full_rate, |c| c.progress.lr_factor);
        let (mut child, mut strategy) = (Network::shared(config, data)?, Proposer::of(config, lr_factor)?);
        if let Some(weights) = config.run.class_weights.of(data.train.labels(), &data.classes)? {
            child.weigh_classes(&weights)?;
        }
        child.smooth_labels(config.run.label_smoothing)?;
        let restored =
            checkpoint.map(|c| load(session.run.dir(), c, &mut child, &mut strategy)).transpose()?;
        session.run.place(&mut child, &config.run)?;
        session.run.expect_weights(child.n_params() + child.n_aux_params());
        let (train, valid) = (Source::of(&data.train, &child)?, Source::of(&data.valid, &child)?);
        let resumes = restored.is_some();
        if !resumes {
            data_warnings::warn_of(data, &config.data, &config.run);
        }
        let space = ImageSpace::of(config)?;
        let at = restored.unwrap_or_else(|| Progress::start(config.run.epochs, &space));
        let finals = config.finals.are_wanted();
        // Finals report on images that no choice has used. Without finals the whole split serves both purposes.
        let halves = if finals { Halves::of(&data.valid, seed) } else { Halves::unsplit(&data.valid, seed) };
        let waited = Duration::ZERO;
        let mut search =
            Self { config, data, seed, space, child, train, valid, halves, strategy, at, session, waited };
        if !resumes {
            search.plan()?;
        }
        let resumed = resumes.then(|| search.resumed());
        let seconds_left = search.session.budget.left(search.session.run.seconds());
        search.session.observer.event(&Event::Started {
            run: search.session.run.dir(),
            plan: search.child.plan(),
            params: search.child.n_params(),
            aux_params: search.child.n_aux_params(),
            macs: None,
            epochs: search.at.epochs,
            steps: search.child_steps(),
            resumed,
            seconds_left,
        });
        Ok(search)
    }

    /// One epoch: phase 1 (train ω), phase 2 (train the strategy), then measure, log and save.
    fn epoch(&mut self) -> Result<()> {
        self.strategy.set_progress(self.progress());
        self.train_child()?;
        self.train_strategy()?;
        self.end_epoch()
    }

    /// Handles the first divergence: restores the end of the last epoch and lowers the learning rates. Returns every
    /// other error, and a second divergence.
    fn go_back(&mut self, error: Error) -> Result<()> {
        let found = non_finite::recoverable(error, self.at.lr_factor < full_rate())?;
        let checkpoint = self.session.go_back::<Progress>(&found, self.at.epoch)?;
        // The strategy is built anew, because its optimiser takes the learning rate at construction.
        let mut strategy = Proposer::of(self.config, LOWERED)?;
        self.at = match checkpoint {
            Some(checkpoint) => load(self.session.run.dir(), checkpoint, &mut self.child, &mut strategy)?,
            None => {
                self.child.load(&Network::shared(self.config, self.data)?.state()?)?;
                Progress::start(self.config.run.epochs, &self.space)
            }
        };
        self.strategy = strategy;
        self.at.lr_factor = LOWERED;
        self.at.epoch_began = self.session.run.seconds();
        let state = self.state()?;
        self.session.save(state, SaveReason::Forced)
    }

    /// The error for a child step with this symptom. The step changed no weights.
    fn diverged(&self, symptom: NonFinite, arc: &Arch, step: &Step) -> Error {
        let epoch = self.at.epoch;
        let plan = epoch_plan(&self.data.train, epoch, &self.config.run, self.at.step);
        let found = symptom.at(epoch + 1, self.at.step + 1);
        explain(found, (&self.child, arc), (&self.data.train, &plan), step).into()
    }

    /// Returns `result`, or the divergence at this step if there is a symptom.
    fn healthy<T>(&self, symptom: Option<NonFinite>, result: T, step: u64) -> Result<T> {
        symptom.map_or(Ok(result), |symptom| Err(symptom.at(self.at.epoch + 1, step).into()))
    }

    /// Phase 1: trains ω on the training split while the strategy stays fixed (Pham et al., section 2.2).
    ///
    /// The gradient ∇_ω E[L(m; ω)] over m ~ π(m; θ) is estimated with one architecture per minibatch (M = 1 in
    /// the paper).
    fn train_child(&mut self) -> Result<()> {
        if self.at.phase != Phase::Child {
            return Ok(());
        }
        let (epoch, steps) = (self.at.epoch, self.child_steps());
        let plan = epoch_plan(&self.data.train, epoch, &self.config.run, self.at.step);
        self.session.restart_clock();
        let mut batches = self.train.epoch(&plan)?;
        let mut next = batches.next();
        while let Some(batch) = next.take().transpose()? {
            let (global_step, lr) = (epoch * steps + self.at.step, self.lr(self.at.step));
            let arc = self.arc_of_step(global_step); // m ~ π(m; θ)
            let step = Step { lr, global_step, total_steps: self.at.epochs * steps, seed: self.seed };
            // Prefetch: the next batch is prepared while a GPU computes this step.
            let meanwhile = &mut || next = batches.next();
            let stats = self.child.train_on(&arc, batch.examples(), &step, meanwhile)?; // ω moves along -∇_ω L(m; ω)
            if let Some(symptom) = NonFinite::of_step(&stats) {
                return Err(self.diverged(symptom, &arc, &step));
            }
            self.at.step += 1;
            self.at.child.add(&stats);
            let place = self.at.place(steps);
            self.session.child_step(place, lr, &stats)?;
            self.tick()?;
            // The rest of the time is reserved for the choice at the end.
            if self.time_is_up() {
                break;
            }
        }
        self.waited = batches.waited();
        self.at.enter(Phase::Controller);
        Ok(())
    }

    /// Ends an epoch: measures the shared weights, reports, plans the remaining time and saves.
    fn end_epoch(&mut self) -> Result<()> {
        self.leave_a_collapsed_policy()?;
        // Collecting the state checks that it is finite, so nothing is reported of broken weights.
        let State { progress: Progress { population, .. }, tensors } = self.state()?;
        let greedy = self.strategy.favourite();
        let (score, symptom) = match &greedy {
            // With finals the shared weights are judged by random arcs; without, by the strategy's favourite.
            Some(greedy) if !self.has_finals() => self.timed_score(greedy)?,
            _ => self.probe()?,
        };
        let score = self.healthy(symptom, score, self.at.step)?;
        self.at.best_valid_accuracy = self.at.best_valid_accuracy.max(score.accuracy);
        let summary = self.summary(greedy, score);
        self.session.epoch(&summary)?;

        // With a time limit, the past epochs tell how many more will fit in.
        let spent = self.session.run.seconds();
        let planned =
            self.session.budget.epochs(self.config.run.epochs, self.at.epoch + 1, spent, self.reserve());
        self.session.replan(self.at.epochs, planned);
        self.at.next_epoch(planned, spent, &self.space);
        let moment = if self.at.epoch < planned { SaveReason::EndOfEpoch } else { SaveReason::Forced };
        // The population was collected together with the tensors, before any later change.
        let progress = Progress { population, ..self.at.clone() };
        self.session.save(State { progress, tensors }, moment)
    }

    fn summary(&self, greedy: Option<Arch>, score: Score) -> EpochSummary {
        let Progress { epoch, epochs, .. } = self.at;
        EpochSummary {
            epoch: epoch + 1,
            epochs,
            lr: self.lr(self.child_steps()),
            loss: self.at.child.loss(),
            train_accuracy: self.at.child.accuracy(),
            valid_accuracy: Some(score.accuracy),
            best_valid_accuracy: self.at.best_valid_accuracy,
            valid_macro_f1: score.macro_f1,
            policy: (self.at.policy.is_trained() || !self.has_finals())
                .then(|| self.at.policy.summary(self.strategy.baseline(), greedy)),
            seconds: self.session.run.seconds() - self.at.epoch_began,
            waited_seconds: self.waited.as_secs_f64(),
        }
    }

    /// Progress of the strategy's training in this epoch, from 0 to 1. It starts when the warm-up is over.
    fn progress(&self) -> f64 {
        let warmup = self.warmup_steps() / self.child_steps();
        let (done, all) = (self.at.epoch.saturating_sub(warmup), self.at.epochs.saturating_sub(warmup));
        done as f64 / all.max(1) as f64
    }

    /// The child's learning rate at step `step` of this epoch.
    fn lr(&self, step: u64) -> f32 {
        let Progress { epoch, epochs, lr_factor, .. } = self.at;
        let at = SchedulePosition { epoch, epochs, step, steps: self.child_steps() };
        lr_factor * annealing::lr(&self.config.schedule, self.config.run.fit_schedule, at)
    }

    /// Steps of a complete phase 1.
    fn child_steps(&self) -> u64 {
        steps_per_epoch(&self.data.train, &self.config.run)
    }

    /// Seconds to reserve for the choice at the end. Until scoring was timed once, the largest reserve allowed.
    fn reserve(&self) -> f64 {
        let select = &self.config.select;
        let random = if self.has_finals() { 0 } else { select.random };
        // Three more: the greedy arc, and two that are compared once more, image by image.
        let arcs = 3 + select.samples + random;
        let scoring =
            self.session.budget.reserve(self.at.scoring.map_or(f64::INFINITY, |one| one * arcs as f64));
        scoring + self.reserve_for_finals()
    }

    fn time_is_up(&self) -> bool {
        self.session.budget.lacks(self.reserve(), self.session.run.seconds())
    }

    fn tick(&mut self) -> Result<()> {
        let (at, child, strategy) = (&self.at, &self.child, &self.strategy);
        self.session.tick(|| state(at, child, strategy))
    }

    fn state(&self) -> Result<State<Progress>> {
        state(&self.at, &self.child, &self.strategy)
    }

    /// The position of the checkpoint that the search resumes from.
    fn resumed(&self) -> Position {
        let steps = match self.at.phase {
            Phase::Child => self.child_steps(),
            Phase::Controller => self.config.controller.steps as u64,
            Phase::Select => 0,
        };
        self.at.place(steps)
    }
}
