//! The policy of the macro search: for every layer an operation, and for every earlier layer whether it is added
//! (Pham et al. 2018, section 2.3; `general_controller.py:126-268`).
//!
//! One LSTM step chooses the operation of a layer. The next step decides all its skips, independently of each other:
//! the key of the earlier layer and the query of this layer give the probability. The mean of the added layers'
//! outputs is the input of the next step. A penalty draws the share of skips towards a target, so that networks stay
//! sparse.
//!
//! This is not a rollout of a [`Plan`](crate::Plan), whose steps make one decision each. The authors' macro policy
//! differs from their policy for cells in two more points. There is no operation bias. The rewarded entropy is
//! `−p·ln p` of the choices taken, instead of the sum over all alternatives (`general_controller.py:168, 240-241`).

mod backward;
mod reinforce;
mod rollout;
mod state;
mod weights;

#[cfg(doc)]
use enas_arc::MacroArc;
use enas_rng::{Seed, Stream};

use self::rollout::{Chooser, Decoder, MacroRollout};
use self::weights::{MacroWeights, N_OPS};
use crate::decision::{SampledChoices, argmax};
use crate::logits::LogitTransform;
use crate::{Bounds, Config, Error};

/// Initial values are uniform in `[−INIT, INIT]` (`general_controller.py:84`).
const INIT: f32 = 0.1;

/// An LSTM policy π(m; θ) over macro arcs, with the state of its training.
///
/// Architectures are vectors of choices in the order of [`MacroArc::to_ints`].
///
/// ```
/// use enas_controller::{Config, MacroPolicy, RewardedChoices, Seed};
///
/// let seed = Seed::new(1);
/// let mut policy = MacroPolicy::new(&Config::macro_reference(), 4, seed)?;
/// let bounds = policy.config().bounds(0.0);
/// let draw = policy.sample(bounds, &mut seed.stream("draw", &[0]));
/// assert_eq!(draw.choices.len(), 4 + 6); // an operation for each layer, and all skips
/// policy.reinforce(bounds, &[RewardedChoices { choices: draw.choices, value: 0.5 }])?;
/// # Ok::<(), enas_controller::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MacroPolicy {
    config: Config,
    n_layers: usize,
    weights: MacroWeights,
    training: MacroTrainingState,
}

/// The state of the training besides the variables.
#[derive(Clone, Debug)]
struct MacroTrainingState {
    second_moment: MacroWeights,
    updates: u64,
    baseline: f32,
    started: bool,
}

impl MacroPolicy {
    /// Largest number of layers of an arc.
    pub const MOST_LAYERS: usize = 200;

    /// An untrained policy for arcs of `n_layers` layers.
    ///
    /// # Errors
    /// If a setting is invalid ([`Config::validate`]) or is for cells only, or if `n_layers` is not within 1 to
    /// [`MOST_LAYERS`](Self::MOST_LAYERS).
    pub fn new(config: &Config, n_layers: usize, seed: Seed) -> Result<Self, Error> {
        config.validate()?;
        if config.lstm_layers != 1 {
            let value = config.lstm_layers.to_string();
            return Err(Error::Config {
                key: "lstm_layers",
                value,
                expected: "must be 1 in the macro space",
            });
        }
        if !(1..=Self::MOST_LAYERS).contains(&n_layers) {
            return Err(Error::Plan(format!(
                "a macro arc has 1 to {} layers, not {n_layers}",
                Self::MOST_LAYERS
            )));
        }
        let mut weights = MacroWeights::zeros(config.hidden_size);
        let names = weights.variables().map(|(name, ..)| name);
        for (name, values) in names.into_iter().zip(weights.values_mut()) {
            let mut stream = seed.stream(&format!("controller/{name}"), &[]);
            values.fill_with(|| stream.range(-INIT, INIT));
        }
        let second_moment = MacroWeights::zeros(config.hidden_size);
        let training = MacroTrainingState { second_moment, updates: 0, baseline: 0.0, started: false };
        Ok(Self { config: config.clone(), n_layers, weights, training })
    }

    /// Draws an architecture from the policy.
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> SampledChoices {
        self.rollout(bounds, &mut |_, probabilities| categorical(probabilities, rng)).sampled_choices()
    }

    /// The architecture that takes the most likely choice at every decision, the first one among equals.
    pub fn most_likely(&self, bounds: Bounds) -> SampledChoices {
        self.rollout(bounds, &mut |_, probabilities| argmax(probabilities)).sampled_choices()
    }

    /// The log-probability and entropy of given choices.
    ///
    /// # Errors
    /// If they are not one per decision, or one of them does not exist.
    pub fn score(&self, bounds: Bounds, choices: &[usize]) -> Result<SampledChoices, Error> {
        self.check(0, choices)?;
        Ok(self.rollout_of(bounds, choices).sampled_choices())
    }

    /// The settings this policy was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of layers of the arcs it decides about.
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }

    /// Number of trainable parameters.
    pub fn n_params(&self) -> usize {
        self.weights.variables().iter().map(|(_, _, values)| values.len()).sum()
    }

    fn rollout(&self, bounds: Bounds, choose: Chooser) -> MacroRollout {
        let skip_target = self.config.skip.as_ref().map(|skip| skip.target as f32);
        Decoder {
            weights: &self.weights,
            n_layers: self.n_layers,
            skip_target,
            transform: LogitTransform::new(bounds),
        }
        .run(choose)
    }

    fn rollout_of(&self, bounds: Bounds, choices: &[usize]) -> MacroRollout {
        self.rollout(bounds, &mut |at, _| choices[at])
    }

    /// Checks that choices are those of an arc; `position` is their position among those given.
    fn check(&self, position: usize, choices: &[usize]) -> Result<(), Error> {
        let expected = self.n_layers * (self.n_layers + 1) / 2;
        if choices.len() != expected {
            return Err(Error::Choices { position, expected, got: choices.len() });
        }
        let mut decision = 0;
        for layer in 0..self.n_layers {
            for entry in 0..=layer {
                let choice = choices[decision];
                let n_choices = if entry == 0 { N_OPS } else { 2 };
                if choice >= n_choices {
                    return Err(Error::Choice { position, decision, choice, n_choices });
                }
                decision += 1;
            }
        }
        Ok(())
    }
}

impl Config {
    /// The settings of the authors' macro search (`scripts/cifar10_macro_search.sh`).
    pub fn macro_reference() -> Self {
        Self {
            lr: 0.001,
            tanh_constant: Some(1.5),
            aggregate: 20,
            steps: 50,
            skip: Some(crate::Skip { weight: 0.8, target: 0.4 }),
            ..Self::reference()
        }
    }
}

/// Draws a choice by inversion of the cumulative distribution. Where rounding leaves none, it is the most likely one,
/// unlike in [`decision::categorical`](crate::decision::categorical).
fn categorical(probabilities: &[f32], rng: &mut Stream) -> usize {
    let mut left = rng.uniform();
    for (choice, &probability) in probabilities.iter().enumerate() {
        left -= probability;
        if left < 0.0 {
            return choice;
        }
    }
    // Rounding may leave the sum of the probabilities below the random number.
    argmax(probabilities)
}

#[cfg(test)]
mod tests;
