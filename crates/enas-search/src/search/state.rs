//! The state of a search, how it starts or resumes, and what it does about divergence and the time limit.

use std::time::Duration;

use enas_arc::Arch;
use enas_child::{Step, StepStats};
use enas_data::Dataset;
use enas_rng::Seed;

use super::progress::{Progress, load, state};
use super::space::ImageSpace;
use super::strategy::Proposer;
use super::warmup;
use crate::annealing::{self, SchedulePosition};
use crate::child_epoch::{ChildLoop, LoopParts, full_lr};
use crate::epoch::steps_per_epoch;
use crate::finals::Halves;
use crate::image_weights::ImageWeights;
use crate::observer::{Event, Phase, Position};
use crate::session::Session;
use enas_run::checkpoint::Checkpoint;
use enas_run::config::{SearchConfig, Settings as _};
use enas_run::data_warnings;
use enas_run::directory::run::{FollowUpWork, State};
use enas_run::error::Result;
use enas_run::loader::ImageSource;
use enas_run::network::Network;
use enas_run::non_finite::NonFinite;

/// Share of the time limit that is reserved for the finals.
pub(super) const FINALS: f64 = 0.45;

/// A search in progress.
pub(super) struct Search<'a> {
    pub(super) config: &'a SearchConfig,
    pub(super) data: &'a Dataset,
    pub(super) seed: Seed,
    pub(super) space: ImageSpace,
    /// The network with the shared weights ω.
    pub(super) child: Network,
    /// The images of both phases: in host memory, or resident on the GPU.
    pub(super) train: ImageSource,
    pub(super) valid: ImageSource,
    /// Indices of validation images: those that choices are made by, and those that only report.
    pub(super) halves: Halves,
    /// How much each validation image counts in losses that architectures are compared by.
    pub(super) image_weights: ImageWeights,
    /// Proposes architectures; by the published settings the policy π(m; θ).
    pub(super) strategy: Proposer,
    pub(super) at: Progress,
    pub(super) session: Session<'a>,
    /// Time spent waiting for batches in this epoch.
    pub(super) waited: Duration,
}

impl<'a> Search<'a> {
    pub(super) fn start_or_resume(
        config: &'a SearchConfig,
        data: &'a Dataset,
        session: Session<'a>,
    ) -> Result<Self> {
        session.run.check_data(data)?;
        config.check()?;
        let seed = config.run.seed();
        let checkpoint = session.run.restore::<Progress>()?;
        // A run that went back once continues with lowered learning rates.
        let lr_factor = checkpoint.as_ref().map_or_else(full_lr, |c| c.progress.lr_factor);
        let mut child = Network::shared(config, data)?;
        let mut strategy = Proposer::of(config, lr_factor)?;
        child.set_loss(&config.run, data)?;
        let restored =
            checkpoint.map(|c| load(session.run.dir(), c, &mut child, &mut strategy)).transpose()?;
        session.run.place(&mut child, &config.run)?;
        session.run.expect_weights(child.n_params() + child.n_aux_params());
        let resumes = restored.is_some();
        if !resumes {
            data_warnings::warn_of(data, &config.data, &config.run);
        }
        let space = ImageSpace::of(config)?;
        let finals = config.finals.are_wanted();
        let mut search = Self {
            config,
            data,
            seed,
            at: restored.unwrap_or_else(|| Progress::start(config.run.epochs, &space)),
            space,
            train: ImageSource::of(&data.train, &child)?,
            valid: ImageSource::of(&data.valid, &child)?,
            // Finals report on images that no choice has used. Without finals the whole split serves both purposes.
            halves: if finals { Halves::of(&data.valid, seed) } else { Halves::unsplit(&data.valid, seed) },
            image_weights: ImageWeights::of(&config.run, &config.data, data)?,
            child,
            strategy,
            session,
            waited: Duration::ZERO,
        };
        if !resumes {
            search.plan()?;
        }
        search.report_start(resumes);
        Ok(search)
    }

    fn report_start(&mut self, resumes: bool) {
        let resumed = resumes.then(|| self.place());
        let seconds_left = self.session.budget.left(self.session.run.seconds());
        self.session.observer.event(&Event::Started {
            run: self.session.run.dir(),
            plan: self.child.plan(),
            params: self.child.n_params(),
            aux_params: self.child.n_aux_params(),
            macs: None,
            epochs: self.at.epochs,
            steps: steps_per_epoch(&self.data.train, &self.config.run),
            resumed,
            seconds_left,
        });
    }

    /// Returns `result`, or the divergence at this step if a value was not finite.
    pub(super) fn healthy<T>(&self, non_finite: Option<NonFinite>, result: T, step: u64) -> Result<T> {
        non_finite.map_or(Ok(result), |non_finite| Err(non_finite.at(self.at.epoch + 1, step).into()))
    }

