//! The tape: all values of a rollout, which the backward pass reads.

use std::ops::Range;
use std::sync::Arc as SyncArc;

use crate::decision::RolloutTotals;
use crate::gemm::PackedMatrix;
use crate::plan::{Plan, TapeShape};

/// The input of an LSTM step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A row of the fixed inputs: 0 for the start symbol, 1 + k for operation k.
    Fixed(usize),
    /// The output of the state with this slot; zeros for states that do not feed the LSTM.
    State(usize),
}

pub(crate) const START: Input = Input::Fixed(0);

/// All values of one rollout. Arrays are row-major, `[.., batch, ..]`.
#[derive(Clone)]
pub(crate) struct Tape {
    pub(crate) shape: TapeShape,
    pub(crate) plan: SyncArc<Plan>,
    pub(crate) layers: Vec<LayerTape>,
    /// The input of each step, `[steps + 1, batch]`.
    pub(crate) inputs: Vec<Input>,
    /// Key and query matrices `[h, h]`, packed for products (`w_attn_1`, `w_attn_2`).
    pub(crate) to_key: PackedMatrix,
    pub(crate) to_query: PackedMatrix,
    /// The inputs that are variables, `[1 + vocabulary, h]`: the start symbol, then one row per operation.
    pub(crate) fixed_inputs: Vec<f32>,
    /// Products of the fixed inputs with the first layer's weights, `[1 + vocabulary, 4h]`.
    pub(crate) fixed: Vec<f32>,
    /// Output of every state that can be chosen, `[states, batch, h]`.
    pub(crate) states: Vec<f32>,
    /// Products of the states with the first layer's weights, `[states, batch, 4h]`; zeros for states that do not
    /// feed the LSTM.
    pub(crate) projected: Vec<f32>,
    /// Attention keys, `[states, batch, h]`.
    pub(crate) keys: Vec<f32>,
    /// LSTM outputs at the index decisions, `[queries, batch, h]`.
    pub(crate) queries: Vec<f32>,
    /// tanh(key + query) of every state that an index decision can choose, `[pairs, batch, h]`.
    pub(crate) attention: Vec<f32>,
    /// Operation weights, transposed to `[vocabulary, h]`.
    pub(crate) op_weight: Vec<f32>,
    pub(crate) decisions: Decisions,
    /// Buffer for the queries of one step, `[batch, h]`.
    pub(crate) query: Vec<f32>,
    /// Buffer for the constants added to the logits of one decision, `[width]`.
    pub(crate) added: Vec<f32>,
}

/// One LSTM layer at every step. Index 0 is the initial state, so step s reads `[s]` and writes `[s + 1]`.
#[derive(Clone)]
pub(crate) struct LayerTape {
    /// The weights, packed for products `[h, 4h]`: from the input, and from the previous output.
    pub(crate) from_input: PackedMatrix,
    pub(crate) from_before: PackedMatrix,
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

impl Tape {
    /// Memory for a rollout. A rollout allocates nothing else.
    pub(crate) fn new(plan: &SyncArc<Plan>, shape: TapeShape) -> Self {
        let TapeShape { hidden: h, batch: n, sizes, .. } = shape;
        let zeros = |rows: usize, width: usize| vec![0.0; rows * n * width];
        let steps = sizes.steps;
        let layer = || LayerTape {
            from_input: PackedMatrix::new(h, 4 * h),
            from_before: PackedMatrix::new(h, 4 * h),
            gates: zeros(steps, 4 * h),
            c: zeros(steps + 1, h),
            tanh_c: zeros(steps, h),
            h: zeros(steps + 1, h),
        };
        let decisions = sizes.decisions;
        let width = sizes.width;
        Self {
            shape,
            plan: SyncArc::clone(plan),
            layers: (0..shape.layers).map(|_| layer()).collect(),
            inputs: vec![START; (steps + 1) * n],
            to_key: PackedMatrix::new(h, h),
            to_query: PackedMatrix::new(h, h),
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

    /// Position in [`LayerTape::h`] of the outputs `[batch, h]` of a step.
    pub(crate) fn outputs(&self, at: usize) -> Range<usize> {
        let size = self.shape.batch * self.shape.hidden;
        (at + 1) * size..(at + 2) * size
    }

    /// The choices for one arc, in the order of its integers.
    pub(crate) fn choices(&self, episode: usize) -> impl Iterator<Item = usize> {
        self.decisions.choices.iter().skip(episode).step_by(self.shape.batch).copied()
    }

    /// The sums over all decisions of one arc.
    pub(crate) fn totals(&self, episode: usize) -> RolloutTotals {
        let total = |per_decision: &[f32]| {
            per_decision.iter().skip(episode).step_by(self.shape.batch).map(|&x| f64::from(x)).sum()
        };
        RolloutTotals { nll: total(&self.decisions.nll), entropy: total(&self.decisions.entropy) }
    }
}
