//! The parts of phase 2, in which the strategy learns from scores of the shared weights. Also the draws of phase 1 and
//! the restart of a collapsed strategy.

use enas_arc::Arch;
use enas_controller::UpdateStats;
use enas_run::error::Result;
use enas_run::non_finite::NonFinite;
use enas_strategy::{Oracle, Strategy};
use serde::Serialize;

use super::oracle::SharedWeights;
use super::progress::{Progress, StepMeans};
use super::state::Search;
use super::strategy::Proposer;
use super::{collapse, warmup};
use crate::observer::Event;

impl Search<'_> {
    /// Whether phase 2 has another step in this epoch. As `controller_train_every` of the authors' code
    /// (`main.py:277`), but not before the warm-up has ended.
    pub(super) fn strategy_is_due(&self) -> bool {
        let config = &self.config.controller;
        let every = config.train_every as u64;
        (self.at.epoch + 1).is_multiple_of(every) && self.is_warm() && self.at.step < config.steps as u64
    }

    /// Draws the architectures of one step, m_i ~ π(m; θ). Each has its own random stream, so resuming repeats
    /// them.
    pub(super) fn propose(&mut self) -> Vec<Arch> {
        let n = self.config.controller.aggregate as u64;
        let Progress { epoch, step, .. } = self.at;
        let stream = |k| self.seed.stream("search/rollout", &[epoch, step, k]);
        self.strategy.propose_from_each(&mut (0..n).map(stream).collect::<Vec<_>>())
    }

    /// Rewards R(m_i, ω) of the architectures.
    pub(super) fn score_with_shared_weights(&self, arcs: &[Arch]) -> Result<Scores> {
        let of_half = self.config.reward.same_images || self.has_finals();
        let mut oracle = SharedWeights {
            child: &self.child,
            data: self.data,
            valid: &self.valid,
            images: of_half.then_some(&self.halves.choose[..]),
            reward: &self.config.reward,
            image_weights: &self.image_weights,
            seed: self.seed,
            at: [self.at.epoch, self.at.step],
            accuracies: Vec::with_capacity(arcs.len()),
        };
        Ok(Scores { rewards: oracle.score(arcs)?, accuracies: oracle.accuracies })
    }

    /// Shows the scores to the strategy, which learns from them. Counts the step.
    pub(super) fn update_strategy(&mut self, arcs: Vec<Arch>, scores: Scores) -> Result<StrategyUpdate> {
        let Scores { rewards, accuracies } = scores;
        let scored: Vec<(Arch, f64)> = arcs.into_iter().zip(rewards).collect();
        self.strategy.observe(&scored);
        let stats = self.strategy.take_update()?;
        let non_finite = stats.as_ref().and_then(NonFinite::of_update);
        let stats = self.healthy(non_finite, stats, self.at.step + 1)?;
        self.at.step += 1;
        let means = StepMeans::new(&scored, &accuracies, stats.as_ref());
        self.at.policy.add(&scored, &means);
        Ok(StrategyUpdate { means, stats })
    }

    /// The architecture for a training step of ω: a fair draw in the warm-up and in some steps after it, otherwise a
    /// proposal of the strategy.
    pub(super) fn propose_for_child(&mut self, step: u64) -> Arch {
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

/// What the shared weights say of the architectures of one strategy step.
pub(super) struct Scores {
    /// What the strategy learns from.
    rewards: Vec<f64>,
    /// To display: accuracies (0 to 1), or macro-F1 if that is the reward.
    accuracies: Vec<f32>,
}

/// The result of one strategy step.
pub(super) struct StrategyUpdate {
    pub(super) means: StepMeans,
    /// Statistics of the REINFORCE update; `None` without a policy.
    pub(super) stats: Option<UpdateStats>,
}
