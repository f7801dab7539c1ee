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
//! 4. [`Decide`] turns scores into probabilities. The choice becomes the next step's input.

use std::sync::Arc as SyncArc;

use crate::heads::{Decide, Heads, Squash};
use crate::lstm;
use crate::matrix::{Panels, dots, multiply_add, transpose};
use crate::plan::{Index, Moment, Operation, Plan, Shape};
use crate::weights::Values;
use enas_simd::math;
use enas_simd::safe::{self as simd, Simd, WithSimd};

/// Makes a choice, given the arc's position in the batch, the decision's number and the probabilities of the choices.
pub(crate) type Chooser<'a> = &'a mut dyn FnMut(usize, usize, &[f32]) -> usize;

/// The input of an LSTM step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A row of the fixed inputs: 0 for the start symbol, 1 + k for operation k.
    Fixed(usize),
    /// The output of the state with this slot; zeros for states that do not feed the LSTM.
    State(usize),
}

const START: Input = Input::Fixed(0);

/// All values of one rollout. Arrays are row-major, `[.., batch, ..]`.
#[derive(Clone)]
pub(crate) struct Tape {
    pub(crate) shape: Shape,
    pub(crate) plan: SyncArc<Plan>,
    pub(crate) layers: Vec<LayerTape>,
    /// The input of each step, `[steps + 1, batch]`.
    pub(crate) inputs: Vec<Input>,
    /// Key and query matrices `[h, h]`, packed for products (`w_attn_1`, `w_attn_2`).
    to_key: Panels,
    to_query: Panels,
    /// The inputs that are variables, `[1 + vocabulary, h]`: the start symbol, then one row per operation.
    pub(crate) fixed_inputs: Vec<f32>,
    /// Products of the fixed inputs with the first layer's weights, `[1 + vocabulary, 4h]`.
    fixed: Vec<f32>,
    /// Output of every state that can be chosen, `[states, batch, h]`.
    pub(crate) states: Vec<f32>,
    /// Products of the states with the first layer's weights, `[states, batch, 4h]`; zeros for states that do not
    /// feed the LSTM.
    projected: Vec<f32>,
    /// Attention keys, `[states, batch, h]`.
    keys: Vec<f32>,
    /// LSTM outputs at the index decisions, `[queries, batch, h]`.
    pub(crate) queries: Vec<f32>,
    /// tanh(key + query) of every state that an index decision can choose, `[pairs, batch, h]`.
    pub(crate) attention: Vec<f32>,
    /// Operation weights, transposed to `[vocabulary, h]`.
    pub(crate) op_weight: Vec<f32>,
    pub(crate) decisions: Decisions,
    /// Buffer for the queries of one step, `[batch, h]`.
    query: Vec<f32>,
    /// Buffer for constants added to the logits of one decision, `[width]`.
    added: Vec<f32>,
}

/// One LSTM layer at every step. Index 0 is the initial state, so step s reads `[s]` and writes `[s + 1]`.
#[derive(Clone)]
pub(crate) struct LayerTape {
    /// The weights, packed for products `[h, 4h]`: from the input, and from the previous output.
    from_input: Panels,
    from_before: Panels,
    /// Activated gates i, f, o, g, `[steps, batch, 4h]`.
    pub(crate) gates: Vec<f32>,
    /// `[steps + 1, batch, h]`.
    pub(crate) c: Vec<f32>,
    /// `[steps, batch, h]`.
    pub(crate) tanh_c: Vec<f32>,
    /// `[steps + 1, batch, h]`.
    pub(crate) h: Vec<f32>,
}

/// The values of every decision, `[decisions, batch, width]` or `[decisions, batch]`.
#[derive(Clone)]
pub(crate) struct Decisions {
    pub(crate) scores: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) probabilities: Vec<f32>,
    /// Derivative of each logit with respect to its score.
    pub(crate) slopes: Vec<f32>,
    pub(crate) choices: Vec<usize>,
    /// −ln of the probability of the choice.
    pub(crate) nll: Vec<f32>,
    /// Entropy of the choices, in nats.
    pub(crate) entropy: Vec<f32>,
}

/// Runs through all decisions, calling `choose` at each.
pub(crate) fn walk(weights: &Values, heads: &Heads, tape: &mut Tape, choose: Chooser) {
    tape.begin(weights);
    for at in 0..tape.plan.moments.len() {
        tape.lstm(at);
        match tape.plan.moments[at] {
            Moment::Key { slot, feeds } => tape.remember(at, slot, feeds),
            Moment::Index(index) => {
                tape.score_states(weights, at, index);
                let state = |choice| Input::State(index.slot + choice);
                tape.decide(at, index.decision, index.n_choices, heads.index, 0, choose, state);
            }
            Moment::Op(op) => {
                tape.add_to_logits(weights, heads, op);
                tape.score_ops(weights, heads, at, op);
                let operation = |choice| Input::Fixed(1 + op.first + choice);
                tape.decide(at, op.decision, op.n_choices, heads.op, op.n_choices, choose, operation);
            }
        }
    }
}

