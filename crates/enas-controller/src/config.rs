//! The settings of the controller, with two presets and their checks.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Settings of the policy and of its training.
///
/// Four settings can depart from the authors' algorithm; each has a reference value that restores it:
/// [`op_bias`](Config::op_bias), [`anneal`](Config::anneal), [`advantage`](Config::advantage) and
/// [`baseline_init`](Config::baseline_init). Reference values are those of `scripts/cifar10_micro_search.sh`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Width of the LSTM state and of all embeddings (reference: 64, `main.py:153`).
    pub hidden_size: usize,
    /// Number of stacked LSTM layers (reference: 1, `main.py:154`).
    pub lstm_layers: usize,
    /// Learning rate of Adam, constant (reference: 0.0035).
    pub lr: f64,
    /// Bound of the index logits, in nats: logits become `tanh_constant · tanh(logits)`
    /// (`micro_controller.py:160-161`). Absent: no bound (reference: 1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tanh_constant: Option<f64>,
    /// Operation logits have the bound `tanh_constant / op_tanh_reduce` (`micro_controller.py:181-183`; reference:
    /// 2.5).
    pub op_tanh_reduce: f64,
    /// Divides all logits before the bound is applied; values above 1 flatten the policy. Absent: 1 (reference:
    /// absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Reward per nat of entropy, added to the accuracy, without a gradient (`micro_controller.py:237-238`;
    /// reference: 0.0001).
    pub entropy_weight: f64,
    /// Decay of the baseline per rewarded arc: the weight of its old value (reference: 0.99, `main.py:72`).
    pub baseline_decay: f64,
    /// Number of rewarded arcs whose gradients are averaged into one update (gradient accumulation; reference: 10).
    pub aggregate: usize,
    /// Number of updates per controller phase, of [`aggregate`](Config::aggregate) arcs each (reference: 30).
    pub steps: usize,
    /// Number of child epochs between controller phases (reference: 1, after every epoch).
    pub train_every: usize,
    /// Position and initial value of the operation bias (reference: `frozen`; improved: `free`).
    pub op_bias: OpBias,
    /// How the bounds of the policy change during training. Absent: they stay constant (reference: absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anneal: Option<Anneal>,
    /// The factor of each arc's gradient (reference: `plain`; improved: `normalized`).
    pub advantage: Advantage,
    /// Initial value of the baseline (reference: `zero`; improved: `first-rewards`).
    pub baseline_init: BaselineInit,
    /// Penalty on the share of skips in macro arcs. Absent: no penalty; cells have no skips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
}

/// A penalty on the skips of macro arcs: `weight` times the Kullback–Leibler divergence of each skip's probability
/// from `target` (`general_controller.py:231-234, 291-292`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// Weight in the loss (authors' script: 0.8).
    pub weight: f64,
    /// Target share of skips, above 0 and below 1 (authors' script: 0.4).
    pub target: f64,
}

/// The trainable bias of the five operation logits.
///
/// The normal cell always adds a constant as well: +0.25 for separable convolutions, −0.25 for the rest
/// (`micro_controller.py:106-109, 184-185`). It is not trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpBias {
    /// The authors' bias: `[10, 10, 0, 0, 0]` *inside* the tanh (`micro_controller.py:100-104, 178-183`).
    ///
    /// Quirk: in `f32`, tanh(10) is 1 with slope 0. So both convolutions keep their highest possible logit for ever,
    /// and their gradient is zero.
    Frozen,
    /// Zeros inside the tanh: every logit is trained, within the tanh bound.
    Zero,
    /// Zeros, added after the tanh: logits are trained without a bound.
    Free,
}

/// End values of a linear change over the training; an absent one means no change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anneal {
    /// Tanh bound at the end of training, in nats; needs a [`Config::tanh_constant`] to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tanh_constant_end: Option<f64>,
    /// Temperature at the end of training; it starts at [`Config::temperature`], or at 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_end: Option<f64>,
}

/// The factor of the gradient of an arc's log-probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advantage {
    /// Reward minus baseline.
    Plain,
    /// Reward minus baseline, standardised to mean 0 and standard deviation 1 over the arcs of one update. The step
    /// size then does not depend on the scale of the rewards.
    Normalized,
}

