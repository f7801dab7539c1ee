//! Position and tallies of a search, and how they are stored in a checkpoint with the network and the strategy.

use std::path::Path;

use enas_arc::Arch;
use enas_controller::UpdateStats;
use serde::{Deserialize, Serialize};

use super::space::{ImageSpace, operations};
use super::strategy::{Member, Proposer};
use crate::child_epoch::full_lr;
use crate::finals::FinalsProgress;
use crate::observer::{Phase, PolicySummary, Position};
use crate::session::{RunningMean, check_position, mean};
use enas_run::checkpoint::Checkpoint;
use enas_run::directory::run::State;
use enas_run::error::{Error, Result};
use enas_run::files::safetensors::{of_prefix, prefixed};
use enas_run::network::Network;
use enas_run::non_finite::finite;

/// Position of a search. Together with the weights this is all that resuming needs, because every random stream is
/// named by its position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs planned.
    pub(super) epochs: u64,
    /// Epochs completed.
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    /// Steps completed in this phase of this epoch.
    pub(super) step: u64,
    /// Wall time of the run when the epoch began, in seconds.
    pub(super) epoch_began: f64,
    pub(super) child: RunningMean,
    pub(super) policy: PolicyRunningMean,
    pub(super) best_valid_accuracy: f64,
    /// Wall time of scoring one arc on the validation split, in seconds, as last measured.
    pub(super) scoring: Option<f64>,
    /// Accuracies of the contestants that were scored so far, in their order.
    pub(super) scores: Vec<f64>,
    /// Macro-F1 of the same contestants, if candidates are ranked by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) macro_f1s: Vec<f64>,
    /// Mean cross entropies of the same contestants, in nats, if candidates are ranked by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) losses: Vec<f64>,
    /// Steps before this one train with fair draws, because the policy collapsed.
    #[serde(default)]
    pub(super) fair_until: u64,
    #[serde(default)]
    pub(super) finals: FinalsProgress,
    /// The population of evolution, oldest first; only in a checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) population: Vec<Member>,
    /// Factor on all learning rates: 1, or [`LOWERED`](crate::divergence::LOWERED) after the search went back.
    #[serde(default = "full_lr")]
    pub(super) lr_factor: f32,
}

impl Progress {
    pub(super) fn start(epochs: u64, space: &ImageSpace) -> Self {
        Self {
            epochs,
            epoch: 0,
            phase: Phase::Child,
            step: 0,
            epoch_began: 0.0,
            child: RunningMean::default(),
            policy: PolicyRunningMean::of(space),
            best_valid_accuracy: 0.0,
            scoring: None,
            scores: Vec::new(),
            macro_f1s: Vec::new(),
            losses: Vec::new(),
            fair_until: 0,
            finals: FinalsProgress::default(),
            population: Vec::new(),
            lr_factor: full_lr(),
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        (self.phase, self.step) = (phase, 0);
    }

    pub(super) fn next_epoch(&mut self, epochs: u64, seconds: f64, space: &ImageSpace) {
        self.enter(Phase::Child);
        (self.epochs, self.epoch, self.epoch_began) = (epochs, self.epoch + 1, seconds);
        (self.child, self.policy) = (RunningMean::default(), PolicyRunningMean::of(space));
    }

    /// The step just completed, counted for display; `steps` is the length of its phase.
    pub(super) fn place(&self, steps: u64) -> Position {
        Position { epoch: self.epoch + 1, epochs: self.epochs, step: self.step, steps }
    }
}

/// Sums over the strategy's steps in one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PolicyRunningMean {
    steps: u64,
    accuracy: f64,
    reward: f64,
    entropy: f64,
    /// Counts of sampled operations, `[kinds][operations]`: normal and reduction cells in the micro space, one kind
    /// in the macro space.
    ops: Vec<Vec<u64>>,
}

impl PolicyRunningMean {
    fn of(space: &ImageSpace) -> Self {
        Self { steps: 0, accuracy: 0.0, reward: 0.0, entropy: 0.0, ops: space.no_counts() }
    }

