//! The policy: a distribution over vectors of choices, for any plan, with the state of its training.

use std::fmt;
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Tensor, Var};
use enas_rng::Stream;

#[cfg(doc)]
use crate::Seed;
use crate::backward::Backward;
use crate::heads::Heads;
use crate::plan::{Plan, Shape};
use crate::scratch::{Scratch, Space};
use crate::state::NamedTensor;
use crate::training::Training;
use crate::walk::{Chooser, Tape, walk};
use crate::weights::{Layout, Weights};
use crate::{Bounds, Config, Error, Start};

/// An LSTM policy over the vectors of choices of a [`Plan`], with the state of its training.
///
/// A [`Controller`](crate::Controller) is a policy for the cells of the ENAS micro search; this type serves other
/// spaces. Every method that reads the policy takes [`Bounds`] for its logits; [`Config::bounds`] computes them.
///
/// The weights are candle variables, which other optimisers may train as well. A clone has its own variables and its
/// own optimiser.
///
/// ```
/// use enas_controller::{Config, Plan, Policy, Rewarded, Seed};
///
/// let seed = Seed::new(1);
/// let mut policy = Policy::new(&Config::improved(), Plan::of_choices(&[3, 5])?, seed)?;
/// let bounds = policy.config().bounds(0.0);
/// let draws = policy.sample_many(bounds, &mut [seed.stream("draw", &[0]), seed.stream("draw", &[1])]);
///
/// // The reward here is the first choice; any finite number will do.
/// let rewarded: Vec<_> = draws
///     .into_iter()
///     .map(|draw| Rewarded { value: draw.choices[0] as f32, choices: draw.choices })
///     .collect();
/// policy.reinforce(bounds, &rewarded)?;
/// # Ok::<(), enas_controller::Error>(())
/// ```
pub struct Policy {
    config: Config,
    plan: SyncArc<Plan>,
    pub(crate) weights: Weights,
    pub(crate) training: Training,
    pub(crate) space: Space,
    /// Whether other code holds the variables and may change them at any time.
    is_shared: AtomicBool,
}

/// A vector of choices with its probability under the policy: drawn from it, or given to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// One choice per decision of the plan.
    pub choices: Vec<usize>,
    /// ln π(choices; θ), never positive.
    pub log_prob: f32,
    /// Sum of the entropies of all decisions on the path, in nats.
    pub entropy: f32,
}

/// One decision on the path to an architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// One logit per choice, the input of the softmax.
    pub logits: Vec<f32>,
    /// One probability per choice.
    pub probabilities: Vec<f32>,
    /// The choice taken: a state to read, or an operation.
    pub choice: usize,
    /// −ln of the probability of the choice.
    pub nll: f32,
    /// Entropy of the choices, in nats.
    pub entropy: f32,
}

