//! What a search does before, beside and after the two turns of the published algorithm: a warm-up of the shared weights,
//! short trainings of the best architectures alone, and limits that every proposal keeps.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// What happens before the policy is rewarded, so that rewards compare architectures rather than how often their weights
/// were trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupConfig {
    /// Updates that the least sampled row of the shared weights is expected to have had before the first reward; until
    /// then architectures are drawn fairly, not from the policy. A row belongs to a cell, node, side, operation and input.
    /// 0, as published: rewards from the first epoch on.
    pub updates: u64,
    /// Share of the training steps after the warm-up whose architectures are still drawn fairly.
    pub fair: f32,
    /// Share of an operation among the policy's choices above which the policy starts anew and an epoch of fair draws
    /// follows. So it does where the policy's architectures are smaller than nine tenths of all. 0: never.
    pub collapse: f32,
}

/// How the architecture is chosen at the end: networks of candidates are trained alone for a short time, and the best by
/// training loss go on (successive halving; Jamieson and Talwalkar, 2016).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalsConfig {
    /// Candidates from the policy, those with the lowest loss with the shared weights.
    pub policy: usize,
    /// Candidates whose every branch reads an input of the cell.
    pub wide: usize,
    /// Candidates drawn uniformly.
    pub random: usize,
    /// Candidates that differ in one branch from one of the best so far.
    pub mutants: usize,
    /// Steps of each in the first round, at most an epoch; 0, as published: no finals, the shared weights choose. A quarter goes on to three times as many, and a quarter of those to ten times.
    pub steps: u64,
    /// Uniformly random architectures that are trained as long as the best, to compare with.
    pub controls: usize,
    /// Channels of the first cells and normal cells of the networks that are trained, if not those of `child`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<usize>,
    /// Normal cells of these networks, if not those of `child`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
}

impl FinalsConfig {
    /// Candidates of the first round that do not depend on others.
    pub(crate) fn drawn(&self) -> usize {
        self.policy + self.wide + self.random
    }

    /// Whether there are any.
    pub fn are_wanted(&self) -> bool {
        self.steps > 0 && self.drawn() > 0
    }
}

/// What every architecture that a search proposes keeps to; absent limits are none. They are about the network that the
/// finals train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most trained weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<NonZeroU64>,
    /// Most multiply-adds per image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<NonZeroU64>,
    /// Most milliseconds for one image alone on this machine, half of the time. Such runs depend on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

impl Limits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How good an architecture is with the shared weights on a minibatch of validation images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardMetric {
    /// Share of images recognised, as published.
    #[default]
    Accuracy,
    /// Mean F1 over the classes.
    MacroF1,
    /// 1/(1 + mean cross entropy): less noisy, and it tells apart what accuracy does not.
    Loss,
}
