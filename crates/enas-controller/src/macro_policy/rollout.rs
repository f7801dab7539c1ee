//! One rollout over the decisions of a macro arc, for sampling, scoring and the most likely arc.

use super::{MacroPolicy, N_OPS, Weights};
use crate::{Bounds, Draw};

/// Makes a choice, given the decision's number and the probabilities of its choices.
type Chooser<'a> = &'a mut dyn FnMut(usize, &[f32]) -> usize;

/// All values of a rollout that the backward pass needs.
pub(super) struct Walk {
    pub(super) layers: Vec<Layer>,
    /// −ln of the probability of all choices.
    pub(super) nll: f64,
    /// Sum of `−p·ln p` of the choices taken, in nats.
    pub(super) entropy: f64,
    /// Mean over the layers after the first of the divergence of their skips from the target.
    pub(super) penalty: f64,
}

/// The two LSTM steps of a layer, and their decisions.
pub(super) struct Layer {
    pub(super) op_step: LstmStep,
    pub(super) op: usize,
    /// `[operations]`, as `op_slopes`, the derivatives of the logits with respect to the scores.
    pub(super) op_probabilities: Vec<f32>,
    pub(super) op_slopes: Vec<f32>,
    pub(super) skip_step: LstmStep,
    pub(super) skips: Vec<Skip>,
    /// `[h]`: the output of the skip step times the key matrix.
    pub(super) key: Vec<f32>,
}

/// Whether one earlier layer is added.
pub(super) struct Skip {
    pub(super) added: bool,
    /// `[h]`: tanh(key + query).
    pub(super) meeting: Vec<f32>,
    /// The logit of adding; that of not adding is its negative (`general_controller.py:220`).
    pub(super) logit: f32,
    /// Derivative of the logit with respect to the score.
    pub(super) slope: f32,
}

/// An LSTM step: its inputs and its activations.
pub(super) struct LstmStep {
    pub(super) input: Vec<f32>,
    pub(super) h_prev: Vec<f32>,
    pub(super) c_prev: Vec<f32>,
    /// `[4h]`: i, f, o, g.
    pub(super) gates: Vec<f32>,
    pub(super) c: Vec<f32>,
    pub(super) tanh_c: Vec<f32>,
    pub(super) h: Vec<f32>,
}

/// `bound · tanh(score / temperature)`, or without bound `score / temperature`.
#[derive(Clone, Copy)]
struct Squash {
    temperature: f32,
    bound: Option<f32>,
}

impl Squash {
    fn of(bounds: Bounds) -> Self {
        Self {
            temperature: bounds.temperature.map_or(1.0, |t| t as f32),
            bound: bounds.tanh_constant.map(|b| b as f32),
        }
    }

