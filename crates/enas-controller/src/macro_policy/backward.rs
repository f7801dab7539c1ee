//! The gradient of a rollout's loss: backpropagation through time, from the last layer to the first.

use super::walk::{Layer, LstmStep, Skip, Walk, sigmoid};
use super::{MacroPolicy, N_OPS, Weights};

/// The gradients that flow back from later steps.
struct Flow {
    /// Gradients of the LSTM's output and cell, `[h]`.
    h: Vec<f32>,
    c: Vec<f32>,
    /// Gradients of the outputs of the skip steps as inputs of later steps, `[layers, h]`.
    outputs: Vec<Vec<f32>>,
    /// Gradients of their keys, `[layers, h]`.
    keys: Vec<Vec<f32>>,
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
    /// Adds the gradient of `of_nll · −ln π + of_penalty · penalty` of a rollout.
    pub(super) fn add_gradient(&self, walk: &Walk, (of_nll, of_penalty): (f32, f32), gradient: &mut Weights) {
        let (weights, hidden) = (&self.weights, self.weights.hidden);
        let zeros = || vec![0.0; hidden];
        let of_penalty = of_penalty / (self.n_layers - 1).max(1) as f32;
        let mut flow = Flow {
            h: zeros(),
            c: zeros(),
            outputs: vec![zeros(); self.n_layers],
            keys: vec![zeros(); self.n_layers],
        };
        for (number, layer) in walk.layers.iter().enumerate().rev() {
            add(&mut flow.h, &flow.outputs[number]);
            add_outer(&layer.skip_step.h, &flow.keys[number], &mut gradient.key);
            add_back(&weights.key, &flow.keys[number], &mut flow.h);
            self.skips_back(layer, (of_nll, of_penalty), &mut flow, gradient);
            let of_input = step_back(weights, &layer.skip_step, &mut flow, gradient);
            add(&mut gradient.embedding[layer.op * hidden..][..hidden], &of_input);
            operation_back(weights, layer, of_nll, &mut flow, gradient);
            let of_input = step_back(weights, &layer.op_step, &mut flow, gradient);
            if number < 2 {
                add(&mut gradient.start, &of_input);
                continue;
            }
            let (share, added) = walk.layers[number - 1].added();
            for earlier in added {
                let sum = &mut flow.outputs[earlier];
                sum.iter_mut().zip(&of_input).for_each(|(sum, g)| *sum += share * g);
            }
        }
    }

    /// Back through the skips of a layer, to its query and the keys of earlier layers.
    fn skips_back(
        &self,
        layer: &Layer,
        (of_nll, of_penalty): (f32, f32),
        flow: &mut Flow,
        gradient: &mut Weights,
    ) {
        let weights = &self.weights;
        let mut of_query = vec![0.0; weights.hidden];
        for (skip, of_key) in layer.skips.iter().zip(&mut flow.keys) {
            let Skip { added, meeting, logit, slope } = skip;
            let wanted = if *added { 1.0 } else { 0.0 };
            // Two logits, −logit and +logit: their softmax is sigmoid(2·logit).
            let mut of_logit = of_nll * 2.0 * (sigmoid(2.0 * logit) - wanted);
            if let Some(skip) = &self.config.skip {
                let (p, target) = (sigmoid(*logit), skip.target as f32);
                // The derivative of the divergence is p·(1 − p)·(logit(p) − logit(target)), and logit(p) is `logit`
                // itself.
                of_logit += of_penalty * p * (1.0 - p) * (logit - (target / (1.0 - target)).ln());
            }
            let of_score = of_logit * slope;
            for unit in 0..weights.hidden {
                let m = meeting[unit];
                gradient.score[unit] += of_score * m;
                let of_sum = of_score * weights.score[unit] * (1.0 - m * m);
                of_query[unit] += of_sum;
                of_key[unit] += of_sum;
            }
        }
        add_outer(&layer.skip_step.h, &of_query, &mut gradient.query);
        add_back(&weights.query, &of_query, &mut flow.h);
    }
}

/// Back through the choice of an operation, to the output of its step.
fn operation_back(weights: &Weights, layer: &Layer, of_nll: f32, flow: &mut Flow, gradient: &mut Weights) {
    let mut of_scores = [0.0; N_OPS];
    for (choice, of_score) in of_scores.iter_mut().enumerate() {
        let wanted = if choice == layer.op { 1.0 } else { 0.0 };
        *of_score = of_nll * (layer.op_probabilities[choice] - wanted) * layer.op_slopes[choice];
    }
    add_outer(&layer.op_step.h, &of_scores, &mut gradient.softmax);
    add_back(&weights.softmax, &of_scores, &mut flow.h);
}

/// Back through an LSTM step. Leaves the gradients of the previous output and cell in `flow`, and returns that of the
/// input.
fn step_back(weights: &Weights, step: &LstmStep, flow: &mut Flow, gradient: &mut Weights) -> Vec<f32> {
    let hidden = weights.hidden;
    let gate = |which: usize, unit: usize| step.gates[which * hidden + unit];
    let mut of_gates = vec![0.0; 4 * hidden];
    for unit in 0..hidden {
        let (i, f, o, g) = (gate(0, unit), gate(1, unit), gate(2, unit), gate(3, unit));
        let (tanh_c, of_h) = (step.tanh_c[unit], flow.h[unit]);
        let of_c = flow.c[unit] + of_h * o * (1.0 - tanh_c * tanh_c);
        of_gates[unit] = of_c * g * i * (1.0 - i);
        of_gates[hidden + unit] = of_c * step.c_prev[unit] * f * (1.0 - f);
        of_gates[2 * hidden + unit] = of_h * tanh_c * o * (1.0 - o);
        of_gates[3 * hidden + unit] = of_c * i * (1.0 - g * g);
        flow.c[unit] = of_c * f;
    }
    let half = 4 * hidden * hidden;
    add_outer(&step.input, &of_gates, &mut gradient.lstm[..half]);
    add_outer(&step.h_prev, &of_gates, &mut gradient.lstm[half..]);
    let (mut of_input, mut of_output) = (vec![0.0; hidden], vec![0.0; hidden]);
    add_back(&weights.lstm[..half], &of_gates, &mut of_input);
    add_back(&weights.lstm[half..], &of_gates, &mut of_output);
    flow.h = of_output;
    of_input
}
