//! The policy: a distribution over vectors of choices, for any plan, with the state of its training.

use std::fmt;
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Tensor, Var};
use enas_rng::Stream;

#[cfg(doc)]
use crate::Seed;
use crate::backward::Backward;
use crate::decision::{Decision, SampledChoices, argmax, categorical};
use crate::init::VariableSource;
use crate::logits::LogitTransforms;
use crate::named_tensor::NamedTensor;
use crate::plan::{Plan, TapeShape};
use crate::rollout::{Chooser, rollout};
use crate::scratch::{Scratch, ScratchPool};
use crate::tape::Tape;
use crate::training::TrainingState;
use crate::weights::{Layout, Weights};
use crate::{Bounds, Config, Error};

/// An LSTM policy over the vectors of choices of a [`Plan`], with the state of its training.
///
/// A [`Controller`](crate::Controller) is a policy for the cells of the ENAS micro search; this type serves other
/// spaces. Every method that reads the policy takes [`Bounds`] for its logits; [`Config::bounds`] computes them.
///
/// The weights are candle variables, which other optimisers may train as well. A clone has its own variables and its
/// own optimiser.
///
/// ```
/// use enas_controller::{Config, Plan, Policy, RewardedChoices, Seed};
///
/// let seed = Seed::new(1);
/// let mut policy = Policy::new(&Config::improved(), Plan::of_choices(&[3, 5])?, seed)?;
/// let bounds = policy.config().bounds(0.0);
/// let draws = policy.sample_many(bounds, &mut [seed.stream("draw", &[0]), seed.stream("draw", &[1])]);
///
/// // The reward here is the first choice; any finite number will do.
/// let rewarded: Vec<_> = draws
///     .into_iter()
///     .map(|draw| RewardedChoices { value: draw.choices[0] as f32, choices: draw.choices })
///     .collect();
/// policy.reinforce(bounds, &rewarded)?;
/// # Ok::<(), enas_controller::Error>(())
/// ```
pub struct Policy {
    config: Config,
    plan: SyncArc<Plan>,
    pub(crate) weights: Weights,
    pub(crate) training: TrainingState,
    pub(crate) scratch: ScratchPool,
    /// Whether other code holds the variables and may change them at any time.
    is_shared: AtomicBool,
}