/// Initial value of the moving average of the rewards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineInit {
    /// Zero, as in the authors' code (`micro_controller.py:241`). Quirk: the baseline needs about a hundred arcs to
    /// reach the rewards, and until then every arc is reinforced.
    Zero,
    /// The mean reward of the first update's arcs.
    FirstRewards,
}

/// How peaked the policy may be at one point of training; see [`Config::bounds`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest magnitude of an index logit, in nats; `None`: no bound.
    pub tanh_constant: Option<f64>,
    /// Divides the logits before the bound is applied; `None`: 1.
    pub temperature: Option<f64>,
}

impl Default for Config {
    /// [`Config::improved`]; presets that are not named after publications use it.
    fn default() -> Self {
        Self::improved()
    }
}

impl Config {
    /// The settings of the authors' micro search (`scripts/cifar10_micro_search.sh`).
    pub fn reference() -> Self {
        Self {
            hidden_size: 64,
            lstm_layers: 1,
            lr: 0.0035,
            tanh_constant: Some(1.1),
            op_tanh_reduce: 2.5,
            temperature: None,
            entropy_weight: 1e-4,
            baseline_decay: 0.99,
            aggregate: 10,
            steps: 30,
            train_every: 1,
            op_bias: OpBias::Frozen,
            anneal: None,
            advantage: Advantage::Plain,
            baseline_init: BaselineInit::Zero,
            skip: None,
        }
    }

    /// The reference with four changes: a trainable bias, a tanh bound that widens to 2.5, normalised advantages, and
    /// a baseline that starts at the first rewards.
    pub fn improved() -> Self {
        Self {
            op_bias: OpBias::Free,
            anneal: Some(Anneal { tanh_constant_end: Some(2.5), temperature_end: None }),
            advantage: Advantage::Normalized,
            baseline_init: BaselineInit::FirstRewards,
            ..Self::reference()
        }
    }

    /// The bounds at `progress` through training, from 0 (start) to 1 (end); `progress` is clamped to this range.
    pub fn bounds(&self, progress: f64) -> Bounds {
        let progress = progress.clamp(0.0, 1.0);
        let towards = |start: f64, end: f64| start + (end - start) * progress;
        let tanh_end = self.anneal.and_then(|a| a.tanh_constant_end);
        let temperature_end = self.anneal.and_then(|a| a.temperature_end);
        Bounds {
            tanh_constant: self.tanh_constant.map(|start| towards(start, tanh_end.unwrap_or(start))),
            temperature: match temperature_end {
                Some(end) => Some(towards(self.temperature.unwrap_or(1.0), end)),
                None => self.temperature,
            },
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] with the first invalid key, its value and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        self.check_counts()?;
        self.check_positive()?;
        let weight = self.entropy_weight;
        check(
            "entropy_weight",
            weight,
            weight >= 0.0 && weight.is_finite(),
            "must be 0 or a number above 0",
        )?;
        let decay = self.baseline_decay;
        check("baseline_decay", decay, (0.0..1.0).contains(&decay), "must be at least 0 and below 1")?;
        if let Some(Skip { weight, target }) = self.skip {
            let good = weight >= 0.0 && weight.is_finite();
            check("skip.weight", weight, good, "must be 0 or a number above 0")?;
            check("skip.target", target, target > 0.0 && target < 1.0, "must be above 0 and below 1")?;
        }
        let opens = self.anneal.and_then(|a| a.tanh_constant_end);
        if let (Some(end), None) = (opens, self.tanh_constant) {
            check("anneal.tanh_constant_end", end, false, "needs a tanh_constant to start from")?;
        }
        let normalized = self.advantage == Advantage::Normalized;
        let enough = !normalized || self.aggregate >= 2;
        check("aggregate", self.aggregate, enough, "must be at least 2 with advantage = \"normalized\"")
    }

