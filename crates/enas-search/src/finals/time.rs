//! The time limit of the finals: how long the rounds are, and when they end.

use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::recipe::ROUNDS;
use super::rounds::{FEWEST, Finals, SHORT, Task};
use crate::trial::Trial;
use enas_run::error::Result;

/// Minimum steps of the first round, regardless of the time limit.
const LEAST: u64 = 4;
/// Steps of the first round that are allowed even if an epoch is shorter.
const FEW: u64 = 50;
/// Number of steps that are timed before the first round.
const TIMED: u64 = 3;

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
        let Task { recipe, data, gpu, memory, .. } = self.task;
        let mut trial = Trial::new(recipe, &self.candidates[0].arc, data, gpu, memory)?;
        // The first step includes one-time costs, so it is not timed.
        trial.train_to(1, &mut |_, _| true)?;
        let began = Instant::now();
        trial.train_to(1 + TIMED, &mut |_, _| true)?;
        let one = began.elapsed().as_secs_f64() / TIMED as f64;
        let (n, controls) = SHORT;
        // Steps of all rounds, in units of the first round's steps: the candidates, the survivors of two rounds, and
        // the controls.
        let times = ROUNDS[0] * n
            + (ROUNDS[1] - ROUNDS[0]) * FEWEST as u64
            + (ROUNDS[2] - ROUNDS[1]) * (FEWEST as u64 - 1)
            + ROUNDS[2] * controls as u64;
        let affordable = (0.8 * seconds / one.max(1e-9)) as u64 / times;
        self.progress.steps = affordable.clamp(LEAST.min(wanted), wanted);
        if self.progress.steps < wanted {
            tracing::info!("the time limit leaves {} steps for the first round", self.progress.steps);
        }
        Ok(())
    }

    /// Whether `steps` more steps would end after the share `end` of the time.
    pub(super) fn is_past(&self, end: f64, steps: u64) -> bool {
        let one = steps as f64 * self.pace.1 / self.pace.0.max(1) as f64;
        self.seconds_until(end).is_some_and(|seconds| seconds < one)
    }

    /// Seconds until the share `end` of the time is over; `None` without a time limit.
    pub(super) fn seconds_until(&self, end: f64) -> Option<f64> {
        let left = self.session.budget.left(self.session.run.seconds())?;
        Some(left - (1.0 - end) * self.progress.seconds.unwrap_or(left))
    }
}
