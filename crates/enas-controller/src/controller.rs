//! The controller: a policy over arcs and what its training remembers.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use enas_arc::Arc;
use enas_rng::{Seed, Stream};

use crate::backward::Backward;
use crate::heads::Heads;
use crate::plan::Shape;
use crate::reinforce::Training;
use crate::state::NamedTensor;
use crate::walk::{Chooser, Tape, walk};
use crate::weights::{Layout, Weights};
use crate::{Bounds, Config, Error};

/// Largest number of nodes per cell.
const MOST_NODES: usize = 64;

/// An LSTM policy π(m; θ) over arcs, with the state of its training.
///
/// Every method that reads the policy takes the [`Bounds`] it shall obey; get them from [`Config::bounds`]. A
/// controller is a value: cloning it copies weights and optimiser.
#[derive(Clone)]
pub struct Controller {
    config: Config,
    n_nodes: usize,
    pub(crate) weights: Weights,
    pub(crate) training: Training,
    pub(crate) space: Space,
}

/// A draw from the policy, or an arc seen by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The arc m.
    pub arc: Arc,
    /// ln π(m; θ), never positive; the reference's "log prob" is its negative.
    pub log_prob: f32,
    /// Sum of the entropies of all decisions on the way, in nats.
    pub entropy: f32,
}

/// One of the decisions that make an arc.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// One logit per choice, as given to the softmax.
    pub logits: Vec<f32>,
    /// One probability per choice.
    pub probabilities: Vec<f32>,
    /// The choice taken: a state to read or an operation.
    pub choice: usize,
    /// -ln of the probability of the choice.
    pub nll: f32,
    /// Entropy of the choices, in nats.
    pub entropy: f32,
}

/// Space for walks of several arcs and for updates, kept from one to the next.
///
/// It also spares an update the walk of the arcs that were drawn just before it: their tape is the one that walking
/// them again would write. Whoever changes the weights must forget the walk.
#[derive(Default)]
pub(crate) struct Space(Mutex<Option<Scratch>>);

pub(crate) struct Scratch {
    /// The bounds under which the tape's arcs were walked with the present weights; `None` if it is used up.
    pub(crate) walked: Option<Bounds>,
    pub(crate) tape: Tape,
    pub(crate) backward: Backward,
    pub(crate) gradient: Vec<f32>,
}

impl Controller {
    /// An untrained controller for arcs of `n_nodes` nodes per cell.
    ///
    /// # Errors
    /// If a setting makes no sense ([`Config::validate`]) or `n_nodes` is not within 1 to 64.
    pub fn new(config: &Config, n_nodes: usize, seed: Seed) -> Result<Self, Error> {
        config.validate()?;
        if !(1..=MOST_NODES).contains(&n_nodes) {
            return Err(Error::Nodes(n_nodes));
        }
        let layout = Layout::new(config.hidden_size, config.lstm_layers);
        let training = Training::new(layout.len());
        let weights = Weights::new(layout, config.op_bias, seed);
        Ok(Self { config: config.clone(), n_nodes, weights, training, space: Space::default() })
    }

    /// Draws an arc, m ~ π(m; θ).
    pub fn sample(&self, bounds: Bounds, rng: &mut Stream) -> Sample {
        sample_of(&self.walk(bounds, 1, &mut |_, _, probabilities| categorical(probabilities, rng)), 0)
    }

    /// Draws one arc from each stream; the same arcs as drawing them one by one, in less time.
    pub fn sample_many(&self, bounds: Bounds, rngs: &mut [Stream]) -> Vec<Sample> {
        let n = rngs.len();
        if n == 0 {
            return vec![];
        }
        let mut scratch = self.take_scratch(n);
        self.walk_on(bounds, &mut scratch, &mut |e, _, probabilities| {
            categorical(probabilities, &mut rngs[e])
        });
        let samples = (0..n).map(|e| sample_of(&scratch.tape, e)).collect();
        self.space.keep(scratch);
        samples
    }