    /// Progress of the strategy's training in this epoch, from 0 to 1. It starts when the warm-up is over.
    pub(super) fn progress(&self) -> f64 {
        let warmup = self.warmup_steps() / self.child_steps();
        let done = self.at.epoch.saturating_sub(warmup);
        let all = self.at.epochs.saturating_sub(warmup);
        done as f64 / all.max(1) as f64
    }

    /// The child's learning rate at step `step` of this epoch.
    pub(super) fn lr(&self, step: u64) -> f32 {
        let Progress { epoch, epochs, lr_factor, .. } = self.at;
        let at = SchedulePosition { epoch, epochs, step, steps: self.child_steps() };
        lr_factor * annealing::lr(&self.config.schedule, self.config.run.fit_schedule, at)
    }

    /// Steps of a complete phase 1.
    pub(super) fn child_steps(&self) -> u64 {
        steps_per_epoch(&self.data.train, &self.config.run)
    }

    /// Steps of the warm-up.
    pub(super) fn warmup_steps(&self) -> u64 {
        warmup::steps(&self.config.warmup, &self.space)
    }

    pub(super) fn has_finals(&self) -> bool {
        self.config.finals.are_wanted()
    }

    /// Seconds to reserve for the choice at the end. Until scoring was timed once, the largest reserve allowed.
    pub(super) fn reserve(&self) -> f64 {
        let select = &self.config.select;
        let random = if self.has_finals() { 0 } else { select.random };
        // Three more: the greedy arc, and two that are compared once more, image by image.
        let arcs = 3 + select.samples + random;
        let scoring =
            self.session.budget.reserve(self.at.scoring.map_or(f64::INFINITY, |one| one * arcs as f64));
        scoring + self.reserve_for_finals() + self.reserve_for_follow_up()
    }

    /// Seconds to reserve for what follows the run. Finals reserve this themselves.
    pub(super) fn reserve_for_follow_up(&self) -> f64 {
        if self.has_finals() || self.session.budget.limit().is_none() {
            return 0.0;
        }
        let FollowUpWork { images, seconds } = self.session.run.follow_up();
        let per_image = self.at.scoring.unwrap_or(0.0) / self.halves.choose.len().max(1) as f64;
        seconds + images as f64 * per_image
    }

    /// Seconds to reserve for the finals.
    pub(super) fn reserve_for_finals(&self) -> f64 {
        if !self.has_finals() {
            return 0.0;
        }
        self.session.budget.limit().map_or(0.0, |limit| FINALS * limit)
    }
}

impl<'a> ChildLoop<'a> for Search<'a> {
    type Progress = Progress;

    fn arc_of_step(&mut self, global_step: u64) -> Arch {
        self.propose_for_child(global_step)
    }

    fn step(&self) -> Step {
        let steps = self.child_steps();
        Step {
            lr: self.lr(self.at.step),
            global_step: self.at.epoch * steps + self.at.step,
            total_steps: self.at.epochs * steps,
            seed: self.seed,
        }
    }

    fn place(&self) -> Position {
        let steps = match self.at.phase {
            Phase::Child => self.child_steps(),
            Phase::Controller => self.config.controller.steps as u64,
            Phase::Select => 0,
        };
        self.at.place(steps)
    }

    fn count(&mut self, _: &Step, stats: &StepStats) -> Result<()> {
        self.at.step += 1;
        self.at.child.add(stats);
        Ok(())
    }

    // The rest of the time is reserved for the choice at the end.
    fn is_out_of_time(&self) -> bool {
        self.session.budget.lacks(self.reserve(), self.session.run.seconds())
    }

    fn save_if_due(&mut self) -> Result<()> {
        let at = &self.at;
        let child = &self.child;
        let strategy = &self.strategy;
        self.session.tick(|| state(at, child, strategy))
    }

    fn parts(&mut self) -> LoopParts<'_, 'a> {
        let Self { child, train, session, .. } = self;
        LoopParts { child, images: train, config: &self.config.run, session }
    }

    fn state(&self) -> Result<State<Progress>> {
        state(&self.at, &self.child, &self.strategy)
    }

    fn lr_factor(&self) -> f32 {
        self.at.lr_factor
    }

    fn restart(&mut self, from: Option<Checkpoint<Progress>>, lr_factor: f32) -> Result<()> {
        // The strategy is built anew, because its optimiser takes the learning rate at construction.
        self.strategy = Proposer::of(self.config, lr_factor)?;
        self.at = match from {
            Some(checkpoint) => {
                load(self.session.run.dir(), checkpoint, &mut self.child, &mut self.strategy)?
            }
            None => {
                self.child.load(&Network::shared(self.config, self.data)?.state()?)?;
                Progress::start(self.config.run.epochs, &self.space)
            }
        };
        self.at.lr_factor = lr_factor;
        self.at.epoch_began = self.session.run.seconds();
        Ok(())
    }
}
