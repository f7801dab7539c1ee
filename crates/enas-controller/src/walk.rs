//! The policy's walk through the decisions of an arc, written down so that it can be taken back.
//!
//! One walk serves sampling, scoring and taking the likeliest arc: a chooser is asked at every decision. Several arcs
//! are walked in lockstep, which makes matrix products out of matrix-vector ones; each arc's numbers are the same to
//! the bit as when it is walked alone. Gradients are in `backward.rs`.

use crate::heads::{self, Heads, NORMAL_CELL_BIAS, Squash};
use crate::matrix::{Left, add_scaled, dot, multiply_add, transpose};
use crate::plan::{Moment, Shape, Step, moments};
use crate::weights::{N_OPS, Weights};
use crate::{lstm, math};

/// Chooses at a decision, given the arc's position in the batch, the decision's position among the arc's integers and
/// the probabilities of the choices.
pub(crate) type Chooser<'a> = &'a mut dyn FnMut(usize, usize, &[f32]) -> usize;

/// What an LSTM step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A row of the fixed inputs: 0 the start symbol, 1 + k operation k.
    Fixed(usize),
    /// The output of a state of the current cell; nothing but zeros for states 0 and 1.
    State(usize),
}

const START: Input = Input::Fixed(0);

/// Everything one walk computed. Arrays are row-major, `[.., batch, ..]`.
#[derive(Clone)]
pub(crate) struct Tape {
    pub(crate) shape: Shape,
    pub(crate) moments: Vec<Moment>,
    pub(crate) layers: Vec<LayerTape>,
    /// What each step reads, `[steps + 1, batch]`.
    pub(crate) inputs: Vec<Input>,
    /// Products of the fixed inputs with the first layer's weights, `[1 + N_OPS, 4h]`.
    fixed: Vec<f32>,
    /// Output of every readable state, `[states, batch, h]`.
    pub(crate) states: Vec<f32>,
    /// Products of the states with the first layer's weights, `[states, batch, 4h]`; zeros for the cells' inputs.
    projected: Vec<f32>,
    /// Attention keys, `[states, batch, h]`.
    keys: Vec<f32>,
    /// LSTM outputs at the index decisions, `[queries, batch, h]`.
    pub(crate) queries: Vec<f32>,
    /// tanh(key + query) of every state an index decision can choose, `[pairs, batch, h]`.
    pub(crate) attention: Vec<f32>,
    /// Operation weights, transposed to `[N_OPS, h]`.
    pub(crate) op_weight: Vec<f32>,
    pub(crate) decisions: Decisions,
    /// Scratch for the queries of one step, `[batch, h]`.
    query: Vec<f32>,
}

/// One LSTM layer at every step. States start at step 0, so step s reads `[s]` and writes `[s + 1]`.
#[derive(Clone)]
pub(crate) struct LayerTape {
    /// Activated gates i, f, o, g, `[steps, batch, 4h]`.
    pub(crate) gates: Vec<f32>,
    /// `[steps + 1, batch, h]`.
    pub(crate) c: Vec<f32>,
    /// `[steps, batch, h]`.
    pub(crate) tanh_c: Vec<f32>,
    /// `[steps + 1, batch, h]`.
    pub(crate) h: Vec<f32>,
}

/// Every decision's numbers, `[decisions, batch, width]` or `[decisions, batch]`.
#[derive(Clone)]
pub(crate) struct Decisions {
    pub(crate) scores: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) probabilities: Vec<f32>,
    /// Slope of each logit with respect to its score.
    pub(crate) slopes: Vec<f32>,
    pub(crate) choices: Vec<usize>,
    /// -ln of the probability of the choice.
    pub(crate) nll: Vec<f32>,
    /// Entropy of the choices, in nats.
    pub(crate) entropy: Vec<f32>,
}

/// Walks through all decisions, asking `choose` at each.
pub(crate) fn walk(weights: &Weights, heads: &Heads, tape: &mut Tape, choose: Chooser) {
    tape.begin(weights);
    for (at, Moment { cell, step }) in tape.moments.clone().into_iter().enumerate() {
        tape.lstm(weights, at, cell);
        match step {
            Step::Key { state } => tape.remember(weights, at, cell, state),
            Step::Index { node, side } => {
                tape.score_states(weights, at, cell, node, side);
                let decision = tape.shape.decision(cell, node, side);
                tape.decide(at, decision, node + 2, heads.index, &[], choose, Input::State);
            }
            Step::Op { node, side } => {
                let decision = tape.shape.decision(cell, node, side) + 1;
                let added = added_to_op_logits(weights, heads, cell);
                tape.score_ops(weights, heads, at, decision);
                tape.decide(at, decision, N_OPS, heads.op, &added, choose, |op| Input::Fixed(1 + op));
            }
        }
    }
}

