//! The gradient of a walk: back through every step, last to first.
//!
//! What each step adds to a weight matrix is an outer product; they are collected and added in one matrix product per
//! variable at the end.

use crate::heads::Heads;
use crate::lstm;
use crate::matrix::{Left, add_scaled, multiply_add, transpose};
use crate::plan::{Moment, Shape, Step};
use crate::walk::{Input, Tape};
use crate::weights::{Layout, N_OPS, Weights};

/// Space for the gradients that flow back, to be used again and again.
#[derive(Clone)]
pub(crate) struct Backward {
    /// Transposed LSTM matrices `[4h, 2h]`.
    lstm: Vec<Vec<f32>>,
    /// Transposed key and query matrices `[h, h]`.
    key: Vec<f32>,
    query: Vec<f32>,
    /// Gradients of the LSTM outputs and cells, `[batch, h]` per layer.
    dh: Vec<Vec<f32>>,
    dc: Vec<Vec<f32>>,
    /// Of the products with the fixed inputs, `[1 + N_OPS, 4h]`.
    fixed: Vec<f32>,
    /// Of the products with the states, `[states, batch, 4h]`.
    projected: Vec<f32>,
    /// Of the keys, `[states, batch, h]`.
    keys: Vec<f32>,
    /// Of the queries, `[queries, batch, h]`.
    queries: Vec<f32>,
    /// Of the operation weights, transposed `[N_OPS, h]`.
    op_weight: Vec<f32>,
}

impl Backward {
    pub(crate) fn new(shape: Shape) -> Self {
        let Shape { hidden: h, batch: n, layers, .. } = shape;
        Self {
            lstm: vec![vec![0.0; 8 * h * h]; layers],
            key: vec![0.0; h * h],
            query: vec![0.0; h * h],
            dh: vec![vec![0.0; n * h]; layers],
            dc: vec![vec![0.0; n * h]; layers],
            fixed: vec![0.0; (1 + N_OPS) * 4 * h],
            projected: vec![0.0; shape.states() * n * 4 * h],
            keys: vec![0.0; shape.states() * n * h],
            queries: vec![0.0; shape.queries() * n * h],
            op_weight: vec![0.0; N_OPS * h],
        }
    }

    /// Writes `Σ coefficients[e] · ∇nll(arc e)` to `gradient`, laid out like the weights.
    ///
    /// Uses the tape up: its gates are overwritten.
    pub(crate) fn run(
        &mut self,
        weights: &Weights,
        heads: &Heads,
        tape: &mut Tape,
        coefficients: &[f32],
        gradient: &mut [f32],
    ) {
        gradient.fill(0.0);
        self.begin(weights);
        for at in (0..tape.moments.len()).rev() {
            let Moment { cell, step } = tape.moments[at];
            match step {
                Step::Key { state } => self.state(tape.shape, cell, state),
                Step::Index { node, side } => {
                    let d_score = &mut gradient[weights.layout.score()];
                    self.index(weights, tape, (cell, node, side), coefficients, d_score);
                }
                Step::Op { node, side } => {
                    let decision = tape.shape.decision(cell, node, side) + 1;
                    let d_bias = &mut gradient[weights.layout.op_bias()];
                    self.op(heads, tape, at, decision, coefficients, d_bias);
                }
            }
            self.lstm(tape, at, cell);
        }
        self.collect(weights, tape, gradient);
    }

    fn begin(&mut self, weights: &Weights) {
        let h = weights.layout.hidden;
        for (l, transposed) in self.lstm.iter_mut().enumerate() {
            transpose(weights.lstm(l), 4 * h, transposed);
        }
        transpose(weights.key(), h, &mut self.key);
        transpose(weights.query(), h, &mut self.query);
        let sums =
            [&mut self.fixed, &mut self.projected, &mut self.keys, &mut self.queries, &mut self.op_weight];
        for zeros in sums.into_iter().chain(&mut self.dh).chain(&mut self.dc) {
            zeros.fill(0.0);
        }
    }

    /// A state's output gets back what its key and its uses as an input received; all of them are later steps.
    fn state(&mut self, shape: Shape, cell: usize, state: usize) {
        if !shape.is_readable(state) {
            return;
        }
        let Shape { hidden: h, batch: n, .. } = shape;
        let slot = shape.state(cell, state);
        let dh = &mut self.dh[shape.layers - 1];
        multiply_add(Left::plain(&self.keys[slot * n * h..], h), (n, h, h), &self.key, h, dh);
        if state >= 2 {
            let uses = Left::plain(&self.projected[slot * n * 4 * h..], 4 * h);
            multiply_add(uses, (n, 4 * h, h), &self.lstm[0], 2 * h, dh);
        }
    }

    /// Back through the attention of an index decision.
    fn index(
        &mut self,
        weights: &Weights,
        tape: &Tape,
        (cell, node, side): (usize, usize, usize),
        coefficients: &[f32],
        d_score: &mut [f32],
    ) {
        let shape = tape.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
        let rows = shape.query(cell, node, side) * n * h;
        let decision = shape.decision(cell, node, side);
        for (e, &coefficient) in coefficients.iter().enumerate() {
            let d_query = &mut self.queries[rows + e * h..][..h];
            for state in 0..node + 2 {
                let (_, d) = d_logit_and_score(tape, decision, e, state, coefficient);
                let a = &tape.attention[((shape.pair(cell, node, side) + state) * n + e) * h..][..h];
                let d_key = &mut self.keys[(shape.state(cell, state) * n + e) * h..][..h];
                add_scaled(d_score, d, a);
                for (((d_query, d_key), &a), &v) in d_query.iter_mut().zip(d_key).zip(a).zip(weights.score())
                {
                    let d_sum = d * v * (1.0 - a * a);
                    *d_query += d_sum;
                    *d_key += d_sum;
                }
            }
        }
        let dh = &mut self.dh[shape.layers - 1];
        multiply_add(Left::plain(&self.queries[rows..], h), (n, h, h), &self.query, h, dh);
    }

