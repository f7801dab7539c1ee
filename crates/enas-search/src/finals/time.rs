//! The time limit of the finals: how long the rounds are, and when they end.

use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::recipe::{BN_BATCHES, ROUNDS};
use super::rounds::{FEWEST, Finals, SHORT, Task};
use crate::trial::Trial;
use enas_run::directory::run::FollowUpWork;
use enas_run::error::Result;

/// Minimum steps of the first round, regardless of the time limit.
const LEAST: u64 = 4;
/// Steps of the first round that are allowed even if an epoch is shorter.
const FEW: u64 = 50;
/// Number of steps that are timed before the first round.
const TIMED: u64 = 3;
/// After a step of this many seconds no further one is timed.
const LONG: f64 = 0.5;

impl<P: Serialize + DeserializeOwned> Finals<'_, '_, '_, P> {
    /// Steps of the first round without a time limit: the setting, but at most an epoch. On few images that repeat, a
    /// network overfits, and its training loss then only measures its size.
    pub(super) fn wanted_steps(&self) -> u64 {
        let Task { config, data, .. } = self.task;
        let epoch = (data.train.len() / config.run.batch_size) as u64;
        config.finals.steps.min(epoch.max(FEW))
    }

    /// Shortens the rounds if the time is too short for [`SHORT`] candidates.
    pub(super) fn fit_to_time(&mut self) -> Result<()> {
        let wanted = self.wanted_steps();
        let Some(seconds) = self.progress.seconds.filter(|_| self.progress.steps == 0) else {
            self.progress.steps = if self.progress.steps == 0 { wanted } else { self.progress.steps };
            return Ok(());
        };
        let one = self.time_a_step()?;
        self.timed = one;
        let (n, controls) = SHORT;
        let [second, third] = [FEWEST as u64, FEWEST as u64 - 1];
        // Steps of all rounds, in units of the first round's steps: the candidates, the survivors of two rounds, and
        // the controls.
        let times = ROUNDS[0] * n
            + (ROUNDS[1] - ROUNDS[0]) * second
            + (ROUNDS[2] - ROUNDS[1]) * third
            + ROUNDS[2] * controls as u64;
        let trainings = n + second + third + controls as u64;
        let measuring = trainings as f64 * self.measuring(one);
        let left = self.session.budget.left(self.session.run.seconds()).unwrap_or(seconds);
        self.report_short_limit(left, measuring + (LEAST * times) as f64 * one);
        let usable = (left - self.reserve() - measuring).max(0.0);
        let affordable = (0.8 * usable / one.max(1e-9)) as u64 / times;
        self.progress.steps = affordable.clamp(LEAST.min(wanted), wanted);
        if self.progress.steps < wanted {
            tracing::info!("the time limit leaves {} steps for the first round", self.progress.steps);
        }
        Ok(())
    }

    /// Seconds of a training step of the first candidate.
    fn time_a_step(&self) -> Result<f64> {
        let Task { recipe, data, gpu, memory, .. } = self.task;
        let mut trial = Trial::new(recipe, &self.candidates[0].arc, data, gpu, memory)?;
        // The first step includes one-time costs, so it does not count, unless further ones would take too long.
        let began = Instant::now();
        trial.train_to(1, &mut |_, _| true)?;
        let first = began.elapsed().as_secs_f64();
        if first >= LONG {
            return Ok(first);
        }
        let began = Instant::now();
        trial.train_to(1 + TIMED, &mut |_, _| true)?;
        Ok(began.elapsed().as_secs_f64() / TIMED as f64)
    }

    /// Whether `steps` more steps would end after the share `end` of the time.
    pub(super) fn is_past(&self, end: f64, steps: u64) -> bool {
        let one = steps as f64 * self.step_seconds();
        self.seconds_until(end).is_some_and(|seconds| seconds < one)
    }

    /// Seconds until the share `end` of the time is over; `None` without a time limit.
    pub(super) fn seconds_until(&self, end: f64) -> Option<f64> {
        let left = self.session.budget.left(self.session.run.seconds())?;
        Some(left - self.reserve() - (1.0 - end) * self.progress.seconds.unwrap_or(left))
    }

    /// Seconds of a training step with its share of the measurements, 0 if none was timed.
    pub(super) fn step_seconds(&self) -> f64 {
        if self.pace.0 > 0 { self.pace.1 / self.pace.0 as f64 } else { self.timed }
    }

    /// Seconds to reserve for what follows the run.
    pub(super) fn reserve(&self) -> f64 {
        let FollowUpWork { images, seconds } = self.session.run.follow_up();
        seconds + images as f64 * forward(self.step_seconds(), self.task.config.run.batch_size)
    }

    /// Seconds of the predictions after the training of a network, if a step takes `step` seconds.
    pub(super) fn measuring(&self, step: f64) -> f64 {
        let batch = self.task.config.run.batch_size;
        let images = self.task.data.valid.len() + BN_BATCHES as usize * batch;
        images as f64 * forward(step, batch)
    }

    /// Says that `seconds` are too short for rounds that take `needed` seconds, and which limit would do.
    fn report_short_limit(&self, seconds: f64, needed: f64) {
        let before = self.session.run.before();
        // Without time before the run, the limit is not the user's, but that of a phase.
        if before.is_zero() || needed + self.reserve() <= seconds {
            return;
        }
        let spent = before.as_secs_f64() + self.session.run.seconds();
        let enough = (spent + needed + self.reserve()).ceil();
        tracing::warn!(
            "the time limit is too short for the shortest finals, which take about {enough} s in all; the architecture found \
             will be one of few, trained for a few steps"
        );
    }
}

/// Seconds of a forward pass per image, estimated as a third of a training step, with a margin.
fn forward(step: f64, batch_size: usize) -> f64 {
    0.4 * step / batch_size as f64
}