impl Policy {
    /// A policy for this plan. It starts untrained from a [`Seed`], or takes its variables from a
    /// [`VarBuilder`](candle_nn::VarBuilder), which makes those that are missing; see [`seeded()`](crate::seeded()).
    ///
    /// # Errors
    /// If a setting is invalid ([`Config::validate`]), or a variable has another shape or is not on the CPU.
    pub fn new<'v>(config: &Config, plan: Plan, start: impl Into<Start<'v>>) -> Result<Self, Error> {
        config.validate()?;
        let start = start.into();
        let is_shared = AtomicBool::new(start.is_shared());
        let layout = Layout::new(config.hidden_size, config.lstm_layers, plan.vocabulary());
        let vb = start.into_builder();
        let weights = Weights::new(layout, config.op_bias, plan.frozen_bias(), &vb)?;
        let training = Training::new(&weights, config.lr)?;
        let (plan, space) = (SyncArc::new(plan), Space::default());
        Ok(Self { config: config.clone(), plan, weights, training, space, is_shared })
    }

    /// The variables' names and tensors, in a fixed order. They are the policy's own and change with it.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.is_shared.store(true, Ordering::Relaxed);
        let names = self.weights.layout.variables.iter().map(|variable| &*variable.name);
        names.zip(&self.weights.tensors)
    }

    /// The variables for a candle optimiser, in a fixed order. Tensors that are not variables are left out.
    pub fn vars(&self) -> Vec<Var> {
        let variables = self.tensors().filter(|(_, tensor)| tensor.is_variable());
        variables.filter_map(|(_, tensor)| Var::from_tensor(tensor).ok()).collect()
    }

    /// Draws a vector of choices from the policy.
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> Draw {
        draw_of(&self.walk(bounds, 1, &mut |_, _, probabilities| categorical(probabilities, rng)), 0)
    }

    /// One draw from each stream. The draws equal those of one [`sample`](Self::sample) per stream; the rollouts run
    /// as a batch.
    pub fn sample_many(&self, bounds: Bounds, rngs: &mut [Stream]) -> Vec<Draw> {
        let n = rngs.len();
        if n == 0 {
            return vec![];
        }
        let mut scratch = self.take_scratch(n);
        self.walk_on(bounds, &mut scratch, &mut |e, _, probabilities| {
            categorical(probabilities, &mut rngs[e])
        });
        let draws = (0..n).map(|e| draw_of(&scratch.tape, e)).collect();
        self.space.keep(scratch);
        draws
    }

    /// The log-probability and entropy of given choices.
    ///
    /// # Errors
    /// If they are not one per decision, or one of them does not exist.
    pub fn score(&self, bounds: Bounds, choices: &[usize]) -> Result<Draw, Error> {
        Ok(draw_of(&self.follow(bounds, choices)?, 0))
    }

    /// The most likely choice at every decision, the first one among equals.
    pub fn most_likely(&self, bounds: Bounds) -> Draw {
        draw_of(&self.walk(bounds, 1, &mut |_, _, probabilities| argmax(probabilities)), 0)
    }

    /// The logits and probabilities of each decision on the path to `choices`.
    ///
    /// # Errors
    /// As for [`score`](Self::score).
    pub fn decisions(&self, bounds: Bounds, choices: &[usize]) -> Result<Vec<Decision>, Error> {
        let tape = self.follow(bounds, choices)?;
        Ok(self.plan.n_choices().iter().enumerate().map(|(d, &n)| decision_of(&tape, d, n)).collect())
    }

    /// The gradient of `Σ coefficients[i] · −ln π(choices[i]; θ)`: one tensor per variable, under its name.
    ///
    /// # Errors
    /// As for [`score`](Self::score), and if the numbers of vectors and coefficients differ.
    pub fn nll_gradient(
        &self,
        bounds: Bounds,
        choices: &[Vec<usize>],
        coefficients: &[f32],
    ) -> Result<Vec<NamedTensor>, Error> {
        if choices.len() != coefficients.len() {
            return Err(Error::Coefficients { arcs: choices.len(), coefficients: coefficients.len() });
        }
        choices.iter().enumerate().try_for_each(|(position, choices)| self.check(position, choices))?;
        if choices.is_empty() {
            return Ok(self.name_variables("", &vec![0.0; self.weights.layout.len()]));
        }
        let heads = Heads::new(&self.config, bounds);
        let Scratch { mut tape, mut backward, mut gradient, .. } = self.new_scratch(choices.len());
        self.weights.read(|weights| {
            walk(weights, &heads, &mut tape, &mut |e, at, _| choices[e][at]);
            backward.run(weights, &heads, &mut tape, coefficients, &mut gradient);
        });
        Ok(self.name_variables("", &gradient))
    }

    /// The settings this policy was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The plan this policy was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of trainable parameters.
    pub fn n_params(&self) -> usize {
        self.weights.layout.len()
    }

    fn walk(&self, bounds: Bounds, batch: usize, choose: Chooser) -> Tape {
        let mut tape = Tape::new(&self.plan, self.shape(batch));
        self.weights.read(|weights| walk(weights, &Heads::new(&self.config, bounds), &mut tape, choose));
        tape
    }

    fn follow(&self, bounds: Bounds, choices: &[usize]) -> Result<Tape, Error> {
        self.check(0, choices)?;
        Ok(self.walk(bounds, 1, &mut |_, at, _| choices[at]))
    }

    /// Checks the vector of choices at `position` against the plan.
    pub(crate) fn check(&self, position: usize, choices: &[usize]) -> Result<(), Error> {
        let n_choices = self.plan.n_choices();
        if choices.len() != n_choices.len() {
            return Err(Error::Choices { position, expected: n_choices.len(), got: choices.len() });
        }
        match choices.iter().zip(n_choices).position(|(choice, n)| choice >= n) {
            Some(decision) => Err(Error::Choice {
                position,
                decision,
                choice: choices[decision],
                n_choices: n_choices[decision],
            }),
            None => Ok(()),
        }
    }

    /// The kept buffers if they fit, otherwise new ones; return them with [`Space::keep`].
    pub(crate) fn take_scratch(&self, batch: usize) -> Scratch {
        let shape = self.shape(batch);
        match self.space.take() {
            Some(scratch) if scratch.tape.shape == shape => scratch,
            _ => self.new_scratch(batch),
        }
    }

    fn new_scratch(&self, batch: usize) -> Scratch {
        let shape = self.shape(batch);
        let gradient = vec![0.0; self.weights.layout.len()];
        Scratch { walked: None, tape: Tape::new(&self.plan, shape), backward: Backward::new(shape), gradient }
    }

    /// Runs a rollout on the scratch's tape and records its bounds.
    pub(crate) fn walk_on(&self, bounds: Bounds, scratch: &mut Scratch, choose: Chooser) {
        let heads = Heads::new(&self.config, bounds);
        self.weights.read(|weights| walk(weights, &heads, &mut scratch.tape, choose));
        scratch.walked = Some(bounds);
    }

    /// Whether other code holds the variables and may change them between a rollout and its use.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    pub(crate) fn shared_plan(&self) -> SyncArc<Plan> {
        SyncArc::clone(&self.plan)
    }

    pub(crate) fn shape(&self, batch: usize) -> Shape {
        self.plan.shape(self.config.hidden_size, self.config.lstm_layers, batch)
    }
}

