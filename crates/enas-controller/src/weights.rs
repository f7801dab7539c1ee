//! The trainable variables, with the names, shapes and initial values of the authors' code
//! (`micro_controller.py:85-114`).

use std::ops::Range;
use std::sync::Arc as SyncArc;

use candle_core::{DType, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use enas_kernels::candle::{Guards, write};

use crate::{Error, OpBias};

/// Initial values are uniform in `[−INIT, INIT]` (`micro_controller.py:86`).
const INIT: f32 = 0.1;
const UNIFORM: Init = Init::Uniform { lo: -(INIT as f64), up: INIT as f64 };

/// Name of the bias of the operation scores, which has another initial value.
const OP_BIAS: &str = "softmax/b";

/// The variables, and the position of each in the flat gradient.
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
        // `g_emb` and `emb/w` are neighbours: together they are the table of all fixed inputs.
        let rest = [
            ("g_emb", vec![1, hidden]),
            ("emb/w", vec![vocabulary, hidden]),
            ("softmax/w", vec![hidden, vocabulary]),
            (OP_BIAS, vec![1, vocabulary]),
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

    /// Number of trainable parameters.
    pub(crate) fn len(&self) -> usize {
        self.variables.last().map_or(0, |v| v.range.end)
    }

    /// An LSTM layer's matrix `[2h, 4h]`: rows for the input, then for the previous output; columns i, f, o, g.
    pub(crate) fn lstm(&self, layer: usize) -> Range<usize> {
        self.variables[layer].range.clone()
    }

    /// The inputs that are variables, `[1 + vocabulary, h]`: the start symbol, then one row per operation.
    pub(crate) fn fixed_inputs(&self) -> Range<usize> {
        self.after_lstm(0).start..self.after_lstm(1).end
    }

    /// Weights from the LSTM's output to operation scores, `[h, vocabulary]`.
    pub(crate) fn op_weight(&self) -> Range<usize> {
        self.after_lstm(2)
    }

    /// Bias of the operation scores, `[vocabulary]`.
    pub(crate) fn op_bias(&self) -> Range<usize> {
        self.after_lstm(3)
    }

    /// Weights from the LSTM's output to an attention key, `[h, h]`.
    pub(crate) fn key(&self) -> Range<usize> {
        self.after_lstm(4)
    }

    /// Weights from the LSTM's output to an attention query, `[h, h]`.
    pub(crate) fn query(&self) -> Range<usize> {
        self.after_lstm(5)
    }

    /// Weights `v` from tanh(key + query) to a score, `[h]`.
    pub(crate) fn score(&self) -> Range<usize> {
        self.after_lstm(6)
    }

    fn after_lstm(&self, position: usize) -> Range<usize> {
        self.variables[self.layers + position].range.clone()
    }
}

/// The variables: candle tensors under the authors' names, in the order of the layout. Clones share the variables.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) layout: SyncArc<Layout>,
    pub(crate) tensors: Vec<Tensor>,
}

impl Weights {
    /// Takes every variable from `vb`. Variables that are not there yet get initial values.
    pub(crate) fn new(
        layout: Layout,
        op_bias: OpBias,
        frozen_bias: &[f32],
        vb: &VarBuilder,
    ) -> Result<Self, Error> {
        let tensor = |Variable { name, shape, .. }: &Variable| {
            let is_bias = name == OP_BIAS;
            let is_new = !vb.contains_tensor(name);
            let start = if is_bias { Init::Const(0.0) } else { UNIFORM };
            let tensor = vb.get_with_hints_dtype(shape.as_slice(), name, start, DType::F32)?.contiguous()?;
            if is_bias && is_new && op_bias == OpBias::Frozen {
                write(&tensor, |bias| bias.copy_from_slice(frozen_bias))?;
            }
            // Checks once that the values can be borrowed as slices; every rollout relies on it.
            Guards::new([&tensor]).slices()?;
            Ok(tensor)
        };
        let tensors = layout.variables.iter().map(tensor).collect::<Result<_, Error>>()?;
        Ok(Self { layout: SyncArc::new(layout), tensors })
    }

