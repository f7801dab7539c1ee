//! The search: shared weights ω and a policy θ trained in turns (Pham et al., ICML 2018, section 2.2), then the
//! choice of an arc.

mod collapse;
mod progress;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use enas_arc::Arc;
use enas_child::{Child, InputShape, Norm, Step};
use enas_controller::{Bounds, Controller, Episode};
use enas_data::Dataset;
use enas_rng::Seed;
use serde::Serialize;

use self::progress::{Progress, load, state};
use crate::annealing::{self, Position};
use crate::concerns;
use crate::config::{Metric, SearchConfig, Settings as _};
use crate::divergence::{self, LOWERED, Symptom, explain};
use crate::epoch::{epoch_plan, steps_per_epoch};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, even_batch};
use crate::feed::Source;
use crate::observer::{EpochSummary, Event, Observer, Phase, Place};
use crate::paired::PairedDifference;
use crate::run::{Moment, Run, State};
use crate::select::{Candidate, Origin, Selection, better, contestants};
use crate::session::Session;
use crate::train::whole;

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// The run directory.
    pub run: PathBuf,
    /// The best candidate of the policy.
    pub arc: Arc,
    /// Its accuracy with the shared weights on the whole validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Its macro-F1 there, where that decides.
    pub valid_macro_f1: Option<f64>,
    /// Mean accuracy of the uniformly random arcs on the same pictures; `None` when none were asked for.
    pub random_valid_accuracy: Option<f64>,
    /// By how much the arc is more accurate there than the best of the random ones; `None` when none were asked for.
    pub difference: Option<PairedDifference>,
    /// What to know of the arc and of the policy before trusting them.
    pub warnings: Vec<String>,
    /// All scored arcs.
    pub selection: Selection,
    /// Epochs done.
    pub epochs: u64,
    /// Wall time, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights of the search network, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per picture of the arc in the search network.
    pub macs: u64,
}

/// Searches for an arc: trains shared weights ω and a policy θ in turns, then chooses.
///
/// Goes on from the newest checkpoint where `run` has one. `data` must be loaded with `config.run.seed()`, or by
/// [`Run::load_data`].
///
/// # Errors
/// [`Error::Interrupted`] when the observer asked to stop; [`Error::Diverged`] when the numbers stopped being finite after
/// the run had gone back once; whatever data, network, controller and disk report.
pub fn search(
    config: &SearchConfig,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<SearchOutcome> {
    let mut search = Search::start_or_resume(config, data, Session::new(&config.run, run, observer))?;
    while search.at.epoch < search.at.epochs {
        search.epoch().or_else(|error| search.go_back(error))?;
    }
    let selection = search.select()?;
    search.finish(selection)
}

/// What `best.arc.json` says beside the arc. The same for equal seeds, so no times.
#[derive(Serialize)]
struct Facts {
    valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_macro_f1: Option<f64>,
    random_valid_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<PairedDifference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    epochs: u64,
    params: usize,
    macs: u64,
}

impl SearchOutcome {
    fn facts(&self) -> Facts {
        let Self { valid_accuracy, valid_macro_f1, random_valid_accuracy, difference, .. } = *self;
        let Self { epochs, params, macs, .. } = *self;
        let warnings = self.warnings.clone();
        Facts {
            valid_accuracy,
            valid_macro_f1,
            random_valid_accuracy,
            difference,
            warnings,
            epochs,
            params,
            macs,
        }
    }
}

struct Search<'a> {
    config: &'a SearchConfig,
    data: &'a Dataset,
    seed: Seed,
    /// The shared weights ω.
    child: Child,
    /// The pictures of the two phases, where the child reads them.
    train: Source,
    valid: Source,
    /// The policy π(m; θ).
    controller: Controller,
    at: Progress,
    session: Session<'a>,
    /// Time spent waiting for pictures in this epoch.
    waited: Duration,
}

/// How good an arc is with the shared weights on the whole validation split.
#[derive(Clone, Copy, Debug)]
struct Score {
    accuracy: f64,
    /// Where that decides.
    macro_f1: Option<f64>,
}