    /// The probability of a given arc.
    ///
    /// # Errors
    /// If the arc has another number of nodes than this controller decides about.
    pub fn score(&self, bounds: Bounds, arc: &Arc) -> Result<Sample, Error> {
        Ok(sample_of(&self.follow(bounds, arc)?, 0))
    }

    /// The arc that takes the likeliest choice at every decision, the first of equals.
    pub fn most_likely(&self, bounds: Bounds) -> Sample {
        sample_of(&self.walk(bounds, 1, &mut |_, _, probabilities| argmax(probabilities)), 0)
    }

    /// The decisions that make `arc`, in the order of its integers, to see what the policy thinks of each.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn decisions(&self, bounds: Bounds, arc: &Arc) -> Result<Vec<Decision>, Error> {
        let tape = self.follow(bounds, arc)?;
        Ok((0..tape.shape.decisions()).map(|d| decision_of(&tape, d)).collect())
    }

    /// The gradient of `Σ coefficients[i] · -ln π(arcs[i]; θ)`: one tensor per variable, under its name.
    ///
    /// # Errors
    /// As [`score`](Self::score), and if the numbers of arcs and coefficients differ.
    pub fn nll_gradient(
        &self,
        bounds: Bounds,
        arcs: &[Arc],
        coefficients: &[f32],
    ) -> Result<Vec<NamedTensor>, Error> {
        if arcs.len() != coefficients.len() {
            return Err(Error::Coefficients { arcs: arcs.len(), coefficients: coefficients.len() });
        }
        let choices = self.choices(arcs.iter())?;
        if arcs.is_empty() {
            return Ok(self.name_variables("", &vec![0.0; self.weights.layout.len()]));
        }
        let mut scratch = Scratch::new(self.shape(arcs.len()), self.weights.layout.len());
        let heads = Heads::new(&self.config, bounds);
        walk(&self.weights, &heads, &mut scratch.tape, &mut |e, at, _| choices[e][at]);
        let Scratch { tape, backward, gradient, .. } = &mut scratch;
        backward.run(&self.weights, &heads, tape, coefficients, gradient);
        Ok(self.name_variables("", gradient))
    }

    /// The settings this controller was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Nodes per cell of the arcs it decides about.
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Number of trainable numbers.
    pub fn n_params(&self) -> usize {
        self.weights.layout.len()
    }

    fn walk(&self, bounds: Bounds, batch: usize, choose: Chooser) -> Tape {
        let mut tape = Tape::new(self.shape(batch));
        walk(&self.weights, &Heads::new(&self.config, bounds), &mut tape, choose);
        tape
    }

    fn follow(&self, bounds: Bounds, arc: &Arc) -> Result<Tape, Error> {
        let choices = self.choices([arc])?;
        Ok(self.walk(bounds, 1, &mut |e, at, _| choices[e][at]))
    }

    /// The integers of each arc, after a check of their number.
    pub(crate) fn choices<'a>(
        &self,
        arcs: impl IntoIterator<Item = &'a Arc>,
    ) -> Result<Vec<Vec<usize>>, Error> {
        let checked = |(position, arc): (usize, &Arc)| match arc.n_nodes() {
            got if got != self.n_nodes => Err(Error::ArcNodes { position, expected: self.n_nodes, got }),
            _ => Ok(arc.to_ints()),
        };
        arcs.into_iter().enumerate().map(checked).collect()
    }

    /// The kept space if it fits; give it back with [`Space::keep`].
    pub(crate) fn take_scratch(&self, batch: usize) -> Scratch {
        let shape = self.shape(batch);
        match self.space.take() {
            Some(scratch) if scratch.tape.shape == shape => scratch,
            _ => Scratch::new(shape, self.weights.layout.len()),
        }
    }

    /// Walks on the scratch's tape and notes it.
    pub(crate) fn walk_on(&self, bounds: Bounds, scratch: &mut Scratch, choose: Chooser) {
        walk(&self.weights, &Heads::new(&self.config, bounds), &mut scratch.tape, choose);
        scratch.walked = Some(bounds);
    }

    fn shape(&self, batch: usize) -> Shape {
        Shape { hidden: self.config.hidden_size, layers: self.config.lstm_layers, nodes: self.n_nodes, batch }
    }
}

