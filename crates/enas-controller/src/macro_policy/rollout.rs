//! One rollout over the decisions of a macro arc, for sampling, scoring and the most likely arc.

use super::weights::{MacroWeights, N_OPS};
use crate::decision::{RolloutTotals, SampledChoices};
use crate::logits::LogitTransform;

/// Makes a choice, given the decision's number and the probabilities of its choices.
pub(super) type Chooser<'a> = &'a mut dyn FnMut(usize, &[f32]) -> usize;

/// All values of a rollout that the backward pass needs.
pub(super) struct MacroRollout {
    pub(super) layers: Vec<LayerDecisions>,
    /// −ln of the probability of all choices.
    pub(super) nll: f64,
    /// Sum of `−p·ln p` of the choices taken, in nats.
    pub(super) entropy: f64,
    /// Mean over the layers after the first of the divergence of their skips from the target.
    pub(super) penalty: f64,
}

/// The two LSTM steps of a layer, and their decisions.
pub(super) struct LayerDecisions {
    pub(super) op_step: LstmActivations,
    pub(super) op: usize,
    /// `[operations]`, as `op_slopes`, the derivatives of the logits with respect to the scores.
    pub(super) op_probabilities: Vec<f32>,
    pub(super) op_slopes: Vec<f32>,
    pub(super) skip_step: LstmActivations,
    pub(super) skips: Vec<SkipDecision>,
    /// `[h]`: the output of the skip step times the key matrix.
    pub(super) key: Vec<f32>,
}

/// Whether one earlier layer is added.
pub(super) struct SkipDecision {
    pub(super) added: bool,
    /// `[h]`: tanh(key + query).
    pub(super) attention: Vec<f32>,
    /// The logit of adding; that of not adding is its negative (`general_controller.py:220`).
    pub(super) logit: f32,
    /// Derivative of the logit with respect to the score.
    pub(super) slope: f32,
}

/// An LSTM step: its inputs and its activations.
pub(super) struct LstmActivations {
    pub(super) input: Vec<f32>,
    pub(super) h_prev: Vec<f32>,
    pub(super) c_prev: Vec<f32>,
    /// `[4h]`: i, f, o, g.
    pub(super) gates: Vec<f32>,
    pub(super) c: Vec<f32>,
    pub(super) tanh_c: Vec<f32>,
    pub(super) h: Vec<f32>,
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

impl LstmActivations {
    fn new(weights: &MacroWeights, input: Vec<f32>, h_prev: Vec<f32>, c_prev: Vec<f32>) -> Self {
        let hidden = weights.hidden;
        let mut gates = vec![0.0; 4 * hidden];
        let (from_input, from_before) = weights.lstm.split_at(4 * hidden * hidden);
        multiply_add(&input, from_input, &mut gates);
        multiply_add(&h_prev, from_before, &mut gates);
        let (sigmoids, tanhs) = gates.split_at_mut(3 * hidden);
        sigmoids.iter_mut().for_each(|z| *z = sigmoid(*z));
        tanhs.iter_mut().for_each(|z| *z = z.tanh());
        let at = |gate: usize, unit: usize| gates[gate * hidden + unit];
        let c: Vec<f32> = (0..hidden).map(|u| at(0, u) * at(3, u) + at(1, u) * c_prev[u]).collect();
        let tanh_c: Vec<f32> = c.iter().map(|c| c.tanh()).collect();
        let h = (0..hidden).map(|u| at(2, u) * tanh_c[u]).collect();
        Self { input, h_prev, c_prev, gates, c, tanh_c, h }
    }

    fn next(&self, weights: &MacroWeights, input: Vec<f32>) -> Self {
        Self::new(weights, input, self.h.clone(), self.c.clone())
    }
}

/// Makes the decisions of an arc one after another.
pub(super) struct Decoder<'a> {
    pub(super) weights: &'a MacroWeights,
    pub(super) n_layers: usize,
    pub(super) transform: LogitTransform,
    /// Target share of skips, if there is a penalty.
    pub(super) skip_target: Option<f32>,
}

