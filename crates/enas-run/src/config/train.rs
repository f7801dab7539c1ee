//! The settings of a training from scratch.

use enas_child::MacroConfig;
use enas_child::schedule::Schedule;
use serde::{Deserialize, Serialize};

use super::class_weights::Metric;
use super::refit::RefitConfig;
use super::run::RunConfig;

/// All settings of a training from scratch. Mirrors `configs/default.train.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The epoch whose weights the model file holds.
    pub keep: Keep,
    /// The metric that makes an epoch the best one. Absent in runs of early versions, which used accuracy.
    #[serde(default)]
    pub metric: Metric,
    /// Whether the training continues on held-out images after the measurement.
    #[serde(default)]
    pub refit: RefitConfig,
    /// Length, batches, seed and checkpoints.
    pub run: RunConfig,
    /// The images.
    pub data: enas_data::Config,
    /// The network.
    pub child: enas_child::Config,
    /// The network of an architecture of the macro space. Its number of layers is that of the architecture.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_net: Option<MacroConfig>,
    /// Learning rate.
    pub schedule: Schedule,
}

/// The epoch whose weights a model file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The epoch with the highest metric on the validation split; the later one on a tie.
    Best,
    /// The last epoch.
    Last,
}
