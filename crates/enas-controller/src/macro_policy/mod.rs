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
mod state;
mod train;
mod walk;

#[cfg(doc)]
use enas_arc::MacroArc;
use enas_arc::MacroOp;
use enas_rng::{Seed, Stream};

use self::walk::Walk;
use crate::{Bounds, Config, Draw, Error};

/// Initial values are uniform in `[−INIT, INIT]` (`general_controller.py:84`).
const INIT: f32 = 0.1;
/// Number of operations to choose from.
const N_OPS: usize = MacroOp::ALL.len();

/// An LSTM policy π(m; θ) over macro arcs, with the state of its training.
///
/// Architectures are vectors of choices in the order of [`MacroArc::to_ints`].
///
/// ```
/// use enas_controller::{Config, MacroPolicy, Rewarded, Seed};
///
/// let seed = Seed::new(1);
/// let mut policy = MacroPolicy::new(&Config::macro_reference(), 4, seed)?;
/// let bounds = policy.config().bounds(0.0);
/// let draw = policy.sample(bounds, &mut seed.stream("draw", &[0]));
/// assert_eq!(draw.choices.len(), 4 + 6); // an operation for each layer, and all skips
/// policy.reinforce(bounds, &[Rewarded { choices: draw.choices, value: 0.5 }])?;
/// # Ok::<(), enas_controller::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MacroPolicy {
    config: Config,
    n_layers: usize,
    weights: Weights,
    training: Training,
}

/// The variables, each row-major; matrices are `[in, out]`.
#[derive(Clone, Debug, PartialEq)]
struct Weights {
    hidden: usize,
    /// `[2h, 4h]`: rows for the input, then for the previous output; columns i, f, o, g.
    lstm: Vec<f32>,
    /// `[h]`
    start: Vec<f32>,
    /// `[operations, h]`
    embedding: Vec<f32>,
    /// `[h, operations]`
    softmax: Vec<f32>,
    /// `[h, h]`, from an output to a key.
    key: Vec<f32>,
    /// `[h, h]`, from an output to a query.
    query: Vec<f32>,
    /// `[h]`, from tanh(key + query) to a score.
    score: Vec<f32>,
}

/// The state of the training besides the variables.
#[derive(Clone, Debug)]
struct Training {
    second_moment: Weights,
    updates: u64,
    baseline: f32,
    started: bool,
}

impl Weights {
    fn zeros(hidden: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            hidden,
            lstm: zeros(8 * hidden * hidden),
            start: zeros(hidden),
            embedding: zeros(N_OPS * hidden),
            softmax: zeros(N_OPS * hidden),
            key: zeros(hidden * hidden),
            query: zeros(hidden * hidden),
            score: zeros(hidden),
        }
    }

    /// Names (those of the authors' code), shapes and values.
    fn variables(&self) -> [(&'static str, Vec<usize>, &[f32]); 7] {
        let h = self.hidden;
        [
            ("lstm/layer_0/w", vec![2 * h, 4 * h], &self.lstm),
            ("g_emb", vec![1, h], &self.start),
            ("emb/w", vec![N_OPS, h], &self.embedding),
            ("softmax/w", vec![h, N_OPS], &self.softmax),
            ("attention/w_1", vec![h, h], &self.key),
            ("attention/w_2", vec![h, h], &self.query),
            ("attention/v", vec![h, 1], &self.score),
        ]
    }

    /// The values in the same order.
    fn values_mut(&mut self) -> [&mut Vec<f32>; 7] {
        let Self { lstm, start, embedding, softmax, key, query, score, .. } = self;
        [lstm, start, embedding, softmax, key, query, score]
    }
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
        let mut weights = Weights::zeros(config.hidden_size);
        let names = weights.variables().map(|(name, ..)| name);
        for (name, values) in names.into_iter().zip(weights.values_mut()) {
            let mut stream = seed.stream(&format!("controller/{name}"), &[]);
            values.fill_with(|| stream.range(-INIT, INIT));
        }
        let second_moment = Weights::zeros(config.hidden_size);
        let training = Training { second_moment, updates: 0, baseline: 0.0, started: false };
        Ok(Self { config: config.clone(), n_layers, weights, training })
    }

    /// Draws an architecture from the policy.
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> Draw {
        self.walk(bounds, &mut |_, probabilities| drawn(probabilities, rng)).draw()
    }

    /// The architecture that takes the most likely choice at every decision, the first one among equals.
    pub fn most_likely(&self, bounds: Bounds) -> Draw {
        self.walk(bounds, &mut |_, probabilities| likeliest(probabilities)).draw()
    }

    /// The log-probability and entropy of given choices.
    ///
    /// # Errors
    /// If they are not one per decision, or one of them does not exist.
    pub fn score(&self, bounds: Bounds, choices: &[usize]) -> Result<Draw, Error> {
        self.check(0, choices)?;
        Ok(self.follow(bounds, choices).draw())
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

    fn follow(&self, bounds: Bounds, choices: &[usize]) -> Walk {
        self.walk(bounds, &mut |at, _| choices[at])
    }

    /// Checks that choices are those of an arc; `position` is their position among those given.
    fn check(&self, position: usize, choices: &[usize]) -> Result<(), Error> {
        let expected = self.n_layers * (self.n_layers + 1) / 2;
        if choices.len() != expected {
            return Err(Error::Choices { position, expected, got: choices.len() });
        }
        let mut decision = 0;
        for layer in 0..self.n_layers {
            for place in 0..=layer {
                let (choice, n_choices) = (choices[decision], if place == 0 { N_OPS } else { 2 });
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

fn drawn(probabilities: &[f32], rng: &mut Stream) -> usize {
    let mut left = rng.uniform();
    for (choice, &probability) in probabilities.iter().enumerate() {
        left -= probability;
        if left < 0.0 {
            return choice;
        }
    }
    // Rounding may leave the sum of the probabilities below the random number.
    likeliest(probabilities)
}

fn likeliest(probabilities: &[f32]) -> usize {
    let better =
        |best: usize, (choice, p): (usize, &f32)| if *p > probabilities[best] { choice } else { best };
    probabilities.iter().enumerate().fold(0, better)
}

#[cfg(test)]
mod tests;
