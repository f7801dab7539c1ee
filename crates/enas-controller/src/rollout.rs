//! The policy's rollout through the decisions of an arc, recorded on a tape for the backward pass.
//!
//! Sampling, scoring and taking the most likely arc share this code: a chooser is called at every decision. Several
//! arcs are computed in lockstep, which turns matrix-vector products into matrix products. Each arc's values are the
//! same, bit for bit, as if it were computed alone. `backward.rs` computes the gradients.
//!
//! Method outline:
//!
//! 1. Products of the fixed inputs (start symbol and operation embeddings) with the LSTM weights are computed once. A
//!    step then copies the row of its input and multiplies only the previous output.
//! 2. A state's products with the key matrix and with the LSTM's input weights are computed once, when it is made.
//! 3. An index decision scores each state by additive attention `tanh(key + query) · v`
//!    (`micro_controller.py:153-157`). An operation decision scores operations by `h · w`
//!    (`micro_controller.py:178`).
//! 4. [`DecisionSoftmax`] turns scores into probabilities. The choice becomes the next step's input.

use enas_simd::math;
use enas_simd::safe::{self as simd, Simd, WithSimd};

use crate::dot_product::{dot_products, transpose};
use crate::gemm::multiply_add;
use crate::logits::{DecisionSoftmax, LogitTransform, LogitTransforms};
use crate::lstm;
use crate::plan::{IndexDecision, LstmStep, OpDecision, TapeShape};
use crate::tape::{Decisions, Input, START, Tape};
use crate::weights::Values;

/// Makes a choice, given the arc's position in the batch, the decision's number and the probabilities of the choices.
pub(crate) type Chooser<'a> = &'a mut dyn FnMut(usize, usize, &[f32]) -> usize;

/// A decision whose scores are on the tape.
struct ScoredDecision {
    /// The LSTM step that makes it.
    step: usize,
    decision: usize,
    n_choices: usize,
    transform: LogitTransform,
    /// Number of choices whose logits get a constant added, from the tape's buffer.
    n_added: usize,
}

/// Runs through all decisions, calling `choose` at each.
pub(crate) fn rollout(weights: &Values, transforms: &LogitTransforms, tape: &mut Tape, choose: Chooser) {
    tape.load_weights(weights);
    for at in 0..tape.plan.lstm_steps.len() {
        tape.lstm_step(at);
        match tape.plan.lstm_steps[at] {
            LstmStep::Key { slot, feeds } => tape.store_state(at, slot, feeds),
            LstmStep::Index(index) => {
                tape.score_states(weights, at, index);
                let state = |choice| Input::State(index.slot + choice);
                let decision = ScoredDecision {
                    step: at,
                    decision: index.decision,
                    n_choices: index.n_choices,
                    transform: transforms.index,
                    n_added: 0,
                };
                tape.decide(&decision, choose, state);
            }
            LstmStep::Op(op) => {
                tape.set_added_logits(weights, transforms, op);
                tape.score_ops(weights, transforms, at, op);
                let operation = |choice| Input::Fixed(1 + op.first + choice);
                let decision = ScoredDecision {
                    step: at,
                    decision: op.decision,
                    n_choices: op.n_choices,
                    transform: transforms.op,
                    n_added: op.n_choices,
                };
                tape.decide(&decision, choose, operation);
            }
        }
    }
}

impl Tape {
    /// Everything that depends on the weights only.
    fn load_weights(&mut self, weights: &Values) {
        let h = self.shape.hidden;
        for (l, layer) in self.layers.iter_mut().enumerate() {
            let (from_input, from_before) = weights.lstm(l).split_at(h * 4 * h);
            layer.from_input.pack(from_input);
            layer.from_before.pack(from_before);
        }
        self.to_key.pack(weights.key());
        self.to_query.pack(weights.query());
        let (start, ops) = self.fixed_inputs.split_at_mut(h);
        start.copy_from_slice(weights.start());
        ops.copy_from_slice(weights.ops());
        self.fixed.fill(0.0);
        multiply_add(&self.fixed_inputs, &self.layers[0].from_input, &mut self.fixed);
        if self.shape.sizes.vocabulary > 0 {
            transpose(weights.op_weight(), self.shape.sizes.vocabulary, &mut self.op_weight);
        }
    }

    /// One LSTM step of every arc, through all layers.
    fn lstm_step(&mut self, at: usize) {
        let TapeShape { hidden: h, batch: n, .. } = self.shape;
        for l in 0..self.layers.len() {
            let (below, here) = self.layers.split_at_mut(l);
            let layer = &mut here[0];
            let gates = &mut layer.gates[at * n * 4 * h..][..n * 4 * h];
            match below.last() {
                None => {
                    // First layer: the product of the input with its weights is already known.
                    for (e, (z, &input)) in
                        gates.chunks_exact_mut(4 * h).zip(&self.inputs[at * n..]).enumerate()
                    {
                        z.copy_from_slice(match input {
                            Input::Fixed(row) => &self.fixed[row * 4 * h..][..4 * h],
                            Input::State(slot) => &self.projected[(slot * n + e) * 4 * h..][..4 * h],
                        });
                    }
                }
                Some(below) => {
                    gates.fill(0.0);
                    multiply_add(&below.h[(at + 1) * n * h..], &layer.from_input, gates);
                }
            }
            // Adds the product of the previous output, which completes the pre-activations.
            let (h_before, h_after) = layer.h.split_at_mut((at + 1) * n * h);
            multiply_add(&h_before[at * n * h..], &layer.from_before, gates);
            let (c_before, c_after) = layer.c.split_at_mut((at + 1) * n * h);
            let forward = lstm::Forward {
                hidden: h,
                gates,
                c_prev: &c_before[at * n * h..],
                c: &mut c_after[..n * h],
                tanh_c: &mut layer.tanh_c[at * n * h..][..n * h],
                h: &mut h_after[..n * h],
            };
            forward.run();
        }
    }

