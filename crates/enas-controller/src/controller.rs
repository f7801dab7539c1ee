//! The controller: a policy over the arcs of the ENAS micro search (Pham et al. 2018, section 2.4).

use std::fmt;

use candle_core::{Tensor, Var};
use enas_arc::Arc;
use enas_rng::Stream;

#[cfg(doc)]
use crate::Seed;
use crate::decision::{Decision, SampledChoices};
use crate::init::VariableSource;
use crate::named_tensor::NamedTensor;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::{Bounds, Config, Error};

/// An LSTM policy π(m; θ) over arcs, with the state of its training.
///
/// Every method that reads the policy takes [`Bounds`] for its logits; [`Config::bounds`] computes them.
///
/// The weights are candle variables, which other optimisers may train as well. They are on the device of the builder
/// that they come from. The policy is computed on the CPU, from copies of variables that are elsewhere. A clone has
/// its own variables and its own optimiser.
#[derive(Clone)]
pub struct Controller {
    pub(crate) policy: Policy,
    n_nodes: usize,
}

/// An arc with its probability under the policy: drawn from it, or given to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The arc m.
    pub arc: Arc,
    /// ln π(m; θ), never positive. The authors' `log_prob` is its negative (`micro_controller.py:166-168`).
    pub log_prob: f32,
    /// Sum of the entropies of all decisions on the path to this arc, in nats.
    pub entropy: f32,
}

impl Controller {
    /// A controller for arcs of `n_nodes` nodes per cell. It starts untrained from a [`Seed`], on the CPU or on the
    /// device given with it, or takes its variables from a [`VarBuilder`](candle_nn::VarBuilder), which makes those
    /// that are missing; see [`seeded()`](crate::seeded()).
    ///
    /// # Errors
    /// If a setting is invalid ([`Config::validate`]), `n_nodes` is not within 1 to 64, or a variable has another
    /// shape.
    pub fn new<'v>(
        config: &Config,
        n_nodes: usize,
        start: impl Into<VariableSource<'v>>,
    ) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { policy: Policy::new(config, Plan::micro(n_nodes)?, start)?, n_nodes })
    }

    /// The variables' names and tensors, in a fixed order. They are the controller's own and change with it.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.policy.tensors()
    }

    /// The variables for a candle optimiser, in a fixed order. Tensors that are not variables are left out.
    pub fn vars(&self) -> Vec<Var> {
        self.policy.vars()
    }

    /// Draws an arc, m ~ π(m; θ).
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> Sample {
        sample_of(&self.policy.sample(bounds, rng))
    }

    /// Draws one arc from each stream. The arcs equal those of one [`sample`](Self::sample) per stream; the rollouts
    /// run as a batch.
    pub fn sample_many(&self, bounds: Bounds, rngs: &mut [Stream]) -> Vec<Sample> {
        self.policy.sample_many(bounds, rngs).iter().map(sample_of).collect()
    }

    /// The log-probability and entropy of a given arc.
    ///
    /// # Errors
    /// If the arc's number of nodes differs from the controller's.
    pub fn score(&self, bounds: Bounds, arc: &Arc) -> Result<Sample, Error> {
        Ok(sample_of(&self.policy.score(bounds, &self.choices(0, arc)?)?))
    }

    /// The arc that takes the most likely choice at every decision, the first one among equals.
    pub fn most_likely(&self, bounds: Bounds) -> Sample {
        sample_of(&self.policy.most_likely(bounds))
    }

    /// The logits and probabilities of each decision on the path to `arc`, in the order of the arc's integers.
    ///
    /// # Errors
    /// As for [`score`](Self::score).
    pub fn decisions(&self, bounds: Bounds, arc: &Arc) -> Result<Vec<Decision>, Error> {
        self.policy.decisions(bounds, &self.choices(0, arc)?)
    }

    /// The gradient of `Σ coefficients[i] · −ln π(arcs[i]; θ)`: one tensor per variable, under its name.
    ///
    /// # Errors
    /// As for [`score`](Self::score), and if the numbers of arcs and coefficients differ.
    pub fn nll_gradient(
        &self,
        bounds: Bounds,
        arcs: &[Arc],
        coefficients: &[f32],
    ) -> Result<Vec<NamedTensor>, Error> {
        let choices = arcs.iter().enumerate().map(|(position, arc)| self.choices(position, arc));
        self.policy.nll_gradient(bounds, &choices.collect::<Result<Vec<_>, _>>()?, coefficients)
    }

    /// The settings this controller was made with.
    pub fn config(&self) -> &Config {
        self.policy.config()
    }

    /// Number of nodes per cell of the arcs it decides about.
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Number of trainable parameters.
    pub fn n_params(&self) -> usize {
        self.policy.n_params()
    }

    /// The integers of the arc at this position, after a check of its size.
    pub(crate) fn choices(&self, position: usize, arc: &Arc) -> Result<Vec<usize>, Error> {
        match arc.n_nodes() {
            got if got != self.n_nodes => Err(Error::ArcNodes { position, expected: self.n_nodes, got }),
            _ => Ok(arc.to_ints()),
        }
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Controller")
            .field("config", self.config())
            .field("n_nodes", &self.n_nodes)
            .finish_non_exhaustive()
    }
}

