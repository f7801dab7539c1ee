//! Settings of what is added to the two phases of the published algorithm: a warm-up of the shared weights, finals,
//! and limits.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// The warm-up. It makes the first rewards depend on the architectures rather than on how often their weights were
/// trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupConfig {
    /// Expected number of updates of the least sampled weight row before the first reward. Until then architectures
    /// are drawn fairly instead of from the policy. A row belongs to one cell, node, side, operation and input. 0
    /// turns the warm-up off, as published.
    pub updates: u64,
    /// Share of the training steps after the warm-up that still use fair draws.
    pub fair: f32,
    /// Share of one operation in the policy's choices above which the policy is started anew, followed by one epoch
    /// of fair draws. The same happens if the policy's networks are smaller than nine tenths of random ones. 0 turns
    /// this off.
    pub collapse: f32,
}

/// The finals: candidates are trained alone for a short time, and the best advance (successive
/// halving; Jamieson and Talwalkar, AISTATS 2016).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalsConfig {
    /// Candidates from the strategy: those with the lowest loss with the shared weights.
    pub policy: usize,
    /// Wide candidates, whose branches all read an input of the cell.
    pub wide: usize,
    /// Candidates drawn uniformly.
    pub random: usize,
    /// Mutants, which differ in one branch from one of the best so far.
    pub mutants: usize,
    /// Steps per candidate in the first round, at most an epoch. A quarter advances to three times as many, and a
    /// quarter of those to ten times as many. 0 turns the finals off, as published: the shared weights choose.
    pub steps: u64,
    /// Uniformly random architectures that are trained as long as the best, as controls.
    pub controls: usize,
    /// Channels of the first cells of the trained networks (`child.filters`); `None` for the search's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<usize>,
    /// Normal cells of these networks (`child.layers`); `None` for the search's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
}

impl FinalsConfig {
    /// Candidates of the first round that are drawn independently of results.
    pub fn drawn(&self) -> usize {
        self.policy + self.wide + self.random
    }

    /// Whether the search has finals.
    pub fn are_wanted(&self) -> bool {
        self.steps > 0 && self.drawn() > 0
    }
}

/// Limits on every candidate, `None` for no limit. They apply to the network that the finals train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Maximum number of trained weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<NonZeroU64>,
    /// Maximum multiply-adds per image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<NonZeroU64>,
    /// Maximum median time for one image on this machine, in milliseconds. Runs with this limit depend on the
    /// machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

impl Limits {
    /// Whether no limit is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The quality of an architecture with the shared weights on a minibatch of validation images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardMetric {
    /// Share of images classified correctly, as published.
    #[default]
    Accuracy,
    /// Mean F1 over the classes that occur.
    MacroF1,
    /// 1/(1 + mean cross entropy). It is less noisy than accuracy and separates architectures of equal accuracy.
    Loss,
}