    /// Calls `body` with the values of all variables, or with copies if they are on a GPU. Nothing may write to them
    /// meanwhile.
    ///
    /// # Panics
    /// If the variables are on a GPU that fails.
    pub(crate) fn read<R>(&self, body: impl FnOnce(&Values) -> R) -> R {
        let guards = Guards::new(&self.tensors);
        let slices = guards.slices().expect("variables can be read, as they could when the policy was made");
        body(&Values { layout: &self.layout, slices })
    }

    /// The first tensor that is not a variable and so cannot be trained.
    pub(crate) fn frozen(&self) -> Option<&str> {
        let named = self.layout.variables.iter().zip(&self.tensors);
        named.filter(|(_, tensor)| !tensor.is_variable()).map(|(variable, _)| &*variable.name).next()
    }

    /// The variables, in order. Tensors that are not variables are copied.
    pub(crate) fn vars(&self) -> candle_core::Result<Vec<(String, Var)>> {
        let var =
            |(variable, tensor): (&Variable, &Tensor)| Ok((variable.name.clone(), Var::from_tensor(tensor)?));
        self.layout.variables.iter().zip(&self.tensors).map(var).collect()
    }

    /// New variables with the same values. Tensors that are not variables never change, so they are shared.
    pub(crate) fn copy(&self) -> candle_core::Result<Self> {
        let copy = |tensor: &Tensor| match tensor.is_variable() {
            true => Ok(Var::from_tensor(&tensor.detach())?.into_inner()),
            false => Ok(tensor.clone()),
        };
        let tensors = self.tensors.iter().map(copy).collect::<candle_core::Result<_>>()?;
        Ok(Self { layout: SyncArc::clone(&self.layout), tensors })
    }
}

/// The values of all variables.
pub(crate) struct Values<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) slices: Vec<&'a [f32]>,
}

impl<'a> Values<'a> {
    /// An LSTM layer's matrix `[2h, 4h]`: rows for the input, then for the previous output; columns i, f, o, g.
    pub(crate) fn lstm(&self, layer: usize) -> &'a [f32] {
        self.slices[layer]
    }

    /// The start symbol `[h]`, the LSTM's first input.
    pub(crate) fn start(&self) -> &'a [f32] {
        self.after_lstm(0)
    }

    /// The LSTM's input after an operation, `[vocabulary, h]`.
    pub(crate) fn ops(&self) -> &'a [f32] {
        self.after_lstm(1)
    }

    /// Weights from the LSTM's output to operation scores, `[h, vocabulary]`.
    pub(crate) fn op_weight(&self) -> &'a [f32] {
        self.after_lstm(2)
    }

    /// Bias of the operation scores, `[vocabulary]`.
    pub(crate) fn op_bias(&self) -> &'a [f32] {
        self.after_lstm(3)
    }

    /// Weights from the LSTM's output to an attention key, `[h, h]`.
    pub(crate) fn key(&self) -> &'a [f32] {
        self.after_lstm(4)
    }

    /// Weights from the LSTM's output to an attention query, `[h, h]`.
    pub(crate) fn query(&self) -> &'a [f32] {
        self.after_lstm(5)
    }

    /// Weights `v` from tanh(key + query) to a score, `[h]`.
    pub(crate) fn score(&self) -> &'a [f32] {
        self.after_lstm(6)
    }

    fn after_lstm(&self, position: usize) -> &'a [f32] {
        self.slices[self.layout.layers + position]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::VarMap;
    use enas_rng::Seed;

    use super::*;
    use crate::seeded;

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
        let vb = seeded(&VarMap::new(), Seed::new(3), &Device::Cpu);
        let frozen = [10.0, 10.0, 0.0, 0.0, 0.0];
        let weights = Weights::new(Layout::new(64, 1, 5), OpBias::Frozen, &frozen, &vb).unwrap();
        weights.read(|weights| {
            let lstm = weights.lstm(0);
            assert!(lstm.iter().all(|w| w.abs() <= INIT));
            let mean = lstm.iter().sum::<f32>() / lstm.len() as f32;
            let square = lstm.iter().map(|w| w * w).sum::<f32>() / lstm.len() as f32;
            assert!(mean.abs() < 1e-3 && (square - INIT * INIT / 3.0).abs() < 1e-4, "{mean} {square}");
            assert_ne!(weights.key()[..8], weights.query()[..8]);
            assert_eq!(weights.op_bias(), frozen);
        });
    }
}
