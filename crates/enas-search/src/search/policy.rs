//! Phase 2: the policy is trained, once the shared weights can tell architectures apart.

use enas_arc::Arc;
use enas_child::Norm;
use enas_controller::{Bounds, Episode, UpdateStats};
use serde::Serialize;

use super::{Search, collapse, networks, warmup};
use crate::config::RewardMetric;
use crate::divergence::Symptom;
use crate::error::Result;
use crate::evaluate::Evaluation;
use crate::feed::Minibatch;
use crate::observer::Event;
use crate::trial::answers_of;

/// An arc with its reward.
struct Rollout {
    episode: Episode,
    /// What is shown: the accuracy where the reward is made from the loss, else the reward.
    accuracy: f32,
}

impl Search<'_> {
    /// Phase 2. Trains θ on the validation split with ω fixed, by REINFORCE.
    pub(super) fn train_controller(&mut self) -> Result<()> {
        let config = &self.config.controller;
        let (bounds, steps) = (self.bounds(), config.steps as u64);
        let is_due = (self.at.epoch + 1).is_multiple_of(config.train_every as u64) && self.is_warm();
        while is_due && self.at.step < steps && !self.time_is_up() {
            let rollouts =
                (0..config.aggregate as u64).map(|k| self.rollout(bounds, k)).collect::<Result<Vec<_>>>()?;
            let accuracy =
                rollouts.iter().map(|rollout| rollout.accuracy).sum::<f32>() / rollouts.len() as f32;
            let episodes: Vec<Episode> = rollouts.into_iter().map(|rollout| rollout.episode).collect();
            let stats = self.controller.reinforce(bounds, &episodes)?; // ∇_θ E[R(m; ω)]
            let stats = self.healthy(Symptom::of_update(&stats), stats, self.at.step + 1)?;
            self.at.step += 1;
            self.at.policy.add(&episodes, accuracy, &stats);
            self.report_controller_step(steps, accuracy, &stats)?;
            self.tick()?;
        }
        Ok(())
    }

    /// Samples an arc and measures how good it is on a validation minibatch.
    fn rollout(&self, bounds: Bounds, k: u64) -> Result<Rollout> {
        let position = [self.at.epoch, self.at.step, k];
        let arc = self.controller.sample(bounds, &mut self.seed.stream("search/rollout", &position)).arc; // m ~ π(m; θ)
        let batch = self.reward_images(&position)?;
        let mut dropout = self.seed.stream("search/reward-dropout", &position);
        let dropout = self.config.reward.dropout.then_some(&mut dropout);
        let logits = self.child.logits_on(&arc, batch.examples(), Norm::BatchStatistics, dropout)?;
        let logits = self.healthy(Symptom::of_logits(&logits), logits, self.at.step + 1)?;
        let mut seen = Evaluation::new(&self.data.classes);
        seen.count(&logits, &batch.labels);
        let accuracy = seen.correct() as f32 / batch.len() as f32;
        let reward = match self.config.reward.metric {
            RewardMetric::Accuracy => accuracy,
            RewardMetric::MacroF1 => seen.macro_f1() as f32,
            RewardMetric::Loss => {
                let losses: f32 = answers_of(&logits, &batch.labels).map(|answer| answer.loss).sum();
                1.0 / (1.0 + losses / batch.len() as f32)
            }
        };
        let accuracy = if self.config.reward.metric == RewardMetric::Loss { accuracy } else { reward };
        Ok(Rollout { episode: Episode { arc, accuracy: reward }, accuracy })
    }

    /// The minibatch of a reward: of its own, or the same for all arcs of an update.
    fn reward_images(&self, position: &[u64; 3]) -> Result<Minibatch> {
        let reward = &self.config.reward;
        if !reward.same_images && !self.has_finals() {
            return self.valid.draw(position, reward.batch_size.min(self.data.valid.len()));
        }
        let position = if reward.same_images { &position[..2] } else { &position[..] };
        let mut images = self.halves.choose.clone();
        self.seed.stream("search/reward-images", position).shuffle(&mut images);
        images.truncate(reward.batch_size);
        self.valid.gather(images)
    }

    fn report_controller_step(&mut self, steps: u64, accuracy: f32, stats: &UpdateStats) -> Result<()> {
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
            accuracy,
            reward: stats.mean_reward,
            baseline: stats.baseline,
            entropy: stats.mean_entropy,
            loss: stats.loss,
            grad_norm: stats.grad_norm,
        };
        self.session.run.log("controller", place.overall(), &line)?;
        let Line { reward, baseline, entropy, .. } = line;
        self.session.observer.event(&Event::ControllerStep { place, accuracy, reward, baseline, entropy });
        Ok(())
    }

    /// The arc of a training step: drawn fairly in the warm-up and in some steps after it, else from the policy.
    pub(super) fn arc_of_step(&self, step: u64, bounds: Bounds) -> Arc {
        let (config, nodes) = (&self.config.warmup, self.config.child.nodes);
        let fair_until = self.warmup_steps().max(self.at.fair_until);
        if step < fair_until || warmup::is_fair_turn(config, self.seed, step) {
            return warmup::fair_arc(nodes, self.seed, step);
        }
        let position = [self.at.epoch, self.at.step];
        self.controller.sample(bounds, &mut self.seed.stream("search/arc", &position)).arc
    }

    /// Whether the shared weights were trained enough at the end of this epoch for rewards to mean anything.
    fn is_warm(&self) -> bool {
        let done = (self.at.epoch + 1) * self.child_steps();
        done >= self.warmup_steps() && done > self.at.fair_until
    }

    pub(super) fn warmup_steps(&self) -> u64 {
        warmup::steps(&self.config.warmup, self.config.child.nodes)
    }

    /// Starts the policy anew if it settled on one operation, or on networks smaller than nearly all others; an epoch of
    /// fair draws follows.
    pub(super) fn leave_a_collapsed_policy(&mut self) -> Result<()> {
        let most = f64::from(self.config.warmup.collapse);
        if most == 0.0 || !self.at.policy.is_trained() {
            return Ok(());
        }
        let macs = |arc: &Arc| self.child.macs(arc);
        let found = collapse::of_epoch(&self.at.policy, most).or(collapse::of_size(
            &self.controller,
            self.bounds(),
            self.seed,
            &macs,
        )?);
        let Some(what) = found else { return Ok(()) };
        self.controller = networks(self.config, self.data, self.at.lr_factor)?.1;
        self.at.fair_until = (self.at.epoch + 2) * self.child_steps();
        #[derive(Serialize)]
        struct Line<'a> {
            epoch: u64,
            what: &'a str,
        }
        let epoch = self.at.epoch + 1;
        self.session.run.log("collapse", epoch, &Line { epoch, what: &what })?;
        self.session.observer.event(&Event::PolicyCollapsed { what: &what });
        Ok(())
    }
}
