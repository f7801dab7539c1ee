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

use crate::heads::Heads;
use crate::lstm;
use crate::matrix::{OUTER_TERMS, Panels, add_outer_products, add_scaled, multiply_add, transpose};
use crate::plan::{Index, Moment, Operation, Shape};
use crate::walk::{Input, Tape};
use crate::weights::{Layout, Values};
use enas_simd::safe::{self as simd, Simd, WithSimd, mul_add};

/// Buffers for the gradients that flow back, kept between calls.
#[derive(Clone)]
pub(crate) struct Backward {
    /// Transposed LSTM matrices, packed for products `[4h, h]`: to the input, and to the previous output of each
    /// layer.
    to_input: Vec<Panels>,
    to_before: Vec<Panels>,
    /// Transposed key and query matrices, packed for products `[h, h]`.
    from_key: Panels,
    from_query: Panels,
    /// Buffers for [`add_outer_products`] of width 4h and h.
    outer_gates: Panels,
    outer: Panels,
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
    pub(crate) fn new(shape: Shape) -> Self {
        let Shape { hidden: h, batch: n, layers, sizes } = shape;
        Self {
            to_input: vec![Panels::new(4 * h, h); layers],
            to_before: vec![Panels::new(4 * h, h); layers],
            from_key: Panels::new(h, h),
            from_query: Panels::new(h, h),
            outer_gates: Panels::new(OUTER_TERMS, 4 * h),
            outer: Panels::new(OUTER_TERMS, h),
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
        heads: &Heads,
        tape: &mut Tape,
        coefficients: &[f32],
        gradient: &mut [f32],
    ) {
        gradient.fill(0.0);
        self.begin(weights);
        for at in (0..tape.plan.moments.len()).rev() {
            match tape.plan.moments[at] {
                Moment::Key { slot, feeds } => self.state(tape.shape, slot, feeds),
                Moment::Index(index) => {
                    let d_score = &mut gradient[weights.layout.score()];
                    self.index(weights, tape, index, coefficients, d_score);
                }
                Moment::Op(op) => {
                    let d_bias = &mut gradient[weights.layout.op_bias()][op.range()];
                    self.op(heads, tape, at, op, coefficients, d_bias);
                }
            }
            self.lstm(tape, at);
        }
        self.collect(weights, tape, gradient);
    }

    fn begin(&mut self, weights: &Values) {
        let h = weights.layout.hidden;
        for (l, (to_input, to_before)) in self.to_input.iter_mut().zip(&mut self.to_before).enumerate() {
            let (input, before) = weights.lstm(l).split_at(h * 4 * h);
            to_input.set_transposed(input);
            to_before.set_transposed(before);
        }
        self.from_key.set_transposed(weights.key());
        self.from_query.set_transposed(weights.query());
        let sums =
            [&mut self.fixed, &mut self.projected, &mut self.keys, &mut self.queries, &mut self.op_weight];
        for zeros in sums.into_iter().chain(&mut self.dh).chain(&mut self.dc) {
            zeros.fill(0.0);
        }
    }

    /// Adds to the gradient of a state's output what came back through its key and its uses as an input.
    fn state(&mut self, shape: Shape, slot: Option<usize>, feeds: bool) {
        let Some(slot) = slot else { return };
        let Shape { hidden: h, batch: n, .. } = shape;
        let dh = &mut self.dh[shape.layers - 1];
        multiply_add(&self.keys[slot * n * h..], &self.from_key, dh);
        if feeds {
            multiply_add(&self.projected[slot * n * 4 * h..], &self.to_input[0], dh);
        }
    }

    /// Back through the attention of an index decision.
    fn index(
        &mut self,
        weights: &Values,
        tape: &Tape,
        index: Index,
        coefficients: &[f32],
        d_score: &mut [f32],
    ) {
        let shape = tape.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
        let rows = index.query * n * h;
        self.decision(tape, index.decision, index.n_choices, coefficients);
        for state in 0..index.n_choices {
            let attention = Attention {
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
    fn decision(&mut self, tape: &Tape, decision: usize, n_choices: usize, coefficients: &[f32]) {
        let Shape { batch: n, .. } = tape.shape;
        let (width, rows) = (tape.shape.width(), tape.shape.row(decision));
        let (probabilities, slopes) =
            (&tape.decisions.probabilities[rows.clone()], &tape.decisions.slopes[rows]);
        for (e, (&coefficient, &chosen)) in
            coefficients.iter().zip(&tape.decisions.choices[decision * n..]).enumerate()
        {
            let row = e * width..e * width + n_choices;
            let (logits, scores) = (&mut self.logits[row.clone()], &mut self.scores[row.clone()]);
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
    fn op(
        &mut self,
        heads: &Heads,
        tape: &Tape,
        at: usize,
        op: Operation,
        coefficients: &[f32],
        d_bias: &mut [f32],
    ) {
        self.decision(tape, op.decision, op.n_choices, coefficients);
        let shape = tape.shape;
        let row = op.first * shape.hidden..(op.first + op.n_choices) * shape.hidden;
        // A free bias is added to the logits, any other one to the scores.
        let d = if heads.free_bias { &self.logits } else { &self.scores };
        for d in d.chunks_exact(shape.width()) {
            d_bias.iter_mut().zip(d).for_each(|(d_bias, d)| *d_bias += d);
        }
        let operations = Operations {
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
    fn lstm(&mut self, tape: &mut Tape, at: usize) {
        let shape = tape.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
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
                    let inputs = Inputs {
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
    fn collect(&mut self, weights: &Values, tape: &Tape, gradient: &mut [f32]) {
        let Shape { hidden: h, batch: n, .. } = tape.shape;
        let rows = tape.plan.moments.len() * n * h;
        let layout: &Layout = weights.layout;
        for (l, layer) in tape.layers.iter().enumerate() {
            let (from_input, from_before) = gradient[layout.lstm(l)].split_at_mut(h * 4 * h);
            // `h` starts with the initial state, so row s is the output before step s.
            let space = &mut self.outer_gates;
            add_outer_products(&layer.h[..rows], &layer.gates, space, from_before);
            if l > 0 {
                add_outer_products(&tape.layers[l - 1].h[n * h..], &layer.gates, space, from_input);
                continue;
            }
            add_outer_products(&tape.fixed_inputs, &self.fixed, space, from_input);
            // States that do not feed the LSTM have zero gradients here, so only ranges of feeding states are added.
            for run in &tape.plan.fed {
                let (first, size) = (run.start * n * h, run.len() * n * h);
                let uses = &self.projected[4 * first..][..4 * size];
                add_outer_products(&tape.states[first..][..size], uses, space, from_input);
            }
        }
        multiply_add(&self.fixed, &self.to_input[0], &mut gradient[layout.fixed_inputs()]);
        add_outer_products(&tape.states, &self.keys, &mut self.outer, &mut gradient[layout.key()]);
        add_outer_products(&tape.queries, &self.queries, &mut self.outer, &mut gradient[layout.query()]);
        transpose(&self.op_weight, h, &mut gradient[layout.op_weight()]);
    }
}

/// Back through `tanh(key + query) · v` for one state, of several arcs.
struct Attention<'a> {
    hidden: usize,
    /// Distance between the scores of neighbouring arcs.
    width: usize,
    d_scores: &'a [f32],
    /// tanh(key + query), `[batch, h]`; `d_query` and `d_key` have the same shape.
    a: &'a [f32],
    /// `[h]`, as `d_v`.
    v: &'a [f32],
    d_v: &'a mut [f32],
    d_query: &'a mut [f32],
    d_key: &'a mut [f32],
}

impl WithSimd for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let h = self.hidden;
        let gradients = self.d_query.chunks_exact_mut(h).zip(self.d_key.chunks_exact_mut(h));
        for ((a, d), (d_query, d_key)) in
            self.a.chunks_exact(h).zip(self.d_scores.iter().step_by(self.width)).zip(gradients)
        {
            add_scaled::<S>(self.d_v, *d, a);
            for (((d_query, d_key), &a), v) in d_query.iter_mut().zip(d_key).zip(a).zip(self.v) {
                // The slope of tanh at value a is 1 − a².
                let d_sum = d * v * mul_add::<S>(-a, a, 1.0);
                *d_query += d_sum;
                *d_key += d_sum;
            }
        }
    }
}

/// Back through the scores of the operations, `output · weight`, of several arcs.
struct Operations<'a> {
    hidden: usize,
    /// Distance between the scores of neighbouring arcs.
    width: usize,
    d_scores: &'a [f32],
    /// `[batch, h]`, as `d_outputs`.
    outputs: &'a [f32],
    /// `[choices, h]`, as `d_weight`.
    weight: &'a [f32],
    d_weight: &'a mut [f32],
    d_outputs: &'a mut [f32],
}

impl WithSimd for Operations<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let h = self.hidden;
        let outputs = self.outputs.chunks_exact(h).zip(self.d_outputs.chunks_exact_mut(h));
        for (d, (output, d_output)) in self.d_scores.chunks_exact(self.width).zip(outputs) {
            let weights = self.weight.chunks_exact(h).zip(self.d_weight.chunks_exact_mut(h));
            for (&d, (weight, d_weight)) in d.iter().zip(weights) {
                add_scaled::<S>(d_weight, d, output);
                add_scaled::<S>(d_output, d, weight);
            }
        }
    }
}

/// Adds the pre-activation gradients of one step to the sum of the input that each arc read.
struct Inputs<'a> {
    shape: Shape,
    inputs: &'a [Input],
    /// `[batch, 4h]`.
    gates: &'a [f32],
    fixed: &'a mut [f32],
    projected: &'a mut [f32],
}

impl WithSimd for Inputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = 4 * self.shape.hidden;
        for (e, (gates, &input)) in self.gates.chunks_exact(width).zip(self.inputs).enumerate() {
            let sum = match input {
                Input::Fixed(row) => &mut self.fixed[row * width..],
                Input::State(slot) => &mut self.projected[(slot * self.shape.batch + e) * width..],
            };
            sum.iter_mut().zip(gates).for_each(|(sum, d)| *sum += d);
        }
    }
}