    /// Stores a state's output and computes what later steps need of it.
    fn store_state(&mut self, at: usize, slot: Option<usize>, feeds: bool) {
        let TapeShape { hidden: h, batch: n, .. } = self.shape;
        let outputs = self.outputs(at);
        self.inputs[(at + 1) * n..][..n].fill(START);
        let Some(slot) = slot else { return };
        let rows = slot * n * h..(slot + 1) * n * h;
        let output = &self.layers[self.shape.layers - 1].h[outputs];
        self.states[rows.clone()].copy_from_slice(output);
        let keys = &mut self.keys[rows.clone()];
        keys.fill(0.0);
        multiply_add(output, &self.to_key, keys);
        // Quirk of the authors' code: choosing one of the two inputs of a cell feeds zeros to the LSTM, although its
        // attention key is computed (`micro_controller.py:138-140`).
        if feeds {
            let projected = &mut self.projected[4 * rows.start..4 * rows.end];
            projected.fill(0.0);
            multiply_add(output, &self.layers[0].from_input, projected);
        }
    }

    /// Scores of the states that can be chosen: `tanh(key + query) · v`.
    fn score_states(&mut self, weights: &Values, at: usize, index: IndexDecision) {
        let shape = self.shape;
        let TapeShape { hidden: h, batch: n, .. } = shape;
        let rows = index.query * n * h;
        let outputs = self.outputs(at);
        let outputs = &self.layers[shape.layers - 1].h[outputs];
        self.queries[rows..][..n * h].copy_from_slice(outputs);
        self.query.fill(0.0);
        multiply_add(outputs, &self.to_query, &mut self.query);
        let scores = &mut self.decisions.scores[shape.row(index.decision)];
        for state in 0..index.n_choices {
            let keys = &self.keys[(index.slot + state) * n * h..][..n * h];
            let attention = &mut self.attention[(index.pair + state) * n * h..][..n * h];
            simd::run(AttentionForward { a: keys, b: &self.query, out: attention });
            dot_products(attention, weights.score(), h, &mut scores[state..], shape.width());
        }
    }

    /// Scores of the operations: `h · w`, plus the bias if it belongs inside the tanh.
    fn score_ops(&mut self, weights: &Values, transforms: &LogitTransforms, at: usize, op: OpDecision) {
        let shape = self.shape;
        let outputs = self.outputs(at);
        let scores = &mut self.decisions.scores[shape.row(op.decision)];
        let outputs = &self.layers[shape.layers - 1].h[outputs];
        let op_weight = &self.op_weight[op.first * shape.hidden..][..op.n_choices * shape.hidden];
        dot_products(outputs, op_weight, shape.hidden, scores, shape.width());
        if !transforms.free_bias {
            for scores in scores.chunks_exact_mut(shape.width()) {
                scores
                    .iter_mut()
                    .zip(&weights.op_bias()[op.range()])
                    .for_each(|(score, bias)| *score += bias);
            }
        }
    }

    /// Constants added to the operation logits after temperature and bound.
    fn set_added_logits(&mut self, weights: &Values, transforms: &LogitTransforms, op: OpDecision) {
        let added = &mut self.added[..op.n_choices];
        added.copy_from_slice(self.plan.constant_bias(op));
        if transforms.free_bias {
            added.iter_mut().zip(&weights.op_bias()[op.range()]).for_each(|(added, bias)| *added += bias);
        }
    }

    /// Turns scores into probabilities, calls `choose`, and makes the choice the next step's input.
    fn decide(&mut self, decision: &ScoredDecision, choose: Chooser, next: impl Fn(usize) -> Input) {
        let ScoredDecision { step, decision, n_choices, transform, n_added } = *decision;
        let n = self.shape.batch;
        let width = self.shape.width();
        let rows = self.shape.row(decision);
        let arcs = decision * n..(decision + 1) * n;
        let Decisions { scores, logits, probabilities, slopes, choices, nll, entropy } = &mut self.decisions;
        let logits = &mut logits[rows.clone()];
        let probabilities = &mut probabilities[rows.clone()];
        let nll = &mut nll[arcs.clone()];
        let softmax = DecisionSoftmax {
            transform,
            added: &self.added[..n_added],
            n_choices,
            width,
            scores: &scores[rows.clone()],
            logits,
            slopes: &mut slopes[rows],
            probabilities,
            log_sums: nll,
            entropy: &mut entropy[arcs.clone()],
        };
        softmax.run();
        for (e, d) in arcs.enumerate() {
            let choice = choose(e, decision, &probabilities[e * width..][..n_choices]);
            choices[d] = choice;
            nll[e] -= logits[e * width + choice];
            self.inputs[(step + 1) * n + e] = next(choice);
        }
    }
}

/// Writes `tanh(a + b)` element by element.
struct AttentionForward<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for AttentionForward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = math::tanh::<S>(a + b);
        }
    }
}