    /// Back through the scores of an operation decision.
    fn op(
        &mut self,
        heads: &Heads,
        tape: &Tape,
        at: usize,
        decision: usize,
        coefficients: &[f32],
        d_bias: &mut [f32],
    ) {
        let h = tape.shape.hidden;
        let outputs = &tape.layers[tape.shape.layers - 1].h[tape.outputs(at)];
        for (e, (&coefficient, output)) in coefficients.iter().zip(outputs.chunks_exact(h)).enumerate() {
            for (op, d_bias) in d_bias.iter_mut().enumerate() {
                let (d_logit, d_score) = d_logit_and_score(tape, decision, e, op, coefficient);
                *d_bias += if heads.free_bias { d_logit } else { d_score };
                let row = op * h..(op + 1) * h;
                add_scaled(&mut self.op_weight[row.clone()], d_score, output);
                add_scaled(&mut self.dh[tape.shape.layers - 1][e * h..][..h], d_score, &tape.op_weight[row]);
            }
        }
    }

    /// Back through one LSTM step; leaves the gradients of the pre-activations in the tape.
    fn lstm(&mut self, tape: &mut Tape, at: usize, cell: usize) {
        let shape = tape.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
        for (l, layer) in tape.layers.iter_mut().enumerate().rev() {
            let gates = &mut layer.gates[at * n * 4 * h..][..n * 4 * h];
            let (c_before, tanh_c) = (&layer.c[at * n * h..], &layer.tanh_c[at * n * h..]);
            for (e, z) in gates.chunks_exact_mut(4 * h).enumerate() {
                let row = e * h..(e + 1) * h;
                let (dh, dc) = (&self.dh[l][row.clone()], &mut self.dc[l][row.clone()]);
                lstm::backward(z, &c_before[row.clone()], &tanh_c[row], dh, dc);
            }
            let (below, here) = self.dh.split_at_mut(l);
            let (z, w) = (Left::plain(gates, 4 * h), &self.lstm[l]);
            here[0].fill(0.0);
            multiply_add(z, (n, 4 * h, h), &w[h..], 2 * h, &mut here[0]);
            match below.last_mut() {
                Some(below) => multiply_add(z, (n, 4 * h, h), w, 2 * h, below),
                None => {
                    for (e, (z, &input)) in gates.chunks_exact(4 * h).zip(&tape.inputs[at * n..]).enumerate()
                    {
                        let sum = match input {
                            Input::Fixed(row) => &mut self.fixed[row * 4 * h..][..4 * h],
                            Input::State(state) => {
                                &mut self.projected[(shape.state(cell, state) * n + e) * 4 * h..][..4 * h]
                            }
                        };
                        add_scaled(sum, 1.0, z);
                    }
                }
            }
        }
    }

    /// The collected outer products.
    fn collect(&self, weights: &Weights, tape: &Tape, gradient: &mut [f32]) {
        let Shape { hidden: h, batch: n, nodes, .. } = tape.shape;
        let rows = tape.moments.len() * n;
        let layout: &Layout = &weights.layout;
        for (l, layer) in tape.layers.iter().enumerate() {
            let (from_input, from_before) = gradient[layout.lstm(l)].split_at_mut(h * 4 * h);
            let before = Left::transposed(&layer.h, h);
            multiply_add(before, (h, rows, 4 * h), &layer.gates, 4 * h, from_before);
            if l > 0 {
                let input = Left::transposed(&tape.layers[l - 1].h[n * h..], h);
                multiply_add(input, (h, rows, 4 * h), &layer.gates, 4 * h, from_input);
                continue;
            }
            let fixed = Left::transposed(weights.fixed_inputs(), h);
            multiply_add(fixed, (h, 1 + N_OPS, 4 * h), &self.fixed, 4 * h, from_input);
            for cell in 0..2 {
                // The cell's two inputs fed zeros, so only nodes' states count; the last node's is not readable.
                let first = tape.shape.state(cell, 2) * n;
                let states = Left::transposed(&tape.states[first * h..], h);
                let uses = &self.projected[first * 4 * h..];
                multiply_add(states, (h, (nodes - 1) * n, 4 * h), uses, 4 * h, from_input);
            }
        }
        let d_fixed = &mut gradient[layout.fixed_inputs()];
        multiply_add(Left::plain(&self.fixed, 4 * h), (1 + N_OPS, 4 * h, h), &self.lstm[0], 2 * h, d_fixed);
        let states = Left::transposed(&tape.states, h);
        multiply_add(states, (h, tape.shape.states() * n, h), &self.keys, h, &mut gradient[layout.key()]);
        let queries = Left::transposed(&tape.queries, h);
        multiply_add(
            queries,
            (h, tape.shape.queries() * n, h),
            &self.queries,
            h,
            &mut gradient[layout.query()],
        );
        transpose(&self.op_weight, h, &mut gradient[layout.op_weight()]);
    }
}

/// Gradient of `coefficient · nll` with respect to one choice's logit and to its score.
fn d_logit_and_score(
    tape: &Tape,
    decision: usize,
    episode: usize,
    choice: usize,
    coefficient: f32,
) -> (f32, f32) {
    let d = decision * tape.shape.batch + episode;
    let position = d * tape.shape.width() + choice;
    let chosen = if tape.decisions.choices[d] == choice { 1.0 } else { 0.0 };
    let d_logit = coefficient * (tape.decisions.probabilities[position] - chosen);
    (d_logit, d_logit * tape.decisions.slopes[position])
}
