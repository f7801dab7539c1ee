//! The variables of the macro policy.

use enas_arc::MacroOp;

/// Number of operations to choose from.
pub(super) const N_OPS: usize = MacroOp::ALL.len();

/// The variables, each row-major; matrices are `[in, out]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MacroWeights {
    pub(super) hidden: usize,
    /// `[2h, 4h]`: rows for the input, then for the previous output; columns i, f, o, g.
    pub(super) lstm: Vec<f32>,
    /// `[h]`
    pub(super) start: Vec<f32>,
    /// `[operations, h]`
    pub(super) embedding: Vec<f32>,
    /// `[h, operations]`
    pub(super) softmax: Vec<f32>,
    /// `[h, h]`, from an output to a key.
    pub(super) key: Vec<f32>,
    /// `[h, h]`, from an output to a query.
    pub(super) query: Vec<f32>,
    /// `[h]`, from tanh(key + query) to a score.
    pub(super) score: Vec<f32>,
}

impl MacroWeights {
    pub(super) fn zeros(hidden: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            hidden,
            lstm: zeros(8 * hidden * hidden),
            start: zeros(hidden),
            embedding: zeros(N_OPS * hidden),
            softmax: zeros(N_OPS * hidden),
            key: zeros(hidden * hidden),
            query: zeros(hidden * hidden),
            score: zeros(hidden),
        }
    }

    /// Names (those of the authors' code), shapes and values.
    pub(super) fn variables(&self) -> [(&'static str, Vec<usize>, &[f32]); 7] {
        let h = self.hidden;
        [
            ("lstm/layer_0/w", vec![2 * h, 4 * h], &self.lstm),
            ("g_emb", vec![1, h], &self.start),
            ("emb/w", vec![N_OPS, h], &self.embedding),
            ("softmax/w", vec![h, N_OPS], &self.softmax),
            ("attention/w_1", vec![h, h], &self.key),
            ("attention/w_2", vec![h, h], &self.query),
            ("attention/v", vec![h, 1], &self.score),
        ]
    }

    /// The values in the same order.
    pub(super) fn values_mut(&mut self) -> [&mut Vec<f32>; 7] {
        let Self { lstm, start, embedding, softmax, key, query, score, .. } = self;
        [lstm, start, embedding, softmax, key, query, score]
    }

    /// All values in the same order.
    pub(super) fn flat(&self) -> Vec<f32> {
        self.variables().iter().flat_map(|(_, _, values)| values.iter().copied()).collect()
    }
}