impl Scratch {
    fn new(shape: Shape, n_params: usize) -> Self {
        let gradient = vec![0.0; n_params];
        Self { walked: None, tape: Tape::new(shape), backward: Backward::new(shape), gradient }
    }

    /// Whether the tape is that of these arcs' integers under `bounds`.
    pub(crate) fn holds(&self, bounds: Bounds, choices: &[Vec<usize>]) -> bool {
        let same = |(e, choices): (usize, &Vec<usize>)| self.tape.choices(e).eq(choices.iter().copied());
        self.walked == Some(bounds) && choices.iter().enumerate().all(same)
    }
}

impl Space {
    /// What is kept, if nobody else has taken it.
    fn take(&self) -> Option<Scratch> {
        // A panic elsewhere cannot have left a scratch half written: it is out of the lock while in use.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keep(&self, scratch: Scratch) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(scratch);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A copy of a controller needs its own space and gets it when it walks.
impl Clone for Space {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Controller")
            .field("config", &self.config)
            .field("n_nodes", &self.n_nodes)
            .finish_non_exhaustive()
    }
}

fn sample_of(tape: &Tape, episode: usize) -> Sample {
    let ints: Vec<i64> = tape.choices(episode).map(|choice| choice as i64).collect();
    let arc =
        Arc::from_ints(&ints).expect("every decision offers only states and operations that are valid there");
    let (nll, entropy) = tape.totals(episode);
    Sample { arc, log_prob: -nll as f32, entropy: entropy as f32 }
}

fn decision_of(tape: &Tape, d: usize) -> Decision {
    // In an arc's integers states and operations alternate, and the node comes after each four.
    let n_choices = if d.is_multiple_of(2) { (d / 4) % tape.shape.nodes + 2 } else { crate::weights::N_OPS };
    let row = d * tape.shape.width()..d * tape.shape.width() + n_choices;
    Decision {
        logits: tape.decisions.logits[row.clone()].to_vec(),
        probabilities: tape.decisions.probabilities[row].to_vec(),
        choice: tape.decisions.choices[d],
        nll: tape.decisions.nll[d],
        entropy: tape.decisions.entropy[d],
    }
}

/// Draws a choice with its probability.
fn categorical(probabilities: &[f32], rng: &mut Stream) -> usize {
    let mut left = rng.uniform();
    for (choice, &p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return choice;
        }
    }
    // Rounding can leave a sliver beyond the last probability.
    probabilities.len() - 1
}

fn argmax(probabilities: &[f32]) -> usize {
    let better =
        |best: usize, choice: usize| if probabilities[choice] > probabilities[best] { choice } else { best };
    (0..probabilities.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
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
    fn choices_are_drawn_with_their_probabilities() {
        let mut rng = Seed::new(1).stream("draws", &[]);
        let probabilities = [0.1, 0.0, 0.6, 0.3];
        let mut counts = [0; 4];
        (0..20_000).for_each(|_| counts[categorical(&probabilities, &mut rng)] += 1);
        for (count, p) in counts.iter().zip(probabilities) {
            assert!((f64::from(*count) / 20_000.0 - f64::from(p)).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn tighter_bounds_and_higher_temperature_flatten_the_policy() {
        // The published bias gives even an untrained policy something to be bounded.
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
            assert_eq!(Controller::new(&Config::reference(), n, Seed::new(0)).unwrap_err(), Error::Nodes(n));
        }
    }
}