    /// The logit of a score, and its derivative with respect to the score.
    fn apply(self, score: f32) -> (f32, f32) {
        let cooled = score / self.temperature;
        match self.bound {
            None => (cooled, 1.0 / self.temperature),
            Some(bound) => {
                let t = cooled.tanh();
                (bound * t, bound * (1.0 - t * t) / self.temperature)
            }
        }
    }
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `sum += vector · matrix`; the matrix is `[in, out]`.
pub(super) fn multiply_add(vector: &[f32], matrix: &[f32], sum: &mut [f32]) {
    for (&x, row) in vector.iter().zip(matrix.chunks_exact(sum.len())) {
        sum.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl LstmStep {
    fn new(weights: &Weights, input: Vec<f32>, h_prev: Vec<f32>, c_prev: Vec<f32>) -> Self {
        let hidden = weights.hidden;
        let mut gates = vec![0.0; 4 * hidden];
        let (of_input, of_output) = weights.lstm.split_at(4 * hidden * hidden);
        multiply_add(&input, of_input, &mut gates);
        multiply_add(&h_prev, of_output, &mut gates);
        let (sigmoids, tanhs) = gates.split_at_mut(3 * hidden);
        sigmoids.iter_mut().for_each(|z| *z = sigmoid(*z));
        tanhs.iter_mut().for_each(|z| *z = z.tanh());
        let at = |gate: usize, unit: usize| gates[gate * hidden + unit];
        let c: Vec<f32> = (0..hidden).map(|u| at(0, u) * at(3, u) + at(1, u) * c_prev[u]).collect();
        let tanh_c: Vec<f32> = c.iter().map(|c| c.tanh()).collect();
        let h = (0..hidden).map(|u| at(2, u) * tanh_c[u]).collect();
        Self { input, h_prev, c_prev, gates, c, tanh_c, h }
    }

    fn next(&self, weights: &Weights, input: Vec<f32>) -> Self {
        Self::new(weights, input, self.h.clone(), self.c.clone())
    }
}

impl MacroPolicy {
    pub(super) fn walk(&self, bounds: Bounds, choose: Chooser) -> Walk {
        let (weights, squash) = (&self.weights, Squash::of(bounds));
        let zeros = vec![0.0; weights.hidden];
        let mut walk = Walk { layers: Vec::new(), nll: 0.0, entropy: 0.0, penalty: 0.0 };
        let mut decision = 0;
        for layer in 0..self.n_layers {
            let op_step = match walk.layers.last() {
                None => LstmStep::new(weights, weights.start.clone(), zeros.clone(), zeros.clone()),
                Some(before) => before.skip_step.next(weights, walk.input_after(weights, layer)),
            };
            let (op_probabilities, op_slopes) = operations(weights, squash, &op_step.h);
            let op = choose(decision, &op_probabilities);
            walk.take(op_probabilities[op]);
            let skip_step =
                op_step.next(weights, weights.embedding[op * weights.hidden..][..weights.hidden].to_vec());
            let skips = self.skips(&mut walk, squash, &skip_step.h, (decision + 1, &mut *choose));
            decision += layer + 1;
            let mut key = zeros.clone();
            multiply_add(&skip_step.h, &weights.key, &mut key);
            walk.layers.push(Layer { op_step, op, op_probabilities, op_slopes, skip_step, skips, key });
        }
        walk.penalty /= (self.n_layers - 1).max(1) as f64;
        walk
    }

    /// Decides about each earlier layer; the first of these decisions has the number `decision`.
    fn skips(
        &self,
        walk: &mut Walk,
        squash: Squash,
        output: &[f32],
        (decision, choose): (usize, Chooser),
    ) -> Vec<Skip> {
        let weights = &self.weights;
        let mut query = vec![0.0; weights.hidden];
        multiply_add(output, &weights.query, &mut query);
        let mut skips = Vec::with_capacity(walk.layers.len());
        for earlier in 0..walk.layers.len() {
            let key = &walk.layers[earlier].key;
            let meeting: Vec<f32> = key.iter().zip(&query).map(|(key, query)| (key + query).tanh()).collect();
            let (logit, slope) = squash.apply(dot(&meeting, &weights.score));
            // Softmax over the two logits −logit and +logit.
            let probability = sigmoid(2.0 * logit);
            let choice = choose(decision + earlier, &[1.0 - probability, probability]);
            let added = choice == 1;
            walk.take(if added { probability } else { sigmoid(-2.0 * logit) });
            if let Some(skip) = &self.config.skip {
                walk.penalty += divergence(logit, skip.target as f32);
            }
            skips.push(Skip { added, meeting, logit, slope });
        }
        skips
    }
}

/// The Kullback–Leibler divergence of the sigmoid of a logit from the target, for a yes-no decision.
///
/// Quirk of the authors' code (`general_controller.py:231-233`): the penalty uses sigmoid(logit), but skips are
/// sampled with sigmoid(2·logit).
fn divergence(logit: f32, target: f32) -> f64 {
    let part = |logit: f32, target: f32| {
        let p = f64::from(sigmoid(logit)).max(f64::MIN_POSITIVE);
        p * (p / f64::from(target)).ln()
    };
    part(logit, target) + part(-logit, 1.0 - target)
}

/// Probabilities of the operations, and derivatives of their logits.
fn operations(weights: &Weights, squash: Squash, output: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut scores = vec![0.0; N_OPS];
    multiply_add(output, &weights.softmax, &mut scores);
    let (logits, slopes): (Vec<f32>, Vec<f32>) = scores.iter().map(|&score| squash.apply(score)).unzip();
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut probabilities: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = probabilities.iter().sum();
    probabilities.iter_mut().for_each(|p| *p /= sum);
    (probabilities, slopes)
}

impl Walk {
    fn take(&mut self, probability: f32) {
        let nll = -f64::from(probability.max(f32::MIN_POSITIVE)).ln();
        self.nll += nll;
        self.entropy += nll * (-nll).exp();
    }

    /// The LSTM's input at the start of `layer`. It is the start symbol for layer 1 too, otherwise the scaled sum of
    /// the added layers' outputs (`general_controller.py:247-250`).
    fn input_after(&self, weights: &Weights, layer: usize) -> Vec<f32> {
        if layer == 1 {
            return weights.start.clone();
        }
        let mut sum = vec![0.0; weights.hidden];
        let (share, added) = self.layers[layer - 1].added();
        for earlier in added {
            let output = &self.layers[earlier].skip_step.h;
            sum.iter_mut().zip(output).for_each(|(sum, x)| *sum += share * x);
        }
        sum
    }

    pub(super) fn choices(&self) -> Vec<usize> {
        let of_layer = |layer: &Layer| {
            let skips: Vec<usize> = layer.skips.iter().map(|skip| usize::from(skip.added)).collect();
            std::iter::once(layer.op).chain(skips)
        };
        self.layers.iter().flat_map(of_layer).collect()
    }

    pub(super) fn draw(&self) -> Draw {
        Draw { choices: self.choices(), log_prob: -self.nll as f32, entropy: self.entropy as f32 }
    }
}

impl Layer {
    /// The earlier layers that are added, and the factor of each in the input of the next step.
    pub(super) fn added(&self) -> (f32, Vec<usize>) {
        let added: Vec<usize> = (0..self.skips.len()).filter(|&earlier| self.skips[earlier].added).collect();
        (1.0 / (1.0 + added.len() as f32), added)
    }
}