fn added_to_op_logits(weights: &Weights, heads: &Heads, cell: usize) -> [f32; N_OPS] {
    let mut added = if cell == 0 { NORMAL_CELL_BIAS } else { [0.0; N_OPS] };
    if heads.free_bias {
        add_scaled(&mut added, 1.0, weights.op_bias());
    }
    added
}

impl Tape {
    /// Space for a walk; the only allocation it needs.
    pub(crate) fn new(shape: Shape) -> Self {
        let Shape { hidden: h, batch: n, .. } = shape;
        let zeros = |rows: usize, width: usize| vec![0.0; rows * n * width];
        let steps = shape.steps();
        let layer = || LayerTape {
            gates: zeros(steps, 4 * h),
            c: zeros(steps + 1, h),
            tanh_c: zeros(steps, h),
            h: zeros(steps + 1, h),
        };
        let (decisions, width) = (shape.decisions(), shape.width());
        Self {
            shape,
            moments: moments(shape.nodes),
            layers: (0..shape.layers).map(|_| layer()).collect(),
            inputs: vec![START; (steps + 1) * n],
            fixed: vec![0.0; (1 + N_OPS) * 4 * h],
            states: zeros(shape.states(), h),
            projected: zeros(shape.states(), 4 * h),
            keys: zeros(shape.states(), h),
            queries: zeros(shape.queries(), h),
            attention: zeros(shape.pairs(), h),
            op_weight: vec![0.0; N_OPS * h],
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
        }
    }

    /// What depends on the weights alone.
    fn begin(&mut self, weights: &Weights) {
        let h = self.shape.hidden;
        self.fixed.fill(0.0);
        let fixed = Left::plain(weights.fixed_inputs(), h);
        multiply_add(fixed, (1 + N_OPS, h, 4 * h), weights.lstm(0), 4 * h, &mut self.fixed);
        transpose(weights.op_weight(), N_OPS, &mut self.op_weight);
    }

    /// One LSTM step of every arc, through all layers.
    fn lstm(&mut self, weights: &Weights, at: usize, cell: usize) {
        let Shape { hidden: h, batch: n, .. } = self.shape;
        for l in 0..self.layers.len() {
            let (below, here) = self.layers.split_at_mut(l);
            let layer = &mut here[0];
            let (from_input, from_before) = weights.lstm(l).split_at(h * 4 * h);
            let gates = &mut layer.gates[at * n * 4 * h..][..n * 4 * h];
            match below.last() {
                None => {
                    for (e, (z, &input)) in
                        gates.chunks_exact_mut(4 * h).zip(&self.inputs[at * n..]).enumerate()
                    {
                        z.copy_from_slice(match input {
                            Input::Fixed(row) => &self.fixed[row * 4 * h..][..4 * h],
                            Input::State(state) => {
                                &self.projected[(self.shape.state(cell, state) * n + e) * 4 * h..][..4 * h]
                            }
                        });
                    }
                }
                Some(below) => {
                    gates.fill(0.0);
                    let input = Left::plain(&below.h[(at + 1) * n * h..], h);
                    multiply_add(input, (n, h, 4 * h), from_input, 4 * h, gates);
                }
            }
            let (h_before, h_after) = layer.h.split_at_mut((at + 1) * n * h);
            let before = &h_before[at * n * h..];
            multiply_add(Left::plain(before, h), (n, h, 4 * h), from_before, 4 * h, gates);
            let (c_before, c_after) = layer.c.split_at_mut((at + 1) * n * h);
            let tanh_c = &mut layer.tanh_c[at * n * h..];
            for e in 0..n {
                let row = e * h..(e + 1) * h;
                lstm::forward(
                    &mut gates[4 * row.start..4 * row.end],
                    &c_before[at * n * h..][row.clone()],
                    &mut c_after[row.clone()],
                    &mut tanh_c[row.clone()],
                    &mut h_after[row],
                );
            }
        }
    }

    /// Position in [`LayerTape::h`] of the outputs `[batch, h]` of a step.
    pub(crate) fn outputs(&self, at: usize) -> std::ops::Range<usize> {
        let size = self.shape.batch * self.shape.hidden;
        (at + 1) * size..(at + 2) * size
    }

    fn top(&self) -> &LayerTape {
        &self.layers[self.shape.layers - 1]
    }

