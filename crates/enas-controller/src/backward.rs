//! The gradient of a rollout: backpropagation through time (BPTT), from the last LSTM step to the first.
//!
//! Method outline, for `L = Σ coefficients[e] · nll(arc e)` over a batch of arcs:
//!
//! 1. At a decision, the gradient of the logits is `coefficient · (p − one_hot(choice))`. Times the slope of the
//!    logit transform it becomes that of the scores.
//! 2. It flows back through the attention `tanh(key + query) · v`, or through the operation scores `h · w`, to the
//!    output of this step. Attention also adds to the gradients of the keys of earlier states.
//! 3. A step that made a state also receives the gradients of its key and of its uses as an LSTM input. All of these
//!    are later steps, so they are complete.
//! 4. The LSTM step is taken back. The gradients of its pre-activations overwrite the gates on the tape.
//! 5. A weight gradient is a sum of outer products, one per step. They are added at the end, in one matrix product
//!    per variable instead of one rank-1 update per step.

mod kernels;

use enas_simd::safe as simd;

use self::kernels::{AttentionBackward, InputBackward, OpScoresBackward};

use crate::dot_product::transpose;
use crate::gemm::{OUTER_TERMS, PackedMatrix, add_outer_products, multiply_add};
use crate::logits::LogitTransforms;
use crate::lstm;
use crate::plan::{IndexDecision, LstmStep, OpDecision, TapeShape};
use crate::tape::Tape;
use crate::weights::{Layout, Values};

/// Buffers for the gradients that flow back, kept between calls.
#[derive(Clone)]
pub(crate) struct Backward {
    /// Transposed LSTM matrices, packed for products `[4h, h]`: to the input, and to the previous output of each
    /// layer.
    to_input: Vec<PackedMatrix>,
    to_before: Vec<PackedMatrix>,
    /// Transposed key and query matrices, packed for products `[h, h]`.
    from_key: PackedMatrix,
    from_query: PackedMatrix,
    /// Buffers for [`add_outer_products`] of width 4h and h.
    outer_gates: PackedMatrix,
    outer: PackedMatrix,
    /// Gradients of one decision's logits and scores, `[batch, width]`.
    logits: Vec<f32>,
    scores: Vec<f32>,
    /// Gradients of the LSTM outputs and cells, `[batch, h]` per layer.
    dh: Vec<Vec<f32>>,
    dc: Vec<Vec<f32>>,
    /// Gradients of the products with the fixed inputs, `[1 + vocabulary, 4h]`.
    fixed: Vec<f32>,
    /// Gradients of the products with the states, `[states, batch, 4h]`.
    projected: Vec<f32>,
    /// Gradients of the keys, `[states, batch, h]`.
    keys: Vec<f32>,
    /// Gradients of the queries, `[queries, batch, h]`.
    queries: Vec<f32>,
    /// Gradients of the operation weights, transposed to `[vocabulary, h]`.
    op_weight: Vec<f32>,
}

impl Backward {
    pub(crate) fn new(shape: TapeShape) -> Self {
        let TapeShape { hidden: h, batch: n, layers, sizes } = shape;
        Self {
            to_input: vec![PackedMatrix::new(4 * h, h); layers],
            to_before: vec![PackedMatrix::new(4 * h, h); layers],
            from_key: PackedMatrix::new(h, h),
            from_query: PackedMatrix::new(h, h),
            outer_gates: PackedMatrix::new(OUTER_TERMS, 4 * h),
            outer: PackedMatrix::new(OUTER_TERMS, h),
            logits: vec![0.0; n * shape.width()],
            scores: vec![0.0; n * shape.width()],
            dh: vec![vec![0.0; n * h]; layers],
            dc: vec![vec![0.0; n * h]; layers],
            fixed: vec![0.0; (1 + sizes.vocabulary) * 4 * h],
            projected: vec![0.0; sizes.states * n * 4 * h],
            keys: vec![0.0; sizes.states * n * h],
            queries: vec![0.0; sizes.queries * n * h],
            op_weight: vec![0.0; sizes.vocabulary * h],
        }
    }