    pub(super) fn add(&mut self, scored: &[(Arch, f64)], seen: &StepMeans) {
        self.steps += 1;
        self.accuracy += f64::from(seen.accuracy);
        self.reward += f64::from(seen.reward);
        self.entropy += f64::from(seen.entropy.unwrap_or_default());
        for (arc, _) in scored {
            for (counts, ops) in self.ops.iter_mut().zip(operations(arc)) {
                ops.into_iter().for_each(|op| counts[op] += 1);
            }
        }
    }

    /// Whether the strategy received any score in this epoch.
    pub(super) fn is_trained(&self) -> bool {
        self.steps > 0
    }

    /// The operation sampled most often, over all kinds together, and its share.
    pub(super) fn commonest(&self) -> (usize, f64) {
        let n_ops = self.ops.first().map_or(0, Vec::len);
        let counts: Vec<u64> =
            (0..n_ops).map(|op| self.ops.iter().map(|of_kind| of_kind[op]).sum()).collect();
        let (id, most) = counts.iter().copied().enumerate().max_by_key(|(_, n)| *n).unwrap_or_default();
        (id, mean(most as f64, counts.iter().sum()))
    }

    /// Means over the epoch. `baseline` is `Some` if there is a policy, `greedy` if the strategy has a favourite.
    pub(super) fn summary(&self, baseline: Option<f32>, greedy: Option<Arch>) -> PolicySummary {
        let shares = |counts: &Vec<u64>| -> Vec<f64> {
            counts.iter().map(|&n| mean(n as f64, counts.iter().sum())).collect()
        };
        PolicySummary {
            accuracy: mean(self.accuracy, self.steps),
            reward: mean(self.reward, self.steps),
            baseline: baseline.map(f64::from),
            entropy: baseline.map(|_| mean(self.entropy, self.steps)),
            op_frequencies: self.ops.iter().map(shares).collect(),
            greedy,
        }
    }
}

/// Means over the architectures of one strategy step.
pub(super) struct StepMeans {
    /// Mean accuracy (0 to 1), or mean macro-F1 if that is the reward.
    pub(super) accuracy: f32,
    /// Mean reward: the score, plus the entropy bonus if the strategy is a policy.
    pub(super) reward: f32,
    /// Mean entropy of the policy in nats; `None` without a policy.
    pub(super) entropy: Option<f32>,
}

impl StepMeans {
    pub(super) fn new(scored: &[(Arch, f64)], accuracies: &[f32], stats: Option<&UpdateStats>) -> Self {
        let mean_score = || scored.iter().map(|(_, score)| *score as f32).sum::<f32>() / scored.len() as f32;
        Self {
            accuracy: accuracies.iter().sum::<f32>() / accuracies.len() as f32,
            reward: stats.map_or_else(mean_score, |stats| stats.mean_reward),
            entropy: stats.map(|stats| stats.mean_entropy),
        }
    }
}

/// Restores network and strategy from a checkpoint of the run in `dir`; returns the position.
///
/// # Errors
/// [`Error::RunDirectory`] if the position or the population cannot be one of this search; errors of the tensors.
pub(super) fn load(
    dir: &Path,
    mut checkpoint: Checkpoint<Progress>,
    child: &mut Network,
    strategy: &mut Proposer,
) -> Result<Progress> {
    let Progress { epoch, epochs, step, .. } = checkpoint.progress;
    check_position(dir, epoch, epochs, step)?;
    child.load(&of_prefix("child/", &checkpoint.tensors))?;
    let population = std::mem::take(&mut checkpoint.progress.population);
    strategy.load(of_prefix("controller/", &checkpoint.tensors), &population)?;
    if strategy.population() != population {
        let problem =
            "the newest checkpoint has a population that is not one of this search; remove the checkpoint";
        return Err(Error::RunDirectory { path: dir.to_owned(), problem: problem.into() });
    }
    Ok(checkpoint.progress)
}

pub(super) fn state(at: &Progress, child: &Network, strategy: &Proposer) -> Result<State<Progress>> {
    let of_strategy = prefixed("controller/", strategy.tensors());
    let tensors = prefixed("child/", child.state()?).chain(of_strategy).collect();
    let progress = Progress { population: strategy.population(), ..at.clone() };
    Ok(State { progress, tensors: finite(tensors, at.epoch + 1, at.step)? })
}
