//! What may be set for a search and for a training. Plain values; reading them from files is in [`layers`].

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

/// The most that may be asked for of anything that is counted, so that no product of two such numbers overflows.
pub(crate) const MOST: u64 = 1_000_000_000;

/// All settings of a search. Mirrors `configs/*.search.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// What is searched: cells, or whole networks layer by layer. Runs of earlier versions searched cells.
    #[serde(default)]
    pub space: SpaceKind,
    /// Length, batches, seed and checkpoints.
    pub run: RunConfig,
    /// The pictures.
    pub data: enas_data::Config,
    /// The network with shared weights.
    pub child: enas_child::Config,
    /// The network with shared weights in the macro space.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_net: Option<MacroConfig>,
    /// Learning rate of the child.
    pub schedule: Schedule,
    /// What proposes architectures. Runs of earlier versions had a policy.
    #[serde(default)]
    pub strategy: StrategyConfig,
    /// The policy and its optimiser, and how often a strategy of any kind is asked.
    pub controller: enas_controller::Config,
    /// How a sampled arc is rewarded.
    pub reward: RewardConfig,
    /// How candidates of the policy are found at the end.
    pub select: SelectConfig,
    /// What happens before the first reward. Runs of earlier versions had no warm-up.
    #[serde(default)]
    pub warmup: WarmupConfig,
    /// How the arc is chosen at the end. Runs of earlier versions chose by the shared weights.
    #[serde(default)]
    pub finals: FinalsConfig,
    /// What every proposal keeps to.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// All settings of a training from scratch. Mirrors `configs/*.train.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Which epoch's weights the model file holds.
    pub keep: Keep,
    /// What makes an epoch the best one. Runs of earlier versions, which do not name it, went by accuracy.
    #[serde(default)]
    pub metric: Metric,
    /// Whether the training goes on with held-out images once the network was measured.
    #[serde(default)]
    pub refit: RefitConfig,
    /// Length, batches, seed and checkpoints.
    pub run: RunConfig,
    /// The pictures.
    pub data: enas_data::Config,
    /// The network.
    pub child: enas_child::Config,
    /// The network of an architecture of the macro space. It has as many layers as that.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_net: Option<MacroConfig>,
    /// Learning rate.
    pub schedule: Schedule,
}

/// Length, batches, seed and checkpoints of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Root of all randomness. The same seed gives the same arcs and weights to the byte.
    pub seed: u64,
    /// Epochs (`num_epochs`), each of `passes` passes over the training split.
    pub epochs: u64,
    /// Passes over the training split in an epoch. More than one where there are few pictures, so that measuring and
    /// saving at the end of every epoch take little of the time.
    #[serde(default = "one_pass")]
    pub passes: u64,
    /// Pictures per training step (`batch_size`).
    pub batch_size: usize,
    /// Most pictures per evaluation step (100 in the published code).
    pub eval_batch: usize,
    /// What the loss of a training picture counts for, by its class.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Share of the target that is spread evenly over all classes in the loss of training pictures (label smoothing);
    /// 0 for none.
    #[serde(default)]
    pub label_smoothing: f32,
    /// Training only: share that a moving average of the weights keeps at every step, which is then what is measured and
    /// saved; 0 for none. Step `t`, counted from 0, keeps at most `(1 + t)/(10 + t)`, so that short runs have an average of
    /// their own as well.
    #[serde(default)]
    pub ema_decay: f32,
    /// Training only: batches of unvaried training pictures that the statistics of batch norms are made from anew before
    /// the network is measured or saved; 0 keeps the moving ones of the training steps.
    #[serde(default)]
    pub bn_reestimate: u64,
    /// Training only: epochs without a better one, by the metric on the validation split, after which a training ends;
    /// 0 for all epochs.
    #[serde(default)]
    pub patience: u64,
    /// Training only: views of a picture that the model's answers are averaged over, when it is measured and when it is
    /// used. Pictures whose mirror image means something else, such as digits and text, must not be flipped.
    #[serde(default)]
    pub tta: Tta,
    /// Whether the last cycle of a cosine schedule is cut or stretched to end with the run. `false` in the published
    /// code: a run of another length than the schedule's ends at a high learning rate.
    pub fit_schedule: bool,
    /// Wall time after which the run should have ended, such as `"30m"`; `"off"` for none. The number of
    /// epochs is planned anew after each one; a search also keeps time for the choice at its end. A run with a limit
    /// is not reproducible to the byte, as what fits depends on the machine.
    pub time: TimeLimit,
    /// Seconds between checkpoints within an epoch; one is written at the end of every epoch as well. More where writing
    /// one takes so long that checkpoints would take over 2 % of the time.
    pub checkpoint_seconds: u64,
    /// Steps between two `step` lines in `metrics.jsonl` (`log_every`).
    pub log_every: u64,
    /// How activations and their gradients are kept in memory while training and while rewards are measured. Results
    /// depend on it. Runs from before there was a choice have single precision.
    #[serde(default)]
    pub activations: Activations,
    /// Memory that the run may take, such as `"4G"`; `"auto"` for four fifths of what the machine has. No result depends
    /// on it, but how fast they come may.
    #[serde(default)]
    pub memory: MemoryLimit,
}