impl<'a> Search<'a> {
    fn start_or_resume(config: &'a SearchConfig, data: &'a Dataset, session: Session<'a>) -> Result<Self> {
        session.run.check_data(data)?;
        config.check()?;
        let seed = config.run.seed();
        let checkpoint = session.run.restore::<Progress>()?;
        let lr_factor = checkpoint.as_ref().map_or_else(whole, |c| c.progress.lr_factor);
        let (mut child, mut controller) = networks(config, data, lr_factor)?;
        if let Some(weights) = config.run.class_weights.of(data.train.labels(), &data.classes)? {
            child.weigh_classes(&weights)?;
        }
        child.smooth_labels(config.run.label_smoothing)?;
        let restored =
            checkpoint.map(|c| load(session.run.dir(), c, &mut child, &mut controller)).transpose()?;
        session.run.place(&mut child, &config.run)?;
        session.run.expect_weights(child.n_params() + child.n_aux_params());
        let (train, valid) = (Source::new(&data.train, &child)?, Source::new(&data.valid, &child)?);
        let resumes = restored.is_some();
        if !resumes {
            concerns::warn_of(data, &config.data, &config.run);
        }
        let at = restored.unwrap_or_else(|| Progress::start(config.run.epochs));
        let waited = Duration::ZERO;
        let search = Self { config, data, seed, child, train, valid, controller, at, session, waited };
        let resumed = resumes.then(|| search.resumed());
        let seconds_left = search.session.budget.left(search.session.run.seconds());
        search.session.observer.event(&Event::Started {
            run: search.session.run.dir(),
            plan: search.child.plan().to_string(),
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

    /// Trains ω, then θ, then looks at what came of it.
    fn epoch(&mut self) -> Result<()> {
        self.train_child()?;
        self.train_controller()?;
        self.end_epoch()
    }

    /// Passes an error on, unless it is the first divergence: then goes back to the end of the last epoch.
    fn go_back(&mut self, error: Error) -> Result<()> {
        let found = divergence::first(error, self.at.lr_factor < whole())?;
        let checkpoint = self.session.go_back::<Progress>(&found, self.at.epoch)?;
        // Always a controller of its own: its learning rate is part of it.
        let (child, mut controller) = networks(self.config, self.data, LOWERED)?;
        self.at = match checkpoint {
            Some(checkpoint) => load(self.session.run.dir(), checkpoint, &mut self.child, &mut controller)?,
            None => {
                self.child.load(&child.state()?)?;
                Progress::start(self.config.run.epochs)
            }
        };
        self.controller = controller;
        self.at.lr_factor = LOWERED;
        self.at.epoch_began = self.session.run.seconds();
        let state = self.state()?;
        self.session.save(state, Moment::Landmark)
    }

    /// The error of a child step that had this symptom and changed nothing.
    fn diverged(&self, symptom: Symptom, arc: &Arc, step: &Step) -> Error {
        let epoch = self.at.epoch;
        let plan = epoch_plan(&self.data.train, epoch, &self.config.run, self.at.step);
        let found = symptom.at(epoch + 1, self.at.step + 1);
        explain(found, (&self.child, arc), (&self.data.train, &plan), step).into()
    }

    /// Passes on a result of the present epoch, unless it shows a symptom.
    fn healthy<T>(&self, symptom: Option<Symptom>, result: T, step: u64) -> Result<T> {
        symptom.map_or(Ok(result), |symptom| Err(symptom.at(self.at.epoch + 1, step).into()))
    }

    /// Phase 1. Trains ω on the training split with θ fixed; every minibatch has an arc of its own.
    fn train_child(&mut self) -> Result<()> {
        if self.at.phase != Phase::Child {
            return Ok(());
        }
        let (epoch, bounds, steps) = (self.at.epoch, self.bounds(), self.child_steps());
        let plan = epoch_plan(&self.data.train, epoch, &self.config.run, self.at.step);
        self.session.restart_clock();
        let mut batches = self.train.epoch(&plan)?;
        let mut next = batches.next();
        while let Some(batch) = next.take().transpose()? {
            let mut stream = self.seed.stream("search/arc", &[epoch, self.at.step]);
            let arc = self.controller.sample(bounds, &mut stream).arc; // m ~ π(m; θ)
            let (global_step, lr) = (epoch * steps + self.at.step, self.lr(self.at.step));
            let step = Step { lr, global_step, total_steps: self.at.epochs * steps, seed: self.seed };
            let meanwhile = &mut || next = batches.next();
            let stats = self.child.train_on(&arc, batch.examples(), &step, meanwhile)?; // a step along -∇_ω L(m; ω)
            if let Some(symptom) = Symptom::of_step(&stats) {
                return Err(self.diverged(symptom, &arc, &step));
            }
            self.at.step += 1;
            self.at.child.add(&stats);
            let place = self.at.place(steps);
            self.session.child_step(place, lr, &stats)?;
            self.tick()?;
            if self.time_is_up() {
                break;
            }
        }
        self.waited = batches.waited();
        self.at.enter(Phase::Controller);
        Ok(())
    }

    /// Phase 2. Trains θ on the validation split with ω fixed, by REINFORCE.
    fn train_controller(&mut self) -> Result<()> {
        let config = &self.config.controller;
        let (bounds, steps) = (self.bounds(), config.steps as u64);
        let is_due = (self.at.epoch + 1).is_multiple_of(config.train_every as u64);
        while is_due && self.at.step < steps && !self.time_is_up() {
            let episodes =
                (0..config.aggregate as u64).map(|k| self.rollout(bounds, k)).collect::<Result<Vec<_>>>()?;
            let stats = self.controller.reinforce(bounds, &episodes)?; // ∇_θ E[R(m; ω)]
            let stats = self.healthy(Symptom::of_update(&stats), stats, self.at.step + 1)?;
            self.at.step += 1;
            self.at.policy.add(&episodes, &stats);
            self.report_controller_step(steps, &stats)?;
            self.tick()?;
        }
        Ok(())
    }

    /// Samples an arc and measures how good it is on a validation minibatch of its own.
    fn rollout(&self, bounds: Bounds, k: u64) -> Result<Episode> {
        let position = [self.at.epoch, self.at.step, k];
        let arc = self.controller.sample(bounds, &mut self.seed.stream("search/rollout", &position)).arc; // m ~ π(m; θ)
        let size = self.config.reward.batch_size.min(self.data.valid.len());
        let batch = self.valid.draw(&position, size)?;
        let mut dropout = self.seed.stream("search/reward-dropout", &position);
        let dropout = self.config.reward.dropout.then_some(&mut dropout);
        let logits = self.child.logits_on(&arc, batch.examples(), Norm::BatchStatistics, dropout)?;
        let logits = self.healthy(Symptom::of_logits(&logits), logits, self.at.step + 1)?;
        let mut seen = Evaluation::new(&self.data.classes);
        seen.count(&logits, &batch.labels);
        let accuracy = match self.config.reward.metric {
            Metric::Accuracy => seen.correct() as f32 / batch.len() as f32,
            Metric::MacroF1 => seen.macro_f1() as f32,
        };
        Ok(Episode { arc, accuracy })
    }

    fn report_controller_step(&mut self, steps: u64, stats: &enas_controller::UpdateStats) -> Result<()> {
        #[derive(Serialize)]
        struct Line {
            epoch: u64,
            step: u64,
            accuracy: f32,
            reward: f32,
            baseline: f32,
            entropy: f32,
            loss: f32,
            grad_norm: f32,
        }
        let place = self.at.place(steps);
        let line = Line {
            epoch: place.epoch,
            step: place.step,
            accuracy: stats.mean_accuracy,
            reward: stats.mean_reward,
            baseline: stats.baseline,
            entropy: stats.mean_entropy,
            loss: stats.loss,
            grad_norm: stats.grad_norm,
        };
        self.session.run.log("controller", place.overall(), &line)?;
        let Line { accuracy, reward, baseline, entropy, .. } = line;
        self.session.observer.event(&Event::ControllerStep { place, accuracy, reward, baseline, entropy });
        Ok(())
    }

    /// Measures the policy's likeliest arc, reports, plans the rest of the time, and saves.
    fn end_epoch(&mut self) -> Result<()> {
        // First, so that nothing is reported of weights that are not finite.
        let tensors = self.state()?.tensors;
        let greedy = self.controller.most_likely(self.bounds()).arc;
        let (score, symptom) = self.timed_score(&greedy)?;
        let score = self.healthy(symptom, score, self.at.step)?;
        self.at.best_valid_accuracy = self.at.best_valid_accuracy.max(score.accuracy);
        let summary = self.summary(greedy, score);
        self.session.epoch(&summary)?;

        let spent = self.session.run.seconds();
        let planned =
            self.session.budget.epochs(self.config.run.epochs, self.at.epoch + 1, spent, self.reserve());
        self.session.replan(self.at.epochs, planned);
        self.at.next_epoch(planned, spent);
        let moment = if self.at.epoch < planned { Moment::EndOfEpoch } else { Moment::Landmark };
        self.session.save(State { progress: self.at.clone(), tensors }, moment)
    }

    fn summary(&self, greedy: Arc, score: Score) -> EpochSummary {
        let Progress { epoch, epochs, .. } = self.at;
        EpochSummary {
            epoch: epoch + 1,
            epochs,
            lr: self.lr(self.child_steps()),
            loss: self.at.child.loss(),
            train_accuracy: self.at.child.accuracy(),
            valid_accuracy: score.accuracy,
            best_valid_accuracy: self.at.best_valid_accuracy,
            valid_macro_f1: score.macro_f1,
            policy: Some(self.at.policy.summary(self.controller.baseline(), greedy)),
            seconds: self.session.run.seconds() - self.at.epoch_began,
            waited_seconds: self.waited.as_secs_f64(),
        }
    }

    /// Scores the contestants one after the other, as far as the time allows, and ranks them.
    fn select(&mut self) -> Result<Selection> {
        self.at.phase = Phase::Select;
        let arcs = contestants(
            &self.config.select,
            &self.controller,
            self.controller.config().bounds(1.0),
            self.seed,
        );
        let of_place = |(i, &accuracy)| Score { accuracy, macro_f1: self.at.macro_f1s.get(i).copied() };
        let done: Vec<Score> = self.at.scores.iter().enumerate().map(of_place).collect();
        let again = |((arc, origin), score): (&(Arc, Origin), Score)| self.candidate(arc, *origin, score);
        let mut scored = arcs.iter().zip(done).map(again).collect::<Result<Vec<_>>>()?;
        for (arc, origin) in &arcs[scored.len()..] {
            // An arc that the shared weights cannot compute is a bad one, no more.
            let (score, _) = self.timed_score(arc)?;
            self.at.scores.push(score.accuracy);
            self.at.macro_f1s.extend(score.macro_f1);
            scored.push(self.candidate(arc, *origin, score)?);
            self.report_candidate(&scored, arcs.len())?;
            self.tick()?;
            if self.session.budget.lacks(3.0 * self.at.scoring.unwrap_or(0.0), self.session.run.seconds()) {
                tracing::warn!(
                    "the time limit ends the selection after {} of {} arcs",
                    scored.len(),
                    arcs.len()
                );
                break;
            }
        }
        Ok(Selection::rank(scored))
    }

    fn candidate(&self, arc: &Arc, origin: Origin, score: Score) -> Result<Candidate> {
        let (arc, macs) = (arc.clone(), self.child.macs(arc)?);
        let Score { accuracy, macro_f1 } = score;
        Ok(Candidate { arc, origin, valid_accuracy: accuracy, valid_macro_f1: macro_f1, macs })
    }

    fn report_candidate(&mut self, scored: &[Candidate], total: usize) -> Result<()> {
        let of_policy = scored.iter().filter(|c| c.origin != Origin::Random);
        let best = of_policy.min_by(|a, b| better(a, b)).expect("the greedy arc is scored first");
        let newest = scored.last().expect("one was just scored");
        self.session.run.log("candidate", scored.len() as u64, newest)?;
        self.session.observer.event(&Event::Selecting { done: scored.len(), total, best });
        Ok(())
    }

    /// The arc found beside the best random one, image by image.
    fn difference(&self, selection: &Selection) -> Result<Option<PairedDifference>> {
        let Some(random) = selection.best_random() else { return Ok(None) };
        let (found, random) = (self.right(&selection.best().arc)?, self.right(&random.arc)?);
        Ok(Some(PairedDifference::of(&found, &random)))
    }

    fn finish(self, selection: Selection) -> Result<SearchOutcome> {
        let difference = self.difference(&selection)?;
        let bounds = self.controller.config().bounds(1.0);
        let warnings = collapse::warnings(&selection.best().arc, &self.controller, bounds, self.seed);
        let Self { child, at, session, .. } = self;
        let outcome = SearchOutcome {
            run: session.run.dir().to_owned(),
            arc: selection.best().arc.clone(),
            valid_accuracy: selection.best().valid_accuracy,
            valid_macro_f1: selection.best().valid_macro_f1,
            random_valid_accuracy: selection.random_accuracy(),
            difference,
            warnings,
            epochs: at.epoch,
            seconds: session.run.seconds(),
            params: child.n_params(),
            macs: selection.best().macs,
            selection,
        };
        session.run.log("result", outcome.epochs, &outcome.facts())?;
        session.run.conclude()?;
        // Last, as it makes the run a finished one.
        session.run.write_best_arc(&outcome.arc, &outcome.facts())?;
        let SearchOutcome { arc, valid_accuracy, .. } = &outcome;
        session.observer.event(&Event::Finished { arc, valid_accuracy: *valid_accuracy });
        Ok(outcome)
    }

    /// [`Self::score`], with a note of how long it took.
    fn timed_score(&mut self, arc: &Arc) -> Result<(Score, Option<Symptom>)> {
        let began = Instant::now();
        let score = self.score(arc)?;
        self.at.scoring = Some(began.elapsed().as_secs_f64());
        Ok(score)
    }

    /// How good an arc is with the shared weights on the whole validation split, and whether any class score was no finite
    /// number.
    fn score(&self, arc: &Arc) -> Result<(Score, Option<Symptom>)> {
        let (mut seen, mut symptom) = (Evaluation::new(&self.data.classes), None);
        self.ask(arc, |logits, labels| {
            seen.count(logits, labels);
            symptom = symptom.take().or_else(|| Symptom::of_logits(logits));
        })?;
        let macro_f1 = self.config.select.metric.macro_f1(&seen);
        Ok((Score { accuracy: seen.accuracy(), macro_f1 }, symptom))
    }

    /// Which validation images an arc gets right with the shared weights, in an order that is always the same.
    fn right(&self, arc: &Arc) -> Result<Vec<bool>> {
        let mut right = Vec::with_capacity(self.valid.split().len());
        self.ask(arc, |logits, labels| {
            let said = Child::classes(logits, self.data.classes.len());
            right.extend(said.into_iter().zip(labels).map(|(said, label)| said == *label as usize));
        })?;
        Ok(right)
    }

    /// Hands the class scores of an arc on the whole validation split to `each`, with the labels: for every caller in the
    /// same batches, which are mixed because their statistics normalise them, and without dropout.
    fn ask(&self, arc: &Arc, mut each: impl FnMut(&[f32], &[u32])) -> Result<()> {
        let valid = self.valid.split();
        let mut order: Vec<usize> = (0..valid.len()).collect();
        self.seed.stream("search/valid-order", &[]).shuffle(&mut order);
        for indices in order.chunks(even_batch(valid.len(), self.config.run.eval_batch)) {
            let batch = self.valid.gather(indices.to_vec())?;
            let logits = self.child.logits_on(arc, batch.examples(), Norm::BatchStatistics, None)?;
            each(&logits, &batch.labels);
        }
        Ok(())
    }

    /// How peaked the policy may be in this epoch.
    fn bounds(&self) -> Bounds {
        self.controller.config().bounds(self.at.epoch as f64 / self.at.epochs as f64)
    }

    /// The child's learning rate of the step after so many of this epoch.
    fn lr(&self, step: u64) -> f32 {
        let Progress { epoch, epochs, lr_factor, .. } = self.at;
        let at = Position { epoch, epochs, step, steps: self.child_steps() };
        lr_factor * annealing::lr(&self.config.schedule, self.config.run.fit_schedule, at)
    }

    /// Steps of a whole child phase.
    fn child_steps(&self) -> u64 {
        steps_per_epoch(&self.data.train, &self.config.run)
    }

    /// Seconds to keep for the choice at the end; as much as is allowed while nothing is known.
    fn reserve(&self) -> f64 {
        // Two are compared once more, image by image.
        let arcs = 3 + self.config.select.samples + self.config.select.random;
        self.session.budget.reserve(self.at.scoring.map_or(f64::INFINITY, |one| one * arcs as f64))
    }

    fn time_is_up(&self) -> bool {
        self.session.budget.lacks(self.reserve(), self.session.run.seconds())
    }

    fn tick(&mut self) -> Result<()> {
        let (at, child, controller) = (&self.at, &self.child, &self.controller);
        self.session.tick(|| state(at, child, controller))
    }

    fn state(&self) -> Result<State<Progress>> {
        state(&self.at, &self.child, &self.controller)
    }

    /// Where the checkpoint stood that the search goes on from.
    fn resumed(&self) -> Place {
        let steps = match self.at.phase {
            Phase::Child => self.child_steps(),
            Phase::Controller => self.config.controller.steps as u64,
            Phase::Select => 0,
        };
        self.at.place(steps)
    }
}

/// Both networks with their random start.
fn networks(config: &SearchConfig, data: &Dataset, lr_factor: f32) -> Result<(Child, Controller)> {
    let input = InputShape { channels: data.channels, height: data.height, width: data.width };
    let seed = config.run.seed();
    let child = Child::shared(&config.child, input, data.classes.len(), seed)?;
    let lr = config.controller.lr * f64::from(lr_factor);
    let policy = enas_controller::Config { lr, ..config.controller.clone() };
    Ok((child, Controller::new(&policy, config.child.nodes, seed)?))
}
