//! What a search measures and reports at the end of steps and epochs.

use enas_arc::Arch;
use serde::Serialize;

use super::learning::StrategyUpdate;
use super::progress::{Progress, StepMeans};
use super::scoring::Score;
use super::state::Search;
use crate::child_epoch::ChildLoop as _;
use crate::observer::{EpochSummary, Event};
use enas_run::error::Result;

impl Search<'_> {
    /// Logs and displays a step of the strategy.
    pub(super) fn report_strategy_step(&mut self, update: &StrategyUpdate) -> Result<()> {
        #[derive(Serialize)]
        struct Line {
            epoch: u64,
            step: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            strategy: Option<&'static str>,
            accuracy: f32,
            reward: f32,
            #[serde(skip_serializing_if = "Option::is_none")]
            baseline: Option<f32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            entropy: Option<f32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            loss: Option<f32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            grad_norm: Option<f32>,
        }
        let place = self.place();
        let strategy = &self.config.strategy;
        let StepMeans { accuracy, reward, entropy } = update.means;
        let stats = update.stats.as_ref();
        let baseline = stats.map(|stats| stats.baseline);
        let line = Line {
            epoch: place.epoch,
            step: place.step,
            // Absent for the published strategy, so that its log lines stay those of earlier versions.
            strategy: (!strategy.is_reinforce()).then(|| strategy.kind()),
            accuracy,
            reward,
            baseline,
            entropy,
            loss: stats.map(|stats| stats.loss),
            grad_norm: stats.map(|stats| stats.grad_norm),
        };
        self.session.run.log("controller", place.overall(), &line)?;
        self.session.observer.event(&Event::ControllerStep { place, accuracy, reward, baseline, entropy });
        Ok(())
    }

    /// Measures the shared weights at the end of an epoch, and reports the epoch.
    pub(super) fn measure_shared_weights(&mut self) -> Result<()> {
        let greedy = self.strategy.favourite();
        let (score, non_finite) = match &greedy {
            // With finals the shared weights are measured with random arcs; without, with the strategy's favourite.
            Some(greedy) if !self.has_finals() => self.timed_score(greedy)?,
            _ => self.probe()?,
        };
        let score = self.healthy(non_finite, score, self.at.step)?;
        self.at.best_valid_accuracy = self.at.best_valid_accuracy.max(score.accuracy);
        let summary = self.summary(greedy, score);
        self.session.epoch(&summary)
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
}