/// Runs from before there was a choice.
fn one_pass() -> u64 {
    1
}

/// How activations and their gradients are kept in memory. Everything is computed in single precision either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// In single precision.
    #[default]
    F32,
    /// In bfloat16, half as large; on GPUs only, where moving them takes most of the time.
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

/// How a sampled arc is rewarded: by how good it is on one random validation minibatch, normalised by the statistics
/// of that minibatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardConfig {
    /// Pictures per reward. The published code uses `batch_size`; more pictures give a less noisy reward.
    pub batch_size: usize,
    /// Whether dropout stays on while rewards are measured, as in the published code. It makes every reward
    /// lower and noisier.
    pub dropout: bool,
    /// What is called good. Macro-F1 on a minibatch is over the classes that occur in it, so it is noisier.
    #[serde(default)]
    pub metric: RewardMetric,
    /// Whether all arcs of an update are measured on the same images, so that these cancel out of the comparison. In the
    /// published code each has images of its own.
    #[serde(default)]
    pub same_images: bool,
}

/// How candidates of the policy are found at the end of a search: every candidate is scored with the shared weights on the whole
/// validation split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectConfig {
    /// Distinct arcs drawn from the final policy, beside its likeliest one.
    pub samples: usize,
    /// Uniformly random arcs scored for comparison.
    pub random: usize,
    /// What makes a candidate better than another.
    #[serde(default)]
    pub metric: Metric,
}

/// Which epoch's weights a model file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those with the highest metric on the validation split; the later epoch on a tie.
    Best,
    /// Those of the last epoch.
    Last,
}

/// A wall-time limit: `"off"`, or a number followed by `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TimeLimit(pub Option<Duration>);

impl Default for SearchConfig {
    /// The preset `quick`: the built-in digits.
    fn default() -> Self {
        Layers::preset("quick").load().expect("a test loads every preset")
    }
}

impl Default for TrainConfig {
    /// The preset `quick`: the built-in digits.
    fn default() -> Self {
        Layers::preset("quick").load().expect("a test loads every preset")
    }
}

impl SearchConfig {
    /// What is searched.
    pub fn space(&self) -> SpaceKind {
        self.space
    }

    /// Refuses the macro space for `what`, which works with cells only.
    ///
    /// # Errors
    /// [`Error::CellsOnly`].
    pub fn must_be_of_cells(&self, what: &'static str) -> Result<(), Error> {
        if self.space == SpaceKind::Micro { Ok(()) } else { Err(Error::CellsOnly(what)) }
    }

    /// The settings of the network in the macro space: those given, or the published ones.
    pub fn macro_network(&self) -> MacroConfig {
        self.macro_net.clone().unwrap_or_default()
    }
}

impl RunConfig {
    /// The seed as the root of named streams.
    pub fn seed(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// Refuses settings that need a GPU where the run has none.
    ///
    /// # Errors
    /// [`Error::Config`], which names the key.
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
