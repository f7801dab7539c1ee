//! The state of a training, how it starts or resumes, and its training steps.

use std::time::Duration;

use enas_arc::Arch;
use enas_child::{LoadedWeights, Step, StepStats};
use enas_data::Dataset;
use enas_rng::Seed;

use super::measured::fitted_images;
use super::progress::Progress;
use crate::child_epoch::{ChildLoop, LoopParts};
use crate::epoch::steps_per_epoch;
use crate::observer::{Event, Position};
use crate::refine::{self, Refinement};
use crate::session::{Session, check_position};
use enas_run::checkpoint::Checkpoint;
use enas_run::config::{Settings as _, TrainConfig};
use enas_run::data_warnings;
use enas_run::directory::run::State;
use enas_run::error::{Error, Result};
use enas_run::loader::ImageSource;
use enas_run::network::Network;
use enas_run::non_finite::finite;

/// A training in progress.
pub(super) struct Training<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) arc: &'a Arch,
    pub(super) data: &'a Dataset,
    pub(super) seed: Seed,
    pub(super) child: Network,
    /// The images to train on and to validate with: in host memory, or resident on the GPU.
    pub(super) train: ImageSource,
    pub(super) valid: ImageSource,
    /// Turns the network in training into the one that is measured and kept (EMA weights, BN statistics
    /// re-estimation); `None` if they are the same.
    pub(super) refinement: Option<Refinement>,
    pub(super) at: Progress,
    pub(super) session: Session<'a>,
    /// Time spent waiting for batches in this epoch.
    pub(super) waited: Duration,
    /// Seconds that the last measurement of the network took.
    pub(super) measuring: Option<f64>,
    /// Wall time of the run at the end of this epoch's first step, in seconds, if that step was of this session.
    pub(super) first_step_ended: Option<f64>,
}

impl<'a> Training<'a> {
    pub(super) fn start_or_resume(
        config: &'a TrainConfig,
        arc: &'a Arch,
        data: &'a Dataset,
        mut session: Session<'a>,
    ) -> Result<Self> {
        session.run.check_data(data)?;
        check_arc(&session, arc)?;
        config.check()?;
        let seed = config.run.seed();
        let mut child = Network::fixed(config, arc, data)?;
        let adopted = session.run.start()?.map(|start| child.adopt(&start)).transpose()?;
        prepare(&mut child, config, data)?;
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
        let train = ImageSource::of(&fitted, &child)?;
        let valid = ImageSource::of(&data.valid, &child)?;
        if !resumes {
            data_warnings::warn_of(data, &config.data, &config.run);
        }
        if let Some(LoadedWeights { loaded, total }) = adopted.filter(|_| !resumes) {
            session.observer.event(&Event::WarmStart { taken: loaded, of: total });
        }
        let mut training = Self {
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
            waited: Duration::ZERO,
            measuring: None,
            first_step_ended: None,
        };
        training.report_start(resumes)?;
        Ok(training)
    }

    fn report_start(&mut self, resumes: bool) -> Result<()> {
        let resumed = resumes.then(|| self.place());
        let seconds_left = self.session.budget.left(self.session.run.seconds());
        self.session.observer.event(&Event::Started {
            run: self.session.run.dir(),
            plan: self.child.plan(),
            params: self.child.n_params(),
            aux_params: self.child.n_aux_params(),
            macs: Some(self.child.macs(self.arc)?),
            epochs: self.at.epochs,
            steps: steps_per_epoch(self.train.split(), &self.config.run),
            resumed,
            seconds_left,
        });
        Ok(())
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> u64 {
        steps_per_epoch(self.train.split(), &self.config.run)
    }
}

impl<'a> ChildLoop<'a> for Training<'a> {
    type Progress = Progress;

    fn arc_of_step(&mut self, _: u64) -> Arch {
        self.arc.clone()
    }

    fn step(&self) -> Step {
        let (global_step, total_steps) = self.global_step();
        Step { lr: self.lr(self.at.step), global_step, total_steps, seed: self.seed }
    }

    fn place(&self) -> Position {
        self.at.place(self.steps())
    }

    fn count(&mut self, step: &Step, stats: &StepStats) -> Result<()> {
        if self.config.run.ema_decay > 0.0 {
            // The EMA follows the weights after every step.
            let share = refine::decay(self.config.run.ema_decay, step.global_step);
            self.child.cells("run.ema_decay")?.update_average(share)?;
        }
        self.at.step += 1;
        self.at.tally.add(stats);
        if self.at.step == 1 {
            self.first_step_ended = Some(self.session.run.seconds());
        }
        Ok(())
    }

    fn is_out_of_time(&self) -> bool {
        let (budget, spent) = self.clock();
        // A step that would end after the limit is not begun.
        let has_more_steps = self.at.step < self.steps();
        let is_over = has_more_steps && budget.lacks(self.step_seconds() + self.reserve(), spent);
        self.report_short_limit(is_over);
        if is_over {
            self.report_time_limit();
        }
        is_over
    }

    fn save_if_due(&mut self) -> Result<()> {
        let at = &self.at;
        let child = &self.child;
        self.session.tick(|| state(at, child))
    }

    fn parts(&mut self) -> LoopParts<'_, 'a> {
        let Self { child, train, session, .. } = self;
        LoopParts { child, images: train, config: &self.config.run, session }
    }

    fn state(&self) -> Result<State<Progress>> {
        state(&self.at, &self.child)
    }

    fn lr_factor(&self) -> f32 {
        self.at.lr_factor
    }

    fn restart(&mut self, from: Option<Checkpoint<Progress>>, lr_factor: f32) -> Result<()> {
        let (mut at, tensors) = match from {
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
            at.best_valid_accuracy = 0.0;
            at.best_macro_f1 = None;
        }
        at.lr_factor = lr_factor;
        at.epoch_began = self.session.run.seconds();
        self.child.load(&tensors)?;
        self.at = at;
        let fitted = fitted_images(self.data, self.config.refit.images, self.at.measured.is_some())?;
        self.train = ImageSource::of(&fitted, &self.child)?;
        Ok(())
    }
}

/// Refuses a run that trains another arc.
fn check_arc(session: &Session<'_>, arc: &Arch) -> Result<()> {
    if session.run.arch().is_none_or(|of_run| of_run == arc) {
        return Ok(());
    }
    let problem = "this run trains another arc".to_owned();
    Err(Error::RunDirectory { path: session.run.dir().to_owned(), problem })
}

/// Sets the loss of a new network, and starts the moving average of its weights if there is to be one.
fn prepare(child: &mut Network, config: &TrainConfig, data: &Dataset) -> Result<()> {
    child.set_loss(&config.run, data)?;
    if config.run.ema_decay > 0.0 {
        child.cells("run.ema_decay")?.keep_average()?;
    }
    Ok(())
}

/// Restores the newest checkpoint, if there is one; returns its position.
fn restore(session: &mut Session<'_>, child: &mut Network) -> Result<Option<Progress>> {
    let Some(checkpoint) = session.run.restore::<Progress>()? else { return Ok(None) };
    let Progress { epoch, epochs, step, .. } = checkpoint.progress;
    check_position(session.run.dir(), epoch, epochs, step)?;
    child.load(&checkpoint.tensors)?;
    Ok(Some(checkpoint.progress))
}

fn state(at: &Progress, child: &Network) -> Result<State<Progress>> {
    let tensors = finite(child.state()?, at.epoch + 1, at.step)?;
    Ok(State { progress: at.clone(), tensors })
}
