//! The settings of a search and of a training. These are plain values; [`layers`] reads them from files.

mod imbalance;
mod layers;
mod phases;
mod refit;
mod strategy;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use enas_arc::SpaceKind;
use enas_child::MacroConfig;
use enas_child::schedule::Schedule;
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Error};
use crate::memory::MemoryLimit;
use crate::tta::Tta;

pub use imbalance::{ClassWeights, Metric};
pub use layers::{Layers, Settings};
pub use phases::{FinalsConfig, Limits, RewardMetric, WarmupConfig};
pub use refit::{RefitConfig, RefitImages};
pub use strategy::{EvolutionConfig, StrategyConfig};

/// Upper limit of every count in the settings, so that the product of two of them does not overflow.
pub(crate) const MOST: u64 = 1_000_000_000;

/// All settings of a search. Mirrors `configs/*.search.toml`.
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

/// All settings of a training from scratch. Mirrors `configs/*.train.toml`.
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

/// Length, batches, seed and checkpoints of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of all random streams. The same seed gives the same arcs and weights, byte for byte.
    pub seed: u64,
    /// Number of epochs (`num_epochs`), each with `passes` passes over the training split.
    pub epochs: u64,
    /// Passes over the training split per epoch. Use more than one for small data sets, where measuring and saving at
    /// the end of every epoch would take much of the time.
    #[serde(default = "one_pass")]
    pub passes: u64,
    /// Images per training step (`batch_size`).
    pub batch_size: usize,
    /// Maximum number of images per evaluation step (`eval_batch_size`; 100 in the authors' code, `models.py:24`).
    pub eval_batch: usize,
    /// Weights of the classes in the training loss.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Label smoothing: share of the target that is spread evenly over all classes in the training loss; 0 turns it
    /// off (Szegedy et al., 2016).
    #[serde(default)]
    pub label_smoothing: f32,
    /// Training only: decay of the exponential moving average (EMA) of the weights, which is then measured and saved;
    /// 0 turns it off. At step `t`, counted from 0, the decay is at most `(1 + t)/(10 + t)`, the rule of TensorFlow's
    /// `ExponentialMovingAverage`, so that short runs have a useful average too.
    #[serde(default)]
    pub ema_decay: f32,
    /// Training only: number of batches of unaugmented training images for BN statistics re-estimation before the
    /// network is measured or saved; 0 keeps the moving statistics of the training steps.
    #[serde(default)]
    pub bn_reestimate: u64,
    /// Training only: early stopping after this many epochs without a better one, by the metric on the validation
    /// split; 0 turns it off.
    #[serde(default)]
    pub patience: u64,
    /// Training only: test-time augmentation, when the model is measured and when it is used. Do not use flips for
    /// images whose mirror image means something else, such as digits and text.
    #[serde(default)]
    pub tta: Tta,
    /// Whether the last cycle of a cosine schedule is cut or stretched to end with the run. `false` is the published
    /// behaviour: a run of another length than the schedule's ends at a high learning rate.
    pub fit_schedule: bool,
    /// Wall-time limit, such as `"30m"`, or `"off"`. The number of epochs is planned anew after each one; a search
    /// reserves time for the choice at its end. A run with a limit is not reproducible byte for byte, because the
    /// number of steps depends on the machine.
    pub time: TimeLimit,
    /// Seconds between checkpoints within an epoch; the end of every epoch is saved as well. The interval grows if
    /// checkpoints would otherwise take more than 2 % of the time.
    pub checkpoint_seconds: u64,
    /// Steps between two `step` lines in `metrics.jsonl` (`log_every`).
    pub log_every: u64,
    /// Storage format of activations and their gradients, in training and for rewards. Results depend on it. Absent
    /// in runs of early versions, which used single precision.
    #[serde(default)]
    pub activations: Activations,
    /// Memory limit of the run, such as `"4G"`; `"auto"` is four fifths of the machine's memory. It affects speed,
    /// but not results.
    #[serde(default)]
    pub memory: MemoryLimit,
}

/// The value of runs of early versions, which had no such setting.
fn one_pass() -> u64 {
    1
}

/// Storage format of activations and their gradients. All arithmetic is in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16, half the size; on GPUs only.
    Bf16,
}

impl From<Activations> for Precision {
    fn from(activations: Activations) -> Self {
        match activations {
            Activations::F32 => Self::F32,
            Activations::Bf16 => Self::Bf16,
        }
    }
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

/// The epoch whose weights a model file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The epoch with the highest metric on the validation split; the later one on a tie.
    Best,
    /// The last epoch.
    Last,
}

/// A wall-time limit: `"off"`, or a whole number followed by `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TimeLimit(pub Option<Duration>);

impl Default for SearchConfig {
    /// The preset `quick`, which uses the built-in digits.
    fn default() -> Self {
        Layers::preset("quick").load().expect("a test loads every preset")
    }
}

impl Default for TrainConfig {
    /// The preset `quick`, which uses the built-in digits.
    fn default() -> Self {
        Layers::preset("quick").load().expect("a test loads every preset")
    }
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

impl RunConfig {
    /// The seed as the root of named random streams.
    pub fn seed(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// Refuses settings that need a GPU if there is none.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check_device(&self, gpu: Option<&Gpu>) -> Result<(), Error> {
        if gpu.is_some() || self.activations == Activations::F32 {
            return Ok(());
        }
        let problem = "\"bf16\" is for GPUs: use --device cuda, or \"f32\" on the CPU".into();
        Err(ConfigError { place: "run.activations".into(), problem }.into())
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|limit| limit.as_secs()) {
            None => f.write_str("off"),
            Some(s) if s > 0 && s % 3600 == 0 => write!(f, "{}h", s / 3600),
            Some(s) if s > 0 && s % 60 == 0 => write!(f, "{}m", s / 60),
            Some(s) => write!(f, "{s}s"),
        }
    }
}

impl From<TimeLimit> for String {
    fn from(limit: TimeLimit) -> Self {
        limit.to_string()
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let bad = || {
            format!("{text:?} is not a duration; write \"off\", or a whole number with a unit: 90s, 30m, 2h")
        };
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            _ => return Err(bad()),
        };
        let number = &text[..text.len() - 1];
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(bad)?;
        if seconds == 0 { Err(bad()) } else { Ok(Self(Some(Duration::from_secs(seconds)))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_presets() {
        let folder: SearchConfig = Layers::preset("folder").load().unwrap();
        assert_eq!(folder.child, enas_child::Config::default());
        assert_eq!(folder.controller, enas_controller::Config::default());
        let paths = [SearchConfig::default().data.path, TrainConfig::default().data.path];
        assert_eq!(paths, ["digits", "digits"].map(std::path::PathBuf::from));
    }
}