impl Clone for Policy {
    fn clone(&self) -> Self {
        let weights = self.weights.copy().expect("what is on the CPU can be copied");
        let training = self.training.copy(&weights);
        Self {
            config: self.config.clone(),
            plan: SyncArc::clone(&self.plan),
            weights,
            training,
            // A clone makes its own buffers at its first rollout.
            space: Space::default(),
            is_shared: AtomicBool::new(false),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Policy")
            .field("config", &self.config)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

fn draw_of(tape: &Tape, episode: usize) -> Draw {
    let (nll, entropy) = tape.totals(episode);
    Draw { choices: tape.choices(episode).collect(), log_prob: -nll as f32, entropy: entropy as f32 }
}

fn decision_of(tape: &Tape, d: usize, n_choices: usize) -> Decision {
    let row = d * tape.shape.width()..d * tape.shape.width() + n_choices;
    Decision {
        logits: tape.decisions.logits[row.clone()].to_vec(),
        probabilities: tape.decisions.probabilities[row].to_vec(),
        choice: tape.decisions.choices[d],
        nll: tape.decisions.nll[d],
        entropy: tape.decisions.entropy[d],
    }
}

/// Draws a choice by inversion of the cumulative distribution.
fn categorical(probabilities: &[f32], rng: &mut Stream) -> usize {
    let mut left = rng.uniform();
    for (choice, &p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return choice;
        }
    }
    // Rounding may leave the sum of the probabilities below the random number.
    probabilities.len() - 1
}

fn argmax(probabilities: &[f32]) -> usize {
    let better =
        |best: usize, choice: usize| if probabilities[choice] > probabilities[best] { choice } else { best };
    (0..probabilities.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    #[test]
    fn choices_are_drawn_with_their_probabilities() {
        let mut rng = Seed::new(1).stream("draws", &[]);
        let probabilities = [0.1, 0.0, 0.6, 0.3];
        let mut counts = [0; 4];
        (0..20_000).for_each(|_| counts[categorical(&probabilities, &mut rng)] += 1);
        for (count, p) in counts.iter().zip(probabilities) {
            assert!((f64::from(*count) / 20_000.0 - f64::from(p)).abs() < 0.015, "{counts:?}");
        }
    }
}
