//! The trainable variables: one flat vector, with the reference's names, shapes and starting values.

use std::ops::Range;

use enas_rng::Seed;

use crate::OpBias;

/// Variables start uniformly within this distance of zero.
const INIT: f32 = 0.1;

/// Where each variable lies in the flat vector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) variables: Vec<Variable>,
}

/// One named variable, row-major; matrices are `[in, out]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) range: Range<usize>,
}

impl Layout {
    pub(crate) fn new(hidden: usize, layers: usize, vocabulary: usize) -> Self {
        let lstm = (0..layers).map(|l| (format!("lstm/layer_{l}/w"), vec![2 * hidden, 4 * hidden]));
        // g_emb and emb/w are neighbours, so that together they are the table of all fixed inputs.
        let rest = [
            ("g_emb", vec![1, hidden]),
            ("emb/w", vec![vocabulary, hidden]),
            ("softmax/w", vec![hidden, vocabulary]),
            ("softmax/b", vec![1, vocabulary]),
            ("attention/w_1", vec![hidden, hidden]),
            ("attention/w_2", vec![hidden, hidden]),
            ("attention/v", vec![hidden, 1]),
        ];
        let mut end = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let start = end;
            end += shape.iter().product::<usize>();
            Variable { name, shape, range: start..end }
        };
        let variables = lstm.chain(rest.map(|(name, shape)| (name.to_string(), shape))).map(place).collect();
        Self { hidden, layers, variables }
    }

    /// Number of trainable numbers.
    pub(crate) fn len(&self) -> usize {
        self.variables.last().map_or(0, |v| v.range.end)
    }

    /// An LSTM layer's matrix `[2h, 4h]`: rows for the input, then for the previous output; columns i, f, o, g.
    pub(crate) fn lstm(&self, layer: usize) -> Range<usize> {
        self.variables[layer].range.clone()
    }

    /// The inputs that are variables `[1 + vocabulary, h]`: the start symbol, then one row per operation.
    pub(crate) fn fixed_inputs(&self) -> Range<usize> {
        self.after_lstm(0).start..self.after_lstm(1).end
    }

    /// From the LSTM's output to operation scores, `[h, vocabulary]`.
    pub(crate) fn op_weight(&self) -> Range<usize> {
        self.after_lstm(2)
    }

    /// Bias of the operation scores, `[vocabulary]`.
    pub(crate) fn op_bias(&self) -> Range<usize> {
        self.after_lstm(3)
    }

    /// From the LSTM's output to an attention key, `[h, h]`.
    pub(crate) fn key(&self) -> Range<usize> {
        self.after_lstm(4)
    }

    /// From the LSTM's output to an attention query, `[h, h]`.
    pub(crate) fn query(&self) -> Range<usize> {
        self.after_lstm(5)
    }

    /// From a key meeting a query to a score, `[h]`.
    pub(crate) fn score(&self) -> Range<usize> {
        self.after_lstm(6)
    }

    fn after_lstm(&self, position: usize) -> Range<usize> {
        self.variables[self.layers + position].range.clone()
    }
}

/// The variables' values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) layout: Layout,
    pub(crate) values: Vec<f32>,
}

impl Weights {
    /// Starting values: a variable's depend on the seed and its name alone.
    pub(crate) fn new(layout: Layout, op_bias: OpBias, frozen_bias: &[f32], seed: Seed) -> Self {
        let mut values = vec![0.0; layout.len()];
        for variable in &layout.variables {
            let mut stream = seed.stream(&format!("controller/{}", variable.name), &[]);
            values[variable.range.clone()].fill_with(|| stream.range(-INIT, INIT));
        }
        let bias = &mut values[layout.op_bias()];
        match op_bias {
            OpBias::Frozen => bias.copy_from_slice(frozen_bias),
            OpBias::Zero | OpBias::Free => bias.fill(0.0),
        }
        Self { layout, values }
    }

    pub(crate) fn lstm(&self, layer: usize) -> &[f32] {
        &self.values[self.layout.lstm(layer)]
    }

    pub(crate) fn fixed_inputs(&self) -> &[f32] {
        &self.values[self.layout.fixed_inputs()]
    }

    pub(crate) fn op_weight(&self) -> &[f32] {
        &self.values[self.layout.op_weight()]
    }

    pub(crate) fn op_bias(&self) -> &[f32] {
        &self.values[self.layout.op_bias()]
    }

    pub(crate) fn key(&self) -> &[f32] {
        &self.values[self.layout.key()]
    }

    pub(crate) fn query(&self) -> &[f32] {
        &self.values[self.layout.query()]
    }

    pub(crate) fn score(&self) -> &[f32] {
        &self.values[self.layout.score()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_controller_has_41_733_parameters() {
        assert_eq!(Layout::new(64, 1, 5).len(), 41_733);
    }

    #[test]
    fn names_and_shapes_are_the_references() {
        let layout = Layout::new(24, 2, 5);
        let got: Vec<_> = layout.variables.iter().map(|v| (v.name.as_str(), v.shape.clone())).collect();
        let expected = [
            ("lstm/layer_0/w", vec![48, 96]),
            ("lstm/layer_1/w", vec![48, 96]),
            ("g_emb", vec![1, 24]),
            ("emb/w", vec![5, 24]),
            ("softmax/w", vec![24, 5]),
            ("softmax/b", vec![1, 5]),
            ("attention/w_1", vec![24, 24]),
            ("attention/w_2", vec![24, 24]),
            ("attention/v", vec![24, 1]),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn starting_values_fill_the_range_evenly_and_differ_between_variables() {
        let weights =
            Weights::new(Layout::new(64, 1, 5), OpBias::Frozen, &[10.0, 10.0, 0.0, 0.0, 0.0], Seed::new(3));
        let lstm = weights.lstm(0);
        assert!(lstm.iter().all(|w| w.abs() <= INIT));
        let mean = lstm.iter().sum::<f32>() / lstm.len() as f32;
        let square = lstm.iter().map(|w| w * w).sum::<f32>() / lstm.len() as f32;
        assert!(mean.abs() < 1e-3 && (square - INIT * INIT / 3.0).abs() < 1e-4, "{mean} {square}");
        assert_ne!(weights.key()[..8], weights.query()[..8]);
        assert_eq!(weights.op_bias(), [10.0, 10.0, 0.0, 0.0, 0.0]);
    }
}