fn sample_of(sampled: &SampledChoices) -> Sample {
    let ints: Vec<i64> = sampled.choices.iter().map(|&choice| choice as i64).collect();
    let arc =
        Arc::from_ints(&ints).expect("every decision offers only states and operations that are valid there");
    Sample { arc, log_prob: sampled.log_prob, entropy: sampled.entropy }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    fn controller(n_nodes: usize, layers: usize) -> Controller {
        let config = Config { hidden_size: 24, lstm_layers: layers, ..Config::improved() };
        Controller::new(&config, n_nodes, Seed::new(5)).unwrap()
    }

    fn streams(n: u64) -> Vec<Stream> {
        (0..n).map(|i| Seed::new(9).stream("arc", &[i])).collect()
    }

    #[test]
    fn scoring_a_sampled_arc_gives_the_sample_back_exactly() {
        for (n_nodes, layers) in [(1, 1), (2, 3), (5, 1), (7, 2)] {
            let controller = controller(n_nodes, layers);
            let bounds = controller.config().bounds(0.5);
            for mut rng in streams(5) {
                let sample = controller.sample(bounds, &mut rng);
                assert_eq!(controller.score(bounds, &sample.arc).unwrap(), sample);
            }
            let likeliest = controller.most_likely(bounds);
            assert_eq!(controller.score(bounds, &likeliest.arc).unwrap(), likeliest);
        }
    }

    #[test]
    fn arcs_drawn_together_equal_arcs_drawn_alone_to_the_bit() {
        let controller = controller(4, 2);
        let bounds = controller.config().bounds(0.0);
        let together = controller.sample_many(bounds, &mut streams(11));
        let alone: Vec<_> = streams(11).iter_mut().map(|rng| controller.sample(bounds, rng)).collect();
        assert_eq!(together, alone);
        assert!(controller.sample_many(bounds, &mut []).is_empty());
    }

    #[test]
    fn probabilities_of_all_arcs_of_one_node_sum_to_one() {
        let config = Config { hidden_size: 4, ..Config::improved() };
        let controller = Controller::new(&config, 1, Seed::new(5)).unwrap();
        let bounds = config.bounds(0.0);
        let cells: Vec<[i64; 4]> = (0..100).map(|i| [i / 50, i / 10 % 5, i / 5 % 2, i % 5]).collect();
        let mut sum = 0.0;
        for normal in &cells {
            for reduction in &cells {
                let arc = Arc::from_ints(&[*normal, *reduction].concat()).unwrap();
                sum += f64::from(controller.score(bounds, &arc).unwrap().log_prob).exp();
            }
        }
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }

    #[test]
    fn decisions_describe_the_arc_and_sum_to_its_score() {
        let controller = controller(5, 1);
        let bounds = controller.config().bounds(0.0);
        let sample = controller.sample(bounds, &mut streams(1)[0]);
        let decisions = controller.decisions(bounds, &sample.arc).unwrap();
        assert_eq!(decisions.iter().map(|d| d.choice).collect::<Vec<_>>(), sample.arc.to_ints());
        let widths: Vec<_> = decisions.iter().take(8).map(|d| d.logits.len()).collect();
        assert_eq!(widths, [2, 5, 2, 5, 3, 5, 3, 5]);
        let log_prob: f32 = decisions.iter().map(|d| d.probabilities[d.choice].ln()).sum();
        assert!((log_prob - sample.log_prob).abs() < 1e-4);
    }

    #[test]
    fn tighter_bounds_and_higher_temperature_flatten_the_policy() {
        // The bias of the reference makes even an untrained policy reach its bounds.
        let config = Config { hidden_size: 24, ..Config::reference() };
        let controller = Controller::new(&config, 4, Seed::new(5)).unwrap();
        let arc = controller.most_likely(config.bounds(0.0)).arc;
        let entropy = |tanh_constant, temperature| {
            controller.score(Bounds { tanh_constant, temperature }, &arc).unwrap().entropy
        };
        assert!(entropy(Some(0.5), None) > entropy(Some(5.0), None));
        assert!(entropy(Some(5.0), Some(4.0)) > entropy(Some(5.0), None));
        assert!(entropy(None, Some(4.0)) > entropy(None, Some(0.25)));
    }

    #[test]
    fn arcs_and_controllers_of_impossible_size_are_refused() {
        let arc = controller(4, 1).most_likely(Config::reference().bounds(0.0)).arc;
        let five = controller(5, 1);
        let error = five.score(five.config().bounds(0.0), &arc).unwrap_err();
        assert_eq!(error, Error::ArcNodes { position: 0, expected: 5, got: 4 });
        assert!(error.to_string().contains("4 nodes"), "{error}");
        for n in [0, 65] {
            let error = Controller::new(&Config::reference(), n, Seed::new(0)).unwrap_err();
            assert_eq!(error, Error::Nodes(n));
        }
    }
}