    /// Keeps a state's output and prepares what later steps need of it.
    fn remember(&mut self, weights: &Weights, at: usize, cell: usize, state: usize) {
        let Shape { hidden: h, batch: n, .. } = self.shape;
        let outputs = self.outputs(at);
        self.inputs[(at + 1) * n..][..n].fill(START);
        if !self.shape.is_readable(state) {
            return;
        }
        let slot = self.shape.state(cell, state);
        let rows = slot * n * h..(slot + 1) * n * h;
        let output = &self.layers[self.shape.layers - 1].h[outputs];
        self.states[rows.clone()].copy_from_slice(output);
        let keys = &mut self.keys[rows.clone()];
        keys.fill(0.0);
        multiply_add(Left::plain(output, h), (n, h, h), weights.key(), h, keys);
        // Reading one of the cell's inputs feeds zeros to the LSTM, although their keys are real.
        if state >= 2 {
            let projected = &mut self.projected[4 * rows.start..4 * rows.end];
            projected.fill(0.0);
            multiply_add(Left::plain(output, h), (n, h, 4 * h), weights.lstm(0), 4 * h, projected);
        }
    }

    /// Scores of the states a node can read: `tanh(key + query) · v`.
    fn score_states(&mut self, weights: &Weights, at: usize, cell: usize, node: usize, side: usize) {
        let shape = self.shape;
        let Shape { hidden: h, batch: n, .. } = shape;
        let rows = shape.query(cell, node, side) * n * h;
        let outputs = self.outputs(at);
        self.queries[rows..][..n * h].copy_from_slice(&self.layers[shape.layers - 1].h[outputs]);
        self.query.fill(0.0);
        multiply_add(Left::plain(&self.queries[rows..], h), (n, h, h), weights.query(), h, &mut self.query);
        for state in 0..node + 2 {
            let keys = &self.keys[shape.state(cell, state) * n * h..][..n * h];
            let pair = shape.pair(cell, node, side) + state;
            let attention = &mut self.attention[pair * n * h..][..n * h];
            math::tanh_of_sum(keys, &self.query, attention);
            for (e, a) in attention.chunks_exact(h).enumerate() {
                let row = (shape.decision(cell, node, side) * n + e) * shape.width();
                self.decisions.scores[row + state] = dot(a, weights.score());
            }
        }
    }

    /// Scores of the operations: `h · w`, and the bias where it belongs inside.
    fn score_ops(&mut self, weights: &Weights, heads: &Heads, at: usize, decision: usize) {
        let Shape { hidden: h, batch: n, .. } = self.shape;
        for e in 0..n {
            let row = (decision * n + e) * self.shape.width();
            for op in 0..N_OPS {
                let output = &self.top().h[self.outputs(at)][e * h..][..h];
                let bias = if heads.free_bias { 0.0 } else { weights.op_bias()[op] };
                self.decisions.scores[row + op] = dot(output, &self.op_weight[op * h..][..h]) + bias;
            }
        }
    }

    /// Turns scores into probabilities, asks for a choice and makes it the next step's input.
    #[expect(clippy::too_many_arguments, reason = "private, and both callers read as a table")]
    fn decide(
        &mut self,
        at: usize,
        decision: usize,
        n_choices: usize,
        squash: Squash,
        added: &[f32],
        choose: Chooser,
        next: impl Fn(usize) -> Input,
    ) {
        let Shape { batch: n, .. } = self.shape;
        for e in 0..n {
            let d = decision * n + e;
            let row = d * self.shape.width()..d * self.shape.width() + n_choices;
            let logits = &mut self.decisions.logits[row.clone()];
            let slopes = &mut self.decisions.slopes[row.clone()];
            for ((logit, slope), &score) in
                logits.iter_mut().zip(slopes).zip(&self.decisions.scores[row.clone()])
            {
                (*logit, *slope) = squash.apply(score);
            }
            logits.iter_mut().zip(added).for_each(|(logit, a)| *logit += a);
            let probabilities = &mut self.decisions.probabilities[row];
            let (log_sum, entropy) = heads::softmax(logits, probabilities);
            let choice = choose(e, decision, probabilities);
            self.decisions.choices[d] = choice;
            self.decisions.nll[d] = log_sum - logits[choice];
            self.decisions.entropy[d] = entropy;
            self.inputs[(at + 1) * n + e] = next(choice);
        }
    }

    /// The choices made for one arc, in the order of its integers.
    pub(crate) fn choices(&self, episode: usize) -> impl Iterator<Item = usize> {
        self.decisions.choices.iter().skip(episode).step_by(self.shape.batch).copied()
    }

    /// -ln of the probability of one arc, and the sum of its decisions' entropies, in nats.
    pub(crate) fn totals(&self, episode: usize) -> (f64, f64) {
        let total = |per_decision: &[f32]| {
            per_decision.iter().skip(episode).step_by(self.shape.batch).map(|&x| f64::from(x)).sum()
        };
        (total(&self.decisions.nll), total(&self.decisions.entropy))
    }
}