impl Decoder<'_> {
    pub(super) fn run(&self, choose: Chooser) -> MacroRollout {
        let weights = self.weights;
        let zeros = vec![0.0; weights.hidden];
        let mut rollout = MacroRollout { layers: Vec::new(), nll: 0.0, entropy: 0.0, penalty: 0.0 };
        let mut decision = 0;
        for layer in 0..self.n_layers {
            let op_step = match rollout.layers.last() {
                None => LstmActivations::new(weights, weights.start.clone(), zeros.clone(), zeros.clone()),
                Some(before) => before.skip_step.next(weights, rollout.input_after(weights, layer)),
            };
            let (op_probabilities, op_slopes) = self.operations(&op_step.h);
            let op = choose(decision, &op_probabilities);
            rollout.add_choice(op_probabilities[op]);
            let skip_step =
                op_step.next(weights, weights.embedding[op * weights.hidden..][..weights.hidden].to_vec());
            let first_skip = decision + 1;
            let skips = self.skips(&mut rollout, &skip_step.h, &mut |earlier, probabilities| {
                choose(first_skip + earlier, probabilities)
            });
            decision += layer + 1;
            let mut key = zeros.clone();
            multiply_add(&skip_step.h, &weights.key, &mut key);
            rollout.layers.push(LayerDecisions {
                op_step,
                op,
                op_probabilities,
                op_slopes,
                skip_step,
                skips,
                key,
            });
        }
        rollout.penalty /= (self.n_layers - 1).max(1) as f64;
        rollout
    }

    /// Decides about each earlier layer; `choose` receives its number.
    fn skips(&self, rollout: &mut MacroRollout, output: &[f32], choose: Chooser) -> Vec<SkipDecision> {
        let weights = self.weights;
        let mut query = vec![0.0; weights.hidden];
        multiply_add(output, &weights.query, &mut query);
        let mut skips = Vec::with_capacity(rollout.layers.len());
        for earlier in 0..rollout.layers.len() {
            let key = &rollout.layers[earlier].key;
            let attention: Vec<f32> =
                key.iter().zip(&query).map(|(key, query)| (key + query).tanh()).collect();
            let (logit, slope) = self.transform.apply_std(dot(&attention, &weights.score));
            // Softmax over the two logits −logit and +logit.
            let probability = sigmoid(2.0 * logit);
            let choice = choose(earlier, &[1.0 - probability, probability]);
            let added = choice == 1;
            rollout.add_choice(if added { probability } else { sigmoid(-2.0 * logit) });
            if let Some(target) = self.skip_target {
                rollout.penalty += divergence(logit, target);
            }
            skips.push(SkipDecision { added, attention, logit, slope });
        }
        skips
    }

    /// Probabilities of the operations, and derivatives of their logits.
    fn operations(&self, output: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut scores = vec![0.0; N_OPS];
        multiply_add(output, &self.weights.softmax, &mut scores);
        let (logits, slopes): (Vec<f32>, Vec<f32>) =
            scores.iter().map(|&score| self.transform.apply_std(score)).unzip();
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut probabilities: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f32 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|p| *p /= sum);
        (probabilities, slopes)
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

impl MacroRollout {
    /// Adds a choice of this probability to the totals.
    fn add_choice(&mut self, probability: f32) {
        let nll = -f64::from(probability.max(f32::MIN_POSITIVE)).ln();
        self.nll += nll;
        self.entropy += nll * (-nll).exp();
    }

    /// The LSTM's input at the start of `layer`. It is the start symbol for layer 1 too, otherwise the scaled sum of
    /// the added layers' outputs (`general_controller.py:247-250`).
    fn input_after(&self, weights: &MacroWeights, layer: usize) -> Vec<f32> {
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

    fn choices(&self) -> Vec<usize> {
        let of_layer = |layer: &LayerDecisions| {
            let skips: Vec<usize> = layer.skips.iter().map(|skip| usize::from(skip.added)).collect();
            std::iter::once(layer.op).chain(skips)
        };
        self.layers.iter().flat_map(of_layer).collect()
    }

    pub(super) fn totals(&self) -> RolloutTotals {
        RolloutTotals { nll: self.nll, entropy: self.entropy }
    }

    pub(super) fn sampled_choices(&self) -> SampledChoices {
        SampledChoices::new(self.choices(), self.totals())
    }
}

impl LayerDecisions {
    /// The earlier layers that are added, and the factor of each in the input of the next step.
    pub(super) fn added(&self) -> (f32, Vec<usize>) {
        let added: Vec<usize> = (0..self.skips.len()).filter(|&earlier| self.skips[earlier].added).collect();
        (1.0 / (1.0 + added.len() as f32), added)
    }
}
