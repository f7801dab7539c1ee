//! The settings of a search.

use enas_arc::SpaceKind;
use enas_child::MacroConfig;
use enas_child::schedule::Schedule;
use serde::{Deserialize, Serialize};

use super::class_weights::Metric;
use super::phases::{FinalsConfig, Limits, RewardMetric, WarmupConfig};
use super::run::RunConfig;
use super::strategy::StrategyConfig;
use crate::error::Error;

/// All settings of a search. Mirrors `configs/default.search.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// The search space: cells, or whole networks layer by layer. Absent in runs of early versions, which searched
    /// cells.
    #[serde(default)]
    pub space: SpaceKind,
    /// Length, batches, seed and checkpoints.
    pub run: RunConfig,
    /// The images.
    pub data: enas_data::Config,
    /// The network with shared weights.
    pub child: enas_child::Config,
    /// The network with shared weights in the macro space.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_net: Option<MacroConfig>,
    /// Learning rate of the child.
    pub schedule: Schedule,
    /// What proposes architectures. Absent in runs of early versions, which used a policy.
    #[serde(default)]
    pub strategy: StrategyConfig,
    /// The policy and its optimiser. `steps`, `aggregate` and `train_every` apply to every strategy.
    pub controller: enas_controller::Config,
    /// The reward R(m, ω) of a sampled arc.
    pub reward: RewardConfig,
    /// How candidates are ranked with the shared weights at the end.
    pub select: SelectConfig,
    /// Training of the shared weights before the first reward. Absent in runs of early versions, which had no
    /// warm-up.
    #[serde(default)]
    pub warmup: WarmupConfig,
    /// The finals, which choose the arc. Absent in runs of early versions, which chose by the shared weights.
    #[serde(default)]
    pub finals: FinalsConfig,
    /// Limits that every candidate must meet.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// The reward R(m, ω) of an arc: its quality on one random validation minibatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardConfig {
    /// Images per reward. The published code uses `batch_size`; more images give a less noisy reward.
    pub batch_size: usize,
    /// Whether dropout is active for rewards, as in the published code. Dropout makes rewards lower and noisier.
    pub dropout: bool,
    /// The metric of the reward. Macro-F1 covers only the classes that occur in the minibatch, so it is noisier.
    #[serde(default)]
    pub metric: RewardMetric,
    /// Whether all arcs of an update are measured on the same images, which removes the images' influence from their
    /// comparison. In the published code every arc has its own images.
    #[serde(default)]
    pub same_images: bool,
}

/// How candidates are ranked at the end of a search: each is scored with the shared weights on the whole validation
/// split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectConfig {
    /// Distinct arcs drawn from the final strategy, in addition to its favourite.
    pub samples: usize,
    /// Uniformly random arcs that are scored for comparison.
    pub random: usize,
    /// The metric that ranks candidates.
    #[serde(default)]
    pub metric: Metric,
}

impl SearchConfig {
    /// The search space.
    pub fn space(&self) -> SpaceKind {
        self.space
    }

    /// Refuses the macro space for `what`, which supports cells only.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] in the macro space.
    pub fn must_be_of_cells(&self, what: &'static str) -> Result<(), Error> {
        if self.space == SpaceKind::Micro { Ok(()) } else { Err(Error::CellsOnly(what)) }
    }

    /// Settings of the macro network: those given, or the published ones.
    pub fn macro_network(&self) -> MacroConfig {
        self.macro_net.clone().unwrap_or_default()
    }
}