impl Policy {
    /// A policy for this plan. It starts untrained from a [`Seed`], or takes its variables from a
    /// [`VarBuilder`](candle_nn::VarBuilder), which makes those that are missing; see [`seeded()`](crate::seeded()).
    ///
    /// # Errors
    /// If a setting is invalid ([`Config::validate`]), or a variable has another shape.
    pub fn new<'v>(config: &Config, plan: Plan, start: impl Into<VariableSource<'v>>) -> Result<Self, Error> {
        config.validate()?;
        let start = start.into();
        let is_shared = AtomicBool::new(start.is_shared());
        let layout = Layout::new(config.hidden_size, config.lstm_layers, plan.vocabulary());
        let vb = start.into_builder();
        let weights = Weights::new(layout, config.op_bias, plan.frozen_bias(), &vb)?;
        let training = TrainingState::new(&weights, config.lr)?;
        Ok(Self {
            config: config.clone(),
            plan: SyncArc::new(plan),
            weights,
            training,
            scratch: ScratchPool::default(),
            is_shared,
        })
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
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> SampledChoices {
        sampled_choices(
            &self.rollout(bounds, 1, &mut |_, _, probabilities| categorical(probabilities, rng)),
            0,
        )
    }

    /// One draw from each stream. The draws equal those of one [`sample`](Self::sample) per stream; the rollouts run
    /// as a batch.
    pub fn sample_many(&self, bounds: Bounds, rngs: &mut [Stream]) -> Vec<SampledChoices> {
        let n = rngs.len();
        if n == 0 {
            return vec![];
        }
        let mut scratch = self.take_scratch(n);
        self.rollout_on(bounds, &mut scratch, &mut |e, _, probabilities| {
            categorical(probabilities, &mut rngs[e])
        });
        let draws = (0..n).map(|e| sampled_choices(&scratch.tape, e)).collect();
        self.scratch.keep(scratch);
        draws
    }

    /// The log-probability and entropy of given choices.
    ///
    /// # Errors
    /// If they are not one per decision, or one of them does not exist.
    pub fn score(&self, bounds: Bounds, choices: &[usize]) -> Result<SampledChoices, Error> {
        Ok(sampled_choices(&self.rollout_of(bounds, choices)?, 0))
    }

    /// The most likely choice at every decision, the first one among equals.
    pub fn most_likely(&self, bounds: Bounds) -> SampledChoices {
        sampled_choices(&self.rollout(bounds, 1, &mut |_, _, probabilities| argmax(probabilities)), 0)
    }

    /// The logits and probabilities of each decision on the path to `choices`.
    ///
    /// # Errors
    /// As for [`score`](Self::score).
    pub fn decisions(&self, bounds: Bounds, choices: &[usize]) -> Result<Vec<Decision>, Error> {
        let tape = self.rollout_of(bounds, choices)?;
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
        let transforms = LogitTransforms::new(&self.config, bounds);
        let Scratch { mut tape, mut backward, mut gradient, .. } = self.new_scratch(choices.len());
        self.weights.read(|weights| {
            rollout(weights, &transforms, &mut tape, &mut |e, at, _| choices[e][at]);
            backward.run(weights, &transforms, &mut tape, coefficients, &mut gradient);
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

    fn rollout(&self, bounds: Bounds, batch: usize, choose: Chooser) -> Tape {
        let mut tape = Tape::new(&self.plan, self.shape(batch));
        self.weights
            .read(|weights| rollout(weights, &LogitTransforms::new(&self.config, bounds), &mut tape, choose));
        tape
    }

    fn rollout_of(&self, bounds: Bounds, choices: &[usize]) -> Result<Tape, Error> {
        self.check(0, choices)?;
        Ok(self.rollout(bounds, 1, &mut |_, at, _| choices[at]))
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

    /// The kept buffers if they fit, otherwise new ones; return them with [`ScratchPool::keep`].
    pub(crate) fn take_scratch(&self, batch: usize) -> Scratch {
        let shape = self.shape(batch);
        match self.scratch.take() {
            Some(scratch) if scratch.tape.shape == shape => scratch,
            _ => self.new_scratch(batch),
        }
    }

    fn new_scratch(&self, batch: usize) -> Scratch {
        let shape = self.shape(batch);
        let gradient = vec![0.0; self.weights.layout.len()];
        Scratch { bounds: None, tape: Tape::new(&self.plan, shape), backward: Backward::new(shape), gradient }
    }

    /// Runs a rollout on the scratch's tape and records its bounds.
    pub(crate) fn rollout_on(&self, bounds: Bounds, scratch: &mut Scratch, choose: Chooser) {
        let transforms = LogitTransforms::new(&self.config, bounds);
        self.weights.read(|weights| rollout(weights, &transforms, &mut scratch.tape, choose));
        scratch.bounds = Some(bounds);
    }

    /// Whether other code holds the variables and may change them between a rollout and its use.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    pub(crate) fn shared_plan(&self) -> SyncArc<Plan> {
        SyncArc::clone(&self.plan)
    }

    pub(crate) fn shape(&self, batch: usize) -> TapeShape {
        self.plan.shape(self.config.hidden_size, self.config.lstm_layers, batch)
    }
}

impl Clone for Policy {
    fn clone(&self) -> Self {
        let weights = self.weights.copy().expect("variables can be copied");
        let training = self.training.copy(&weights);
        Self {
            config: self.config.clone(),
            plan: SyncArc::clone(&self.plan),
            weights,
            training,
            // A clone makes its own buffers at its first rollout.
            scratch: ScratchPool::default(),
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

fn sampled_choices(tape: &Tape, episode: usize) -> SampledChoices {
    SampledChoices::new(tape.choices(episode).collect(), tape.totals(episode))
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