    /// Writes `Σ coefficients[e] · ∇nll(arc e)` to `gradient`, laid out like the weights.
    ///
    /// Consumes the tape: its gates are overwritten.
    pub(crate) fn run(
        &mut self,
        weights: &Values,
        transforms: &LogitTransforms,
        tape: &mut Tape,
        coefficients: &[f32],
        gradient: &mut [f32],
    ) {
        gradient.fill(0.0);
        self.load_weights(weights);
        for at in (0..tape.plan.lstm_steps.len()).rev() {
            match tape.plan.lstm_steps[at] {
                LstmStep::Key { slot, feeds } => self.state_backward(tape.shape, slot, feeds),
                LstmStep::Index(index) => {
                    let d_score = &mut gradient[weights.layout.score()];
                    self.index_backward(weights, tape, index, coefficients, d_score);
                }
                LstmStep::Op(op) => {
                    let d_bias = &mut gradient[weights.layout.op_bias()][op.range()];
                    self.op_backward(transforms, tape, at, op, coefficients, d_bias);
                }
            }
            self.lstm_backward(tape, at);
        }
        self.add_weight_gradients(weights, tape, gradient);
    }

    fn load_weights(&mut self, weights: &Values) {
        let h = weights.layout.hidden;
        for (l, (to_input, to_before)) in self.to_input.iter_mut().zip(&mut self.to_before).enumerate() {
            let (input, before) = weights.lstm(l).split_at(h * 4 * h);
            to_input.pack_transposed(input);
            to_before.pack_transposed(before);
        }
        self.from_key.pack_transposed(weights.key());
        self.from_query.pack_transposed(weights.query());
        let sums =
            [&mut self.fixed, &mut self.projected, &mut self.keys, &mut self.queries, &mut self.op_weight];
        for zeros in sums.into_iter().chain(&mut self.dh).chain(&mut self.dc) {
            zeros.fill(0.0);
        }
    }

    /// Adds to the gradient of a state's output what came back through its key and its uses as an input.
    fn state_backward(&mut self, shape: TapeShape, slot: Option<usize>, feeds: bool) {
        let Some(slot) = slot else { return };
        let TapeShape { hidden: h, batch: n, .. } = shape;
        let dh = &mut self.dh[shape.layers - 1];
        multiply_add(&self.keys[slot * n * h..], &self.from_key, dh);
        if feeds {
            multiply_add(&self.projected[slot * n * 4 * h..], &self.to_input[0], dh);
        }
    }

    /// Back through the attention of an index decision.
    fn index_backward(
        &mut self,
        weights: &Values,
        tape: &Tape,
        index: IndexDecision,
        coefficients: &[f32],
        d_score: &mut [f32],
    ) {
        let shape = tape.shape;
        let TapeShape { hidden: h, batch: n, .. } = shape;
        let rows = index.query * n * h;
        self.decision_backward(tape, index.decision, index.n_choices, coefficients);
        for state in 0..index.n_choices {
            let attention = AttentionBackward {
                hidden: h,
                width: shape.width(),
                d_scores: &self.scores[state..],
                a: &tape.attention[(index.pair + state) * n * h..][..n * h],
                v: weights.score(),
                d_v: d_score,
                d_query: &mut self.queries[rows..][..n * h],
                d_key: &mut self.keys[(index.slot + state) * n * h..][..n * h],
            };
            simd::run(attention);
        }
        let dh = &mut self.dh[shape.layers - 1];
        multiply_add(&self.queries[rows..], &self.from_query, dh);
    }

    /// Gradients of `coefficient · nll` with respect to the logits and the scores of a decision.
    fn decision_backward(&mut self, tape: &Tape, decision: usize, n_choices: usize, coefficients: &[f32]) {
        let TapeShape { batch: n, .. } = tape.shape;
        let width = tape.shape.width();
        let rows = tape.shape.row(decision);
        let probabilities = &tape.decisions.probabilities[rows.clone()];
        let slopes = &tape.decisions.slopes[rows];
        for (e, (&coefficient, &chosen)) in
            coefficients.iter().zip(&tape.decisions.choices[decision * n..]).enumerate()
        {
            let row = e * width..e * width + n_choices;
            let logits = &mut self.logits[row.clone()];
            let scores = &mut self.scores[row.clone()];
            // Softmax with cross entropy: the gradient of −ln p[chosen] is p − one_hot(chosen).
            logits.copy_from_slice(&probabilities[row.clone()]);
            logits[chosen] -= 1.0;
            logits.iter_mut().for_each(|d| *d *= coefficient);
            scores
                .iter_mut()
                .zip(logits)
                .zip(&slopes[row])
                .for_each(|((d, logit), slope)| *d = *logit * slope);
        }
    }

