//! Length, batches, seed and checkpoints of a run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use super::class_weights::ClassWeights;
use super::tta::Tta;
use crate::error::{ConfigError, Error};
use crate::memory::MemoryLimit;

/// Upper limit of every count in the settings, so that the product of two of them does not overflow.
pub const MOST: u64 = 1_000_000_000;

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
    /// images whose mirror image means something else, such as digits and text. Off by default: unmeasured.
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

/// A wall-time limit: `"off"`, or a whole number followed by `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TimeLimit(pub Option<Duration>);

impl RunConfig {
    /// The seed as the root of named random streams.
    pub fn seed(&self) -> Seed {
        Seed::new(self.seed)
    }

    /// Whether a training on images read with these settings makes up for classes of different sizes, by sampling or
    /// by weights.
    pub fn balances_classes(&self, images: &enas_data::Config) -> bool {
        images.sampling == enas_data::Sampling::Balanced || self.class_weights != ClassWeights::None
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