impl Tape {
    /// Memory for a rollout. A rollout allocates nothing else.
    pub(crate) fn new(plan: &SyncArc<Plan>, shape: Shape) -> Self {
        let Shape { hidden: h, batch: n, sizes, .. } = shape;
        let zeros = |rows: usize, width: usize| vec![0.0; rows * n * width];
        let steps = sizes.steps;
        let layer = || LayerTape {
            from_input: Panels::new(h, 4 * h),
            from_before: Panels::new(h, 4 * h),
            gates: zeros(steps, 4 * h),
            c: zeros(steps + 1, h),
            tanh_c: zeros(steps, h),
            h: zeros(steps + 1, h),
        };
        let (decisions, width) = (sizes.decisions, sizes.width);
        Self {
            shape,
            plan: SyncArc::clone(plan),
            layers: (0..shape.layers).map(|_| layer()).collect(),
            inputs: vec![START; (steps + 1) * n],
            to_key: Panels::new(h, h),
            to_query: Panels::new(h, h),
            fixed_inputs: vec![0.0; (1 + sizes.vocabulary) * h],
            fixed: vec![0.0; (1 + sizes.vocabulary) * 4 * h],
            states: zeros(sizes.states, h),
            projected: zeros(sizes.states, 4 * h),
            keys: zeros(sizes.states, h),
            queries: zeros(sizes.queries, h),
            attention: zeros(sizes.pairs, h),
            op_weight: vec![0.0; sizes.vocabulary * h],
            decisions: Decisions {
                scores: zeros(decisions, width),
                logits: zeros(decisions, width),
                probabilities: zeros(decisions, width),
                slopes: zeros(decisions, width),
                choices: vec![0; decisions * n],
                nll: zeros(decisions, 1),
                entropy: zeros(decisions, 1),
            },
            query: zeros(1, h),
            added: vec![0.0; width],
        }
    }

    /// Everything that depends on the weights only.
    fn begin(&mut self, weights: &Values) {
        let h = self.shape.hidden;
        for (l, layer) in self.layers.iter_mut().enumerate() {
            let (from_input, from_before) = weights.lstm(l).split_at(h * 4 * h);
            layer.from_input.set(from_input);
            layer.from_before.set(from_before);
        }
        self.to_key.set(weights.key());
        self.to_query.set(weights.query());
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
    fn lstm(&mut self, at: usize) {
        let Shape { hidden: h, batch: n, .. } = self.shape;
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

    /// Position in [`LayerTape::h`] of the outputs `[batch, h]` of a step.
    pub(crate) fn outputs(&self, at: usize) -> std::ops::Range<usize> {
        let size = self.shape.batch * self.shape.hidden;
        (at + 1) * size..(at + 2) * size
    }

    /// Stores a state's output and computes what later steps need of it.
    fn remember(&mut self, at: usize, slot: Option<usize>, feeds: bool) {
        let Shape { hidden: h, batch: n, .. } = self.shape;
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
    fn score_states(&mut self, weights: &Values, at: usize, index: Index) {
        let shape = self.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
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
            simd::run(TanhOfSum { a: keys, b: &self.query, out: attention });
            dots(attention, weights.score(), h, &mut scores[state..], shape.width());
        }
    }

    /// Scores of the operations: `h · w`, plus the bias if it belongs inside the tanh.
    fn score_ops(&mut self, weights: &Values, heads: &Heads, at: usize, op: Operation) {
        let shape = self.shape;
        let outputs = self.outputs(at);
        let scores = &mut self.decisions.scores[shape.row(op.decision)];
        let outputs = &self.layers[shape.layers - 1].h[outputs];
        let op_weight = &self.op_weight[op.first * shape.hidden..][..op.n_choices * shape.hidden];
        dots(outputs, op_weight, shape.hidden, scores, shape.width());
        if !heads.free_bias {
            for scores in scores.chunks_exact_mut(shape.width()) {
                scores
                    .iter_mut()
                    .zip(&weights.op_bias()[op.range()])
                    .for_each(|(score, bias)| *score += bias);
            }
        }
    }

    /// Constants added to the operation logits after temperature and bound.
    fn add_to_logits(&mut self, weights: &Values, heads: &Heads, op: Operation) {
        let added = &mut self.added[..op.n_choices];
        added.copy_from_slice(self.plan.constant_bias(op));
        if heads.free_bias {
            added.iter_mut().zip(&weights.op_bias()[op.range()]).for_each(|(added, bias)| *added += bias);
        }
    }

    /// Turns scores into probabilities, calls `choose`, and makes the choice the next step's input.
    #[expect(clippy::too_many_arguments, reason = "private, and both callers read as a table")]
    fn decide(
        &mut self,
        at: usize,
        decision: usize,
        n_choices: usize,
        squash: Squash,
        n_added: usize,
        choose: Chooser,
        next: impl Fn(usize) -> Input,
    ) {
        let (n, width) = (self.shape.batch, self.shape.width());
        let (rows, arcs) = (self.shape.row(decision), decision * n..(decision + 1) * n);
        let Decisions { scores, logits, probabilities, slopes, choices, nll, entropy } = &mut self.decisions;
        let (logits, probabilities) = (&mut logits[rows.clone()], &mut probabilities[rows.clone()]);
        let nll = &mut nll[arcs.clone()];
        let decide = Decide {
            squash,
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
        decide.run();
        for (e, d) in arcs.enumerate() {
            let choice = choose(e, decision, &probabilities[e * width..][..n_choices]);
            choices[d] = choice;
            nll[e] -= logits[e * width + choice];
            self.inputs[(at + 1) * n + e] = next(choice);
        }
    }

    /// The choices for one arc, in the order of its integers.
    pub(crate) fn choices(&self, episode: usize) -> impl Iterator<Item = usize> {
        self.decisions.choices.iter().skip(episode).step_by(self.shape.batch).copied()
    }

    /// −ln of the probability of one arc, and the sum of its decisions' entropies, in nats.
    pub(crate) fn totals(&self, episode: usize) -> (f64, f64) {
        let total = |per_decision: &[f32]| {
            per_decision.iter().skip(episode).step_by(self.shape.batch).map(|&x| f64::from(x)).sum()
        };
        (total(&self.decisions.nll), total(&self.decisions.entropy))
    }
}

/// Writes `tanh(a + b)` element by element.
struct TanhOfSum<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for TanhOfSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = math::tanh::<S>(a + b);
        }
    }
}
