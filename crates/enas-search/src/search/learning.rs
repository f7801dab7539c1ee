//! Phase 2 of an epoch: the strategy learns from scores of the shared weights. Also the warm-up and the restart of a
//! collapsed strategy.

use enas_arc::Arch;
use enas_controller::UpdateStats;
use enas_strategy::{Oracle, Strategy};
use serde::Serialize;

use super::oracle::SharedWeights;
use super::strategy::Proposer;
use super::{Search, collapse, warmup};
use crate::divergence::Symptom;
use crate::error::Result;
use crate::observer::Event;

impl Search<'_> {
    /// Phase 2: trains the strategy on the validation split while ω stays fixed.
    ///
    /// Every step draws `controller.aggregate` architectures m_i ~ π(m; θ), scores each with ω, and shows the
    /// scores to the strategy. A policy makes one REINFORCE update along
    ///
    /// ```text
    /// ∇_θ E[R(m, ω)] ≈ mean over i of ∇_θ ln π(m_i; θ)·(R(m_i, ω) - b)
    /// ```
    ///
    /// with a moving-average baseline b (authors' code: `micro_controller.py:231-248` for the loss, `main.py:279-291`
    /// for the loop).
    pub(super) fn train_strategy(&mut self) -> Result<()> {
        let config = &self.config.controller;
        let steps = config.steps as u64;
        // As `controller_train_every` of the authors' code (`main.py:277`), but not before the warm-up has ended.
        let is_due = (self.at.epoch + 1).is_multiple_of(config.train_every as u64) && self.is_warm();
        while is_due && self.at.step < steps && !self.time_is_up() {
            let arcs = self.propose();
            let (scores, accuracies) = self.score_with_shared_weights(&arcs)?;
            let scored: Vec<(Arch, f64)> = arcs.into_iter().zip(scores).collect();
            self.strategy.observe(&scored); // θ moves along ∇_θ E[R(m, ω)]
            let stats = self.strategy.take_update()?;
            let symptom = stats.as_ref().and_then(Symptom::of_update);
            let stats = self.healthy(symptom, stats, self.at.step + 1)?;
            self.at.step += 1;
            let of_step = OfStep::new(&scored, &accuracies, stats.as_ref());
            self.at.policy.add(&scored, &of_step);
            self.report_strategy_step(steps, &of_step, stats.as_ref())?;
            self.tick()?;
        }
        Ok(())
    }

    /// Draws the architectures of one step, m_i ~ π(m; θ). Each has its own random stream, so resuming repeats
    /// them.
    fn propose(&mut self) -> Vec<Arch> {
        let n = self.config.controller.aggregate as u64;
        let (seed, epoch, step) = (self.seed, self.at.epoch, self.at.step);
        let strategy = &mut self.strategy;
        let one = |k| strategy.propose_one(&mut seed.stream("search/rollout", &[epoch, step, k]));
        (0..n).map(one).collect()
    }

    /// Rewards R(m_i, ω) of the architectures, and the accuracies to display.
    fn score_with_shared_weights(&self, arcs: &[Arch]) -> Result<(Vec<f64>, Vec<f32>)> {
        let of_half = self.config.reward.same_images || self.has_finals();
        let mut oracle = SharedWeights {
            child: &self.child,
            data: self.data,
            valid: &self.valid,
            images: of_half.then_some(&self.halves.choose[..]),
            reward: &self.config.reward,
            seed: self.seed,
            at: [self.at.epoch, self.at.step],
            accuracies: Vec::with_capacity(arcs.len()),
        };
        Ok((oracle.score(arcs)?, oracle.accuracies))
    }

    fn report_strategy_step(&mut self, steps: u64, seen: &OfStep, stats: Option<&UpdateStats>) -> Result<()> {
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
        let place = self.at.place(steps);
        let strategy = &self.config.strategy;
        let &OfStep { accuracy, reward, entropy } = seen;
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

    /// The architecture for a training step of ω: a fair draw in the warm-up and in some steps after it, otherwise a
    /// proposal of the strategy.
    pub(super) fn arc_of_step(&mut self, step: u64) -> Arch {
        let config = &self.config.warmup;
        // Fair draws during the warm-up, after a collapse, and at random in between.
        let fair_until = self.warmup_steps().max(self.at.fair_until);
        if step < fair_until || warmup::is_fair_turn(config, self.seed, step) {
            return self.space.fair(self.seed, step);
        }
        let position = [self.at.epoch, self.at.step];
        self.strategy.propose_one(&mut self.seed.stream("search/arc", &position))
    }

    /// Whether the warm-up is complete at the end of this epoch, so that scores compare architectures.
    fn is_warm(&self) -> bool {
        let done = (self.at.epoch + 1) * self.child_steps();
        done >= self.warmup_steps() && done > self.at.fair_until
    }

    pub(super) fn warmup_steps(&self) -> u64 {
        warmup::steps(&self.config.warmup, &self.space)
    }

    /// Replaces a collapsed strategy by a new one; one epoch of fair draws follows.
    ///
    /// Collapsed means that one operation takes too large a share of the choices, or that the proposed networks are
    /// smaller than 90 % of random ones.
    pub(super) fn leave_a_collapsed_policy(&mut self) -> Result<()> {
        let most = f64::from(self.config.warmup.collapse);
        if most == 0.0 || !self.at.policy.is_trained() || !self.strategy.has_learned() {
            return Ok(());
        }
        let child = &self.child;
        let macs = |arc: &Arch| child.macs(arc);
        let by_operation = collapse::of_epoch(&self.at.policy, most, &self.space, self.strategy.noun());
        let by_size = collapse::of_size(&mut self.strategy, &self.space, self.seed, &macs)?;
        let Some(what) = by_operation.or(by_size) else { return Ok(()) };
        let noun = self.strategy.noun();
        self.strategy = Proposer::of(self.config, self.at.lr_factor)?;
        self.strategy.set_progress(self.progress());
        self.at.fair_until = (self.at.epoch + 2) * self.child_steps();
        #[derive(Serialize)]
        struct Line<'a> {
            epoch: u64,
            what: &'a str,
        }
        let epoch = self.at.epoch + 1;
        self.session.run.log("collapse", epoch, &Line { epoch, what: &what })?;
        self.session.observer.event(&Event::PolicyCollapsed { noun, what: &what });
        Ok(())
    }
}

/// Means over the architectures of one strategy step.
pub(super) struct OfStep {
    /// Mean accuracy (0 to 1), or mean macro-F1 if that is the reward.
    pub(super) accuracy: f32,
    /// Mean reward: the score, plus the entropy bonus if the strategy is a policy.
    pub(super) reward: f32,
    /// Mean entropy of the policy in nats; `None` without a policy.
    pub(super) entropy: Option<f32>,
}

impl OfStep {
    fn new(scored: &[(Arch, f64)], accuracies: &[f32], stats: Option<&UpdateStats>) -> Self {
        let mean_score = || scored.iter().map(|(_, score)| *score as f32).sum::<f32>() / scored.len() as f32;
        Self {
            accuracy: accuracies.iter().sum::<f32>() / accuracies.len() as f32,
            reward: stats.map_or_else(mean_score, |stats| stats.mean_reward),
            entropy: stats.map(|stats| stats.mean_entropy),
        }
    }
}