    fn check_counts(&self) -> Result<(), Error> {
        let counts = [
            ("hidden_size", self.hidden_size, 4096),
            ("lstm_layers", self.lstm_layers, 16),
            ("aggregate", self.aggregate, 4096),
            ("steps", self.steps, usize::MAX),
            ("train_every", self.train_every, usize::MAX),
        ];
        for (key, value, most) in counts {
            let expected = if most < usize::MAX {
                "must be at least 1 and not absurdly large"
            } else {
                "must be at least 1"
            };
            check(key, value, (1..=most).contains(&value), expected)?;
        }
        Ok(())
    }

    fn check_positive(&self) -> Result<(), Error> {
        let positive = [
            ("lr", Some(self.lr)),
            ("tanh_constant", self.tanh_constant),
            ("op_tanh_reduce", Some(self.op_tanh_reduce)),
            ("temperature", self.temperature),
            ("anneal.tanh_constant_end", self.anneal.and_then(|a| a.tanh_constant_end)),
            ("anneal.temperature_end", self.anneal.and_then(|a| a.temperature_end)),
        ];
        for (key, value) in positive {
            let Some(value) = value else { continue };
            check(key, value, value > 0.0 && value.is_finite(), "must be a number above 0")?;
        }
        Ok(())
    }
}

fn check(key: &'static str, value: impl ToString, good: bool, expected: &'static str) -> Result<(), Error> {
    if good { Ok(()) } else { Err(Error::Config { key, value: value.to_string(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_presets_are_valid_and_survive_serialisation() {
        for preset in [Config::reference(), Config::improved()] {
            preset.validate().unwrap();
            let text = serde_json::to_string(&preset).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), preset, "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut value = serde_json::to_value(Config::reference()).unwrap();
        value["learning_rate"] = 0.1.into();
        let error = serde_json::from_value::<Config>(value).unwrap_err().to_string();
        assert!(error.contains("learning_rate"), "{error}");
    }

    #[test]
    fn every_senseless_value_is_refused_by_name() {
        type Spoil = fn(&mut Config);
        let spoil: [(&str, Spoil); 14] = [
            ("hidden_size", |c| c.hidden_size = 0),
            ("lstm_layers", |c| c.lstm_layers = 0),
            ("lr", |c| c.lr = f64::NAN),
            ("tanh_constant", |c| c.tanh_constant = Some(-1.0)),
            ("op_tanh_reduce", |c| c.op_tanh_reduce = 0.0),
            ("temperature", |c| c.temperature = Some(0.0)),
            ("entropy_weight", |c| c.entropy_weight = -1e-4),
            ("baseline_decay", |c| c.baseline_decay = 1.0),
            ("aggregate", |c| c.aggregate = 0),
            ("aggregate", |c| (c.aggregate, c.advantage) = (1, Advantage::Normalized)),
            ("steps", |c| c.steps = 0),
            ("train_every", |c| c.train_every = 0),
            ("anneal.temperature_end", |c| {
                c.anneal = Some(Anneal { tanh_constant_end: None, temperature_end: Some(f64::INFINITY) });
            }),
            ("anneal.tanh_constant_end", |c| {
                c.tanh_constant = None;
                c.anneal = Some(Anneal { tanh_constant_end: Some(2.0), temperature_end: None });
            }),
        ];
        for (key, spoil) in spoil {
            let mut config = Config::reference();
            spoil(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(&format!("controller.{key} = ")), "{key}: {message}");
        }
    }

    #[test]
    fn bounds_move_linearly_and_stop_at_the_ends() {
        let mut config = Config::reference();
        config.anneal = Some(Anneal { tanh_constant_end: Some(2.1), temperature_end: Some(0.5) });
        let at = |progress| {
            let bounds = config.bounds(progress);
            (bounds.tanh_constant.unwrap(), bounds.temperature.unwrap())
        };
        assert_eq!(at(-1.0), (1.1, 1.0));
        let (tanh, temperature) = at(0.5);
        assert!((tanh - 1.6).abs() < 1e-12 && (temperature - 0.75).abs() < 1e-12);
        assert_eq!(at(2.0), (2.1, 0.5));
    }

    #[test]
    fn reference_bounds_never_move() {
        let config = Config::reference();
        assert_eq!(config.bounds(0.0), config.bounds(1.0));
        assert_eq!(config.bounds(0.3), Bounds { tanh_constant: Some(1.1), temperature: None });
    }
}