    /// Back through the scores of an operation decision.
    fn op_backward(
        &mut self,
        transforms: &LogitTransforms,
        tape: &Tape,
        at: usize,
        op: OpDecision,
        coefficients: &[f32],
        d_bias: &mut [f32],
    ) {
        self.decision_backward(tape, op.decision, op.n_choices, coefficients);
        let shape = tape.shape;
        let row = op.first * shape.hidden..(op.first + op.n_choices) * shape.hidden;
        // A free bias is added to the logits, any other one to the scores.
        let d = if transforms.free_bias { &self.logits } else { &self.scores };
        for d in d.chunks_exact(shape.width()) {
            d_bias.iter_mut().zip(d).for_each(|(d_bias, d)| *d_bias += d);
        }
        let operations = OpScoresBackward {
            hidden: shape.hidden,
            width: shape.width(),
            d_scores: &self.scores,
            outputs: &tape.layers[shape.layers - 1].h[tape.outputs(at)],
            weight: &tape.op_weight[row.clone()],
            d_weight: &mut self.op_weight[row],
            d_outputs: &mut self.dh[shape.layers - 1],
        };
        simd::run(operations);
    }

    /// Back through one LSTM step. Leaves the gradients of the pre-activations on the tape.
    fn lstm_backward(&mut self, tape: &mut Tape, at: usize) {
        let shape = tape.shape;
        let TapeShape { hidden: h, batch: n, .. } = shape;
        for (l, layer) in tape.layers.iter_mut().enumerate().rev() {
            let gates = &mut layer.gates[at * n * 4 * h..][..n * 4 * h];
            let back = lstm::Backward {
                hidden: h,
                gates,
                c_prev: &layer.c[at * n * h..],
                tanh_c: &layer.tanh_c[at * n * h..],
                dh: &self.dh[l],
                dc: &mut self.dc[l],
            };
            back.run();
            // The gradient of this output is used up; its buffer now receives that of the previous output.
            let (below, here) = self.dh.split_at_mut(l);
            here[0].fill(0.0);
            // The state before the first step is the constant zero.
            if at > 0 {
                multiply_add(gates, &self.to_before[l], &mut here[0]);
            }
            match below.last_mut() {
                Some(below) => multiply_add(gates, &self.to_input[l], below),
                None => {
                    let inputs = InputBackward {
                        shape,
                        inputs: &tape.inputs[at * n..],
                        gates,
                        fixed: &mut self.fixed,
                        projected: &mut self.projected,
                    };
                    simd::run(inputs);
                }
            }
        }
    }

    /// Adds up the outer products of all steps.
    fn add_weight_gradients(&mut self, weights: &Values, tape: &Tape, gradient: &mut [f32]) {
        let TapeShape { hidden: h, batch: n, .. } = tape.shape;
        let rows = tape.plan.lstm_steps.len() * n * h;
        let layout: &Layout = weights.layout;
        for (l, layer) in tape.layers.iter().enumerate() {
            let (from_input, from_before) = gradient[layout.lstm(l)].split_at_mut(h * 4 * h);
            // `h` starts with the initial state, so row s is the output before step s.
            let packed = &mut self.outer_gates;
            add_outer_products(&layer.h[..rows], &layer.gates, packed, from_before);
            if l > 0 {
                add_outer_products(&tape.layers[l - 1].h[n * h..], &layer.gates, packed, from_input);
                continue;
            }
            add_outer_products(&tape.fixed_inputs, &self.fixed, packed, from_input);
            // States that do not feed the LSTM have zero gradients here, so only ranges of feeding states are added.
            for range in &tape.plan.fed_ranges {
                let first = range.start * n * h;
                let size = range.len() * n * h;
                let uses = &self.projected[4 * first..][..4 * size];
                add_outer_products(&tape.states[first..][..size], uses, packed, from_input);
            }
        }
        multiply_add(&self.fixed, &self.to_input[0], &mut gradient[layout.fixed_inputs()]);
        add_outer_products(&tape.states, &self.keys, &mut self.outer, &mut gradient[layout.key()]);
        add_outer_products(&tape.queries, &self.queries, &mut self.outer, &mut gradient[layout.query()]);
        transpose(&self.op_weight, h, &mut gradient[layout.op_weight()]);
    }
}
