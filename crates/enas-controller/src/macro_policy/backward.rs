//! The gradient of a rollout's loss: backpropagation through time, from the last layer to the first.

use super::MacroPolicy;
use super::rollout::{LayerDecisions, LstmActivations, MacroRollout, SkipDecision, sigmoid};
use super::weights::{MacroWeights, N_OPS};

/// The gradients that later back from later steps.
struct LaterGradients {
    /// Gradients of the LSTM's output and cell, `[h]`.
    h: Vec<f32>,
    c: Vec<f32>,
    /// Gradients of the outputs of the skip steps as inputs of later steps, `[layers, h]`.
    outputs: Vec<Vec<f32>>,
    /// Gradients of their keys, `[layers, h]`.
    keys: Vec<Vec<f32>>,
}

/// The factors of both parts of the loss, −ln π and the penalty on skips.
#[derive(Clone, Copy)]
pub(super) struct LossWeights {
    pub(super) nll: f32,
    pub(super) penalty: f32,
}

/// `sum += matrix · vector`: the gradient of the input of a product.
fn add_back(matrix: &[f32], vector: &[f32], sum: &mut [f32]) {
    for (sum, row) in sum.iter_mut().zip(matrix.chunks_exact(vector.len())) {
        *sum += row.iter().zip(vector).map(|(w, g)| w * g).sum::<f32>();
    }
}

/// `sum += inputᵀ · gradient`: the gradient of a matrix.
fn add_outer(input: &[f32], gradient: &[f32], sum: &mut [f32]) {
    for (&x, row) in input.iter().zip(sum.chunks_exact_mut(gradient.len())) {
        row.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += x * g);
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += x);
}

impl MacroPolicy {
    /// Adds the gradient of the weighted loss of a rollout.
    pub(super) fn add_gradient(
        &self,
        rollout: &MacroRollout,
        loss: LossWeights,
        gradient: &mut MacroWeights,
    ) {
        let weights = &self.weights;
        let hidden = weights.hidden;
        let zeros = || vec![0.0; hidden];
        let loss = LossWeights { penalty: loss.penalty / (self.n_layers - 1).max(1) as f32, ..loss };
        let mut later = LaterGradients {
            h: zeros(),
            c: zeros(),
            outputs: vec![zeros(); self.n_layers],
            keys: vec![zeros(); self.n_layers],
        };
        for (number, layer) in rollout.layers.iter().enumerate().rev() {
            add(&mut later.h, &later.outputs[number]);
            add_outer(&layer.skip_step.h, &later.keys[number], &mut gradient.key);
            add_back(&weights.key, &later.keys[number], &mut later.h);
            self.skips_backward(layer, loss, &mut later, gradient);
            let d_input = lstm_backward(weights, &layer.skip_step, &mut later, gradient);
            add(&mut gradient.embedding[layer.op * hidden..][..hidden], &d_input);
            op_backward(weights, layer, loss.nll, &mut later, gradient);
            let d_input = lstm_backward(weights, &layer.op_step, &mut later, gradient);
            if number < 2 {
                add(&mut gradient.start, &d_input);
                continue;
            }
            let (share, added) = rollout.layers[number - 1].added();
            for earlier in added {
                let sum = &mut later.outputs[earlier];
                sum.iter_mut().zip(&d_input).for_each(|(sum, g)| *sum += share * g);
            }
        }
    }

    /// Back through the skips of a layer, to its query and the keys of earlier layers.
    fn skips_backward(
        &self,
        layer: &LayerDecisions,
        loss: LossWeights,
        later: &mut LaterGradients,
        gradient: &mut MacroWeights,
    ) {
        let weights = &self.weights;
        let mut d_query = vec![0.0; weights.hidden];
        for (skip, d_key) in layer.skips.iter().zip(&mut later.keys) {
            let SkipDecision { added, attention, logit, slope } = skip;
            let wanted = if *added { 1.0 } else { 0.0 };
            // Two logits, −logit and +logit: their softmax is sigmoid(2·logit).
            let mut d_logit = loss.nll * 2.0 * (sigmoid(2.0 * logit) - wanted);
            if let Some(skip) = &self.config.skip {
                let p = sigmoid(*logit);
                let target = skip.target as f32;
                // The derivative of the divergence is p·(1 − p)·(logit(p) − logit(target)), and logit(p) is `logit`
                // itself.
                d_logit += loss.penalty * p * (1.0 - p) * (logit - (target / (1.0 - target)).ln());
            }
            let d_score = d_logit * slope;
            for unit in 0..weights.hidden {
                let m = attention[unit];
                gradient.score[unit] += d_score * m;
                let d_sum = d_score * weights.score[unit] * (1.0 - m * m);
                d_query[unit] += d_sum;
                d_key[unit] += d_sum;
            }
        }
        add_outer(&layer.skip_step.h, &d_query, &mut gradient.query);
        add_back(&weights.query, &d_query, &mut later.h);
    }
}

/// Back through the choice of an operation, to the output of its step.
fn op_backward(
    weights: &MacroWeights,
    layer: &LayerDecisions,
    nll_weight: f32,
    later: &mut LaterGradients,
    gradient: &mut MacroWeights,
) {
    let mut d_scores = [0.0; N_OPS];
    for (choice, d_score) in d_scores.iter_mut().enumerate() {
        let wanted = if choice == layer.op { 1.0 } else { 0.0 };
        *d_score = nll_weight * (layer.op_probabilities[choice] - wanted) * layer.op_slopes[choice];
    }
    add_outer(&layer.op_step.h, &d_scores, &mut gradient.softmax);
    add_back(&weights.softmax, &d_scores, &mut later.h);
}

/// Back through an LSTM step. Leaves the gradients of the previous output and cell in `later`, and returns that of the
/// input.
fn lstm_backward(
    weights: &MacroWeights,
    step: &LstmActivations,
    later: &mut LaterGradients,
    gradient: &mut MacroWeights,
) -> Vec<f32> {
    let hidden = weights.hidden;
    let gate = |which: usize, unit: usize| step.gates[which * hidden + unit];
    let mut d_gates = vec![0.0; 4 * hidden];
    for unit in 0..hidden {
        let [i, f, o, g] = [0, 1, 2, 3].map(|which| gate(which, unit));
        let tanh_c = step.tanh_c[unit];
        let d_h = later.h[unit];
        let d_c = later.c[unit] + d_h * o * (1.0 - tanh_c * tanh_c);
        d_gates[unit] = d_c * g * i * (1.0 - i);
        d_gates[hidden + unit] = d_c * step.c_prev[unit] * f * (1.0 - f);
        d_gates[2 * hidden + unit] = d_h * tanh_c * o * (1.0 - o);
        d_gates[3 * hidden + unit] = d_c * i * (1.0 - g * g);
        later.c[unit] = d_c * f;
    }
    let half = 4 * hidden * hidden;
    add_outer(&step.input, &d_gates, &mut gradient.lstm[..half]);
    add_outer(&step.h_prev, &d_gates, &mut gradient.lstm[half..]);
    let mut d_input = vec![0.0; hidden];
    let mut d_h_prev = vec![0.0; hidden];
    add_back(&weights.lstm[..half], &d_gates, &mut d_input);
    add_back(&weights.lstm[half..], &d_gates, &mut d_h_prev);
    later.h = d_h_prev;
    d_input
}
