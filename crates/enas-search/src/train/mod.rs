//! The training of one architecture from scratch, and the model file it produces.

mod outcome;
mod progress;
mod refit;

use std::time::{Duration, Instant};

use enas_arc::{Arc, Arch};
use enas_child::{Child, LoadedWeights, MacroConfig, Step};
use enas_data::Dataset;
use enas_rng::Seed;

pub use self::outcome::{Ended, Refit, TrainOutcome};
use self::progress::Progress;
pub(crate) use self::progress::whole;
use self::refit::{Measured, fitted_images};
use crate::annealing::{self, Position};
use crate::concerns;
use crate::config::{Keep, RefitImages, Settings as _, TrainConfig};
use crate::divergence::{self, LOWERED, Symptom, explain, finite};
use crate::epoch::{epoch_plan, steps_per_epoch};
use crate::error::{Error, Result};
use crate::feed::Source;
use crate::memory::MemoryPlan;
use crate::model::{self, About, Accuracies, Asking, Measure};
use crate::network::{Network, cells, input_of};
use crate::observer::{EpochSummary, Event, Observer, Place};
use crate::refine::{self, Refinement};
use crate::run::{Moment, Run, State};
use crate::session::{Session, is_possible};
use crate::tensors::NamedTensor;

/// Trains a network with weights of its own for `arc` and writes `model.safetensors`.
///
/// The model file exists from the end of the first epoch on; an interruption before that writes the network of that
/// moment. Resumes from the newest checkpoint if `run` has one. Load `data` with `config.run.seed()`, or by
/// [`Run::load_data`].
///
/// # Errors
/// - [`Error::Interrupted`] if the observer asked to stop. A checkpoint was written.
/// - [`Error::Diverged`] if numbers stopped being finite although the run had gone back once.
/// - Errors of data, network and disk.
pub fn train(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome> {
    let outcome = train_any(config, &Arch::from(arc), data, run, observer)?;
    Ok(outcome.map(|_| arc.clone()))
}

/// [`train`] for an architecture of either space.
///
/// # Errors
/// As [`train`], and [`Error::CellsOnly`] if the settings or the run ask for what the macro space does not support.
pub fn train_any(
    config: &TrainConfig,
    arch: &Arch,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome<Arch>> {
    let mut training =
        Training::start_or_resume(config, arch, data, Session::new(&config.run, run, observer))?;
    while training.at.epoch < training.at.epochs {
        training.epoch().or_else(|error| training.go_back(error))?;
    }
    training.finish()
}

struct Training<'a> {
    config: &'a TrainConfig,
    arc: &'a Arch,
    data: &'a Dataset,
    seed: Seed,
    child: Network,
    /// The images to train on and to validate with: in host memory, or resident on the GPU.
    train: Source,
    valid: Source,
    /// Turns the network in training into the one that is measured and kept (EMA weights, BN statistics
    /// re-estimation); `None` if they are the same.
    refinement: Option<Refinement>,
    at: Progress,
    session: Session<'a>,
    /// Time spent waiting for batches in this epoch.
    waited: Duration,
    /// Seconds that the last measurement of the network took.
    measuring: Option<f64>,
}

impl<'a> Training<'a> {
    fn start_or_resume(
        config: &'a TrainConfig,
        arc: &'a Arch,
        data: &'a Dataset,
        mut session: Session<'a>,
    ) -> Result<Self> {
        session.run.check_data(data)?;
        if session.run.arch().is_some_and(|of_run| of_run != arc) {
            let (path, problem) = (session.run.dir().to_owned(), "this run trains another arc".to_owned());
            return Err(Error::RunDirectory { path, problem });
        }
        config.check()?;
        let seed = config.run.seed();
        let mut child = Network::fixed(config, arc, data)?;
        let adopted = session.run.start()?.map(|start| child.adopt(&start)).transpose()?;
        if let Some(weights) = config.run.class_weights.of(data.train.labels(), &data.classes)? {
            child.weigh_classes(&weights)?;
        }
        child.smooth_labels(config.run.label_smoothing)?;
        if config.run.ema_decay > 0.0 {
            child.cells("run.ema_decay")?.keep_average()?;
        }
        let refinement = Refinement::new(&config.run, &data.train)?;
        if refinement.is_some() {
            child.cells("run.bn_reestimate")?;
        }
        let restored = restore(&mut session, &mut child)?;
        session.run.place(&mut child, &config.run)?;
        session.run.expect_weights(child.n_params() + child.n_aux_params());
        let resumes = restored.is_some();
        let at = restored.unwrap_or_else(|| Progress::start(config));
        let fitted = fitted_images(data, config.refit.images, at.measured.is_some())?;
        let (train, valid) = (Source::of(&fitted, &child)?, Source::of(&data.valid, &child)?);
        if !resumes {
            concerns::warn_of(data, &config.data, &config.run);
        }
        let waited = Duration::ZERO;
        if let Some(LoadedWeights { loaded, total }) = adopted.filter(|_| !resumes) {
            session.observer.event(&Event::WarmStart { taken: loaded, of: total });
        }
        let training = Self {
            config,
            arc,
            data,
            seed,
            child,
            train,
            valid,
            refinement,
            at,
            session,
            waited,
            measuring: None,
        };
        let resumed = resumes.then(|| training.at.place(training.steps()));
        let seconds_left = training.session.budget.left(training.session.run.seconds());
        training.session.observer.event(&Event::Started {
            run: training.session.run.dir(),
            plan: training.child.plan(),
            params: training.child.n_params(),
            aux_params: training.child.n_aux_params(),
            macs: Some(training.child.macs(arc)?),
            epochs: training.at.epochs,
            steps: training.steps(),
            resumed,
            seconds_left,
        });
        Ok(training)
    }

    fn epoch(&mut self) -> Result<()> {
        self.train_epoch().or_else(|stopped| self.leave_a_model(stopped))?;
        self.end_epoch()
    }

    /// Handles the first divergence: restores the end of the last epoch and lowers the learning rate. Returns every
    /// other error, and a second divergence.
    fn go_back(&mut self, error: Error) -> Result<()> {
        let found = divergence::first(error, self.at.lr_factor < whole())?;
        let checkpoint = self.session.go_back::<Progress>(&found, self.at.epoch)?;
        let (mut at, tensors) = match checkpoint {
            Some(checkpoint) => (checkpoint.progress, checkpoint.tensors),
            None => {
                let mut child = Network::fixed(self.config, self.arc, self.data)?;
                self.session.run.start()?.map(|start| child.adopt(&start)).transpose()?;
                (Progress::start(self.config), child.state()?)
            }
        };
        if at.epoch < self.at.epoch {
            // An older checkpoint was restored. The model file may hold an epoch that will not be reached again, so
            // its values must not stop a new model from being kept.
            (at.best_valid_accuracy, at.best_macro_f1) = (0.0, None);
        }
        at.lr_factor = LOWERED;
        at.epoch_began = self.session.run.seconds();
        self.child.load(&tensors)?;
        self.at = at;
        let fitted = fitted_images(self.data, self.config.refit.images, self.at.measured.is_some())?;
        self.train = Source::of(&fitted, &self.child)?;
        self.session.save(State { progress: self.at.clone(), tensors }, Moment::Landmark)
    }

    /// The error for a step with this symptom. The step changed no weights.
    fn diverged(&self, symptom: Symptom, step: &Step) -> Error {
        let epoch = self.at.epoch;
        let train = self.train.split();
        let plan = epoch_plan(train, epoch, &self.config.run, self.at.step);
        let found = symptom.at(epoch + 1, self.at.step + 1);
        explain(found, (&self.child, self.arc), (train, &plan), step).into()
    }

    /// One epoch over the training split, or the rest of it after a resume.
    fn train_epoch(&mut self) -> Result<()> {
        let (epoch, steps) = (self.at.epoch, self.steps());
        let plan = epoch_plan(self.train.split(), epoch, &self.config.run, self.at.step);
        self.session.restart_clock();
        let mut batches = self.train.epoch(&plan)?;
        let mut next = batches.next();
        while let Some(batch) = next.take().transpose()? {
            let ((global_step, total_steps), lr) = (self.global_step(), self.lr(self.at.step));
            let step = Step { lr, global_step, total_steps, seed: self.seed };
            // Prefetch: the next batch is prepared while a GPU computes this step.
            let meanwhile = &mut || next = batches.next();
            let stats = self.child.train_on(self.arc, batch.examples(), &step, meanwhile)?;
            if let Some(symptom) = Symptom::of_step(&stats) {
                return Err(self.diverged(symptom, &step));
            }
            if self.config.run.ema_decay > 0.0 {
                // The EMA follows the weights after every step.
                let share = refine::decay(self.config.run.ema_decay, global_step);
                self.child.cells("run.ema_decay")?.update_average(share)?;
            }
            self.at.step += 1;
            self.at.tally.add(&stats);
            let place = self.at.place(steps);
            self.session.child_step(place, lr, &stats)?;
            self.tick()?;
            let (budget, spent) = self.clock();
            if budget.lacks(self.reserve(), spent) {
                self.report_time_limit(place);
                break;
            }
        }
        self.waited = batches.waited();
        Ok(())
    }

    /// Says that the time limit ends an epoch early.
    fn report_time_limit(&self, Place { epoch, step, .. }: Place) {
        if self.at.measured.is_some() {
            // Refits are planned to end like this.
            tracing::info!("the time limit ends the refit in epoch {epoch}, step {step}");
            return;
        }
        let part = if self.at.refit_epochs > 0 { "this part of the training" } else { "the training" };
        tracing::warn!("the time limit ends {part} in epoch {epoch}, step {step}");
    }

    /// Returns the error. An interruption before any model was written writes the present network first.
    fn leave_a_model(&mut self, stopped: Error) -> Result<()> {
        let path = self.session.run.model_path();
        if matches!(stopped, Error::Interrupted { .. }) && !path.exists() {
            self.refine()?;
            let (classes, asking) = (&self.data.classes, self.asking());
            let accuracy =
                model::evaluate((&self.child, self.arc), classes, &self.valid, asking)?.0.accuracy();
            model::save(&path, &self.child, &self.about(accuracy))?;
        }
        Err(stopped)
    }

    /// Replaces the weights in training by the refined ones. [`Child::load`] restores the former.
    fn refine(&mut self) -> Result<()> {
        let Some(refinement) = &self.refinement else { return Ok(()) };
        let what = "run.bn_reestimate";
        refinement.apply(self.child.cells(what)?, cells(self.arc, what)?, &self.train)
    }

    /// Seconds to reserve for the work after the last step: measure the network on the validation split, and the kept
    /// model on validation and test split.
    fn reserve(&self) -> f64 {
        let images = |split: &enas_data::Split| split.len() as f64;
        let (valid, test) = (images(&self.data.valid), images(&self.data.test));
        match self.measuring {
            // A refit ends with refined weights, which a measurement also starts with.
            Some(seconds) if self.at.measured.is_some() => seconds,
            Some(seconds) => seconds * (2.0 + test / valid.max(1.0)),
            // Before the first measurement: a forward pass is estimated as a third of a training step, with a margin.
            None => {
                let steps = (2.0 * valid + test) / self.config.run.batch_size as f64;
                let spent = self.session.run.seconds() - self.at.epoch_began;
                0.4 * steps * spent / self.at.step.max(1) as f64
            }
        }
    }

    /// Ends an epoch: measures the network, keeps the model if it is to be kept, reports, plans the rest and saves.
    fn end_epoch(&mut self) -> Result<()> {
        // Checked first, so that weights that are not finite are neither kept nor reported.
        let tensors = finite(self.child.state()?, self.at.epoch + 1, self.at.step)?;
        // During a refit there is nothing to measure on: the validation images are training images.
        match self.at.measured {
            None => {
                let began = Instant::now();
                self.refined(&tensors, Self::measure)?;
                self.measuring = Some(began.elapsed().as_secs_f64());
            }
            Some(_) => self.report(None, None)?,
        }
        self.plan_the_rest();
        let is_over = self.at.epoch >= self.at.epochs;
        // The end of a refit: its network replaces the measured one in the model file.
        if let Some(measured) = self.at.measured.filter(|_| is_over) {
            self.refined(&tensors, |training| training.keep_refitted(&measured))?;
        }
        let turns = self.is_to_be_refitted();
        if turns {
            self.turn_to_refit()?;
        }
        let moment = if is_over || turns { Moment::Landmark } else { Moment::EndOfEpoch };
        self.session.save(State { progress: self.at.clone(), tensors }, moment)
    }

    /// Runs `work` on the refined network, then restores `tensors`, the state in training.
    fn refined(&mut self, tensors: &[NamedTensor], work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.refine()?;
        work(self)?;
        if self.refinement.is_some() {
            self.child.load(tensors)?;
        }
        Ok(())
    }

    /// Measures the network on the validation split, writes the model file if this epoch is kept, and reports.
    fn measure(&mut self) -> Result<()> {
        let (classes, asking) = (&self.data.classes, self.asking());
        let (seen, symptom) = model::evaluate((&self.child, self.arc), classes, &self.valid, asking)?;
        if let Some(symptom) = symptom {
            return Err(symptom.at(self.at.epoch + 1, self.at.step).into());
        }
        let (valid_accuracy, macro_f1) = (seen.accuracy(), self.config.metric.macro_f1(&seen));
        let (found, best) = match macro_f1 {
            Some(f1) => (f1, self.at.best_macro_f1.unwrap_or(0.0)),
            None => (valid_accuracy, self.at.best_valid_accuracy),
        };
        // A tie keeps the later epoch, but it counts as no improvement for early stopping.
        if self.config.keep == Keep::Last || found >= best {
            model::save(&self.session.run.model_path(), &self.child, &self.about(valid_accuracy))?;
        }
        self.at.since_best = if found > best { 0 } else { self.at.since_best + 1 };
        self.at.best_valid_accuracy = self.at.best_valid_accuracy.max(valid_accuracy);
        self.at.best_macro_f1 = [macro_f1, self.at.best_macro_f1].into_iter().flatten().reduce(f64::max);
        self.report(Some(valid_accuracy), macro_f1)
    }

    /// Reports the epoch; accuracies are `None` if the network was not measured.
    fn report(&mut self, valid_accuracy: Option<f64>, macro_f1: Option<f64>) -> Result<()> {
        self.at.train_loss = self.at.tally.loss();
        let summary = self.summary(valid_accuracy, macro_f1);
        self.session.epoch(&summary)
    }

    /// Advances to the next epoch and plans how many there will be.
    fn plan_the_rest(&mut self) {
        let (done, seconds) = (self.at.epoch + 1, self.session.run.seconds());
        let planned = self.epochs_in_part();
        self.session.replan(self.at.epochs, planned + self.epochs_after_part(planned));
        let planned = if self.out_of_patience() { done } else { planned };
        self.at.refit_epochs = self.epochs_after_part(planned);
        self.at.next_epoch(planned + self.at.refit_epochs, seconds);
    }

    /// Early stopping: whether `run.patience` epochs passed without a better one. Reports it if that ends the
    /// training.
    fn out_of_patience(&mut self) -> bool {
        let (patience, epochs) = (self.config.run.patience, self.at.since_best);
        let is_over = self.at.measured.is_none()
            && patience > 0
            && epochs >= patience
            && self.at.epoch + 1 < self.end_of_part();
        if is_over {
            self.session.observer.event(&Event::RanOutOfPatience { epochs });
        }
        is_over
    }

    fn summary(&self, valid_accuracy: Option<f64>, valid_macro_f1: Option<f64>) -> EpochSummary {
        EpochSummary {
            epoch: self.at.epoch + 1,
            epochs: self.at.epochs,
            lr: self.lr(self.steps()),
            loss: self.at.tally.loss(),
            train_accuracy: self.at.tally.accuracy(),
            valid_accuracy,
            best_valid_accuracy: self.at.best_valid_accuracy,
            valid_macro_f1,
            policy: None,
            seconds: self.session.run.seconds() - self.at.epoch_began,
            waited_seconds: self.waited.as_secs_f64(),
        }
    }

    /// Measures the kept model on the test split. Nothing else uses that split.
    fn finish(self) -> Result<TrainOutcome<Arch>> {
        let eval_batch = self.eval_batch();
        let fitted = self.train.split().len();
        let Self { config, arc, data, child, at, session, .. } = self;
        let model = session.run.model_path();
        let images = config.refit.images;
        let (valid_accuracy, test_accuracy, test_macro_f1) = match (&at.measured, images) {
            (Some(measured), RefitImages::All) => {
                let Measured { accuracy, test_macro_f1, .. } = measured;
                (accuracy.valid, accuracy.test.unwrap_or_default(), *test_macro_f1)
            }
            (measured, _) => {
                let splits = if measured.is_some() { Measure::Test } else { Measure::Both };
                let (valid, tested) = model::conclude(&model, data, (child.gpu(), eval_batch), splits)?;
                (valid, tested.accuracy(), tested.macro_f1())
            }
        };
        let refit = at.measured.map(|measured| Refit {
            images,
            fitted,
            epochs: at.epoch - measured.epochs,
            measured_test_accuracy: measured.accuracy.test.unwrap_or_default(),
        });
        let outcome = TrainOutcome {
            run: session.run.dir().to_owned(),
            model,
            arc: arc.clone(),
            train_loss: at.train_loss,
            valid_accuracy,
            test_accuracy,
            test_macro_f1,
            refit,
            epochs: at.epoch,
            ended: at.ended(&config.run),
            seconds: session.run.seconds(),
            params: child.n_params(),
            macs: child.macs(arc)?,
        };
        session.run.log("result", outcome.epochs, &outcome.facts(config.metric))?;
        session.run.conclude()?;
        // Written last: this file marks the run as finished.
        session.run.write_best_arc(arc, &outcome.facts(config.metric))?;
        session.observer.event(&Event::Finished { valid_accuracy });
        Ok(outcome)
    }

    fn about(&self, valid: f64) -> About {
        About {
            enas_model: model::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            arc: self.arc.clone(),
            classes: self.data.classes.clone(),
            child: self.config.child.clone(),
            macro_net: self.macro_net(),
            data: self.config.data.clone().with_white(self.data.white),
            seed: self.config.run.seed,
            normalization: self.data.normalization.clone(),
            eval_batch: self.config.run.eval_batch,
            tta: self.config.run.tta,
            accuracy: Accuracies { valid, test: None },
            temperature: None,
            refit: None,
        }
    }

    /// Settings of the macro network; `None` for a network of cells.
    fn macro_net(&self) -> Option<MacroConfig> {
        match &self.child {
            Network::Micro(_) => None,
            Network::Macro(child) => Some(child.config().clone()),
        }
    }

    /// The learning rate at step `step` of this epoch.
    fn lr(&self, step: u64) -> f32 {
        let before = self.epochs_before();
        let (epoch, epochs) = (self.at.epoch - before, self.end_of_part() - before);
        let at = Position { epoch, epochs, step, steps: self.steps() };
        let (schedule, (budget, spent)) = (self.schedule(), self.clock());
        let share = budget.share(spent, self.reserve());
        let by_time = share.and_then(|share| annealing::lr_by_time(&schedule, share, at));
        let fit = self.config.run.fit_schedule;
        self.at.lr_factor * by_time.unwrap_or_else(|| annealing::lr(&schedule, fit, at))
    }

    /// Images per evaluation step: the setting, or less if memory is short. The size does not change results, because
    /// evaluation uses the moving statistics.
    fn eval_batch(&self) -> usize {
        MemoryPlan::infer_batch(self.session.run.memory(), self.config.run.eval_batch)
    }

    fn asking(&self) -> Asking {
        Asking { eval_batch: self.eval_batch(), tta: self.config.run.tta }
    }

    fn steps(&self) -> u64 {
        steps_per_epoch(self.train.split(), &self.config.run)
    }

    fn tick(&mut self) -> Result<()> {
        let (at, child) = (&self.at, &self.child);
        self.session.tick(|| state(at, child))
    }
}

/// Restores the newest checkpoint, if there is one; returns its position.
fn restore(session: &mut Session<'_>, child: &mut Network) -> Result<Option<Progress>> {
    let Some(checkpoint) = session.run.restore::<Progress>()? else { return Ok(None) };
    let Progress { epoch, epochs, step, .. } = checkpoint.progress;
    is_possible(session.run.dir(), epoch, epochs, step)?;
    child.load(&checkpoint.tensors)?;
    Ok(Some(checkpoint.progress))
}

fn state(at: &Progress, child: &Network) -> Result<State<Progress>> {
    let tensors = finite(child.state()?, at.epoch + 1, at.step)?;
    Ok(State { progress: at.clone(), tensors })
}

/// A network of cells at its random initialisation.
pub(crate) fn network(config: &TrainConfig, arc: &Arc, data: &Dataset) -> Result<Child> {
    Ok(Child::fixed(&config.child, arc, input_of(data), data.classes.len(), config.run.seed())?)
}
