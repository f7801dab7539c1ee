//! The elementwise kernels of the backward pass.

use enas_simd::safe::{Simd, WithSimd, mul_add};

use crate::dot_product::add_scaled;
use crate::plan::TapeShape;
use crate::tape::Input;

/// Back through `tanh(key + query) · v` for one state, of several arcs.
pub(super) struct AttentionBackward<'a> {
    pub(super) hidden: usize,
    /// Distance between the scores of neighbouring arcs.
    pub(super) width: usize,
    pub(super) d_scores: &'a [f32],
    /// tanh(key + query), `[batch, h]`; `d_query` and `d_key` have the same shape.
    pub(super) a: &'a [f32],
    /// `[h]`, as `d_v`.
    pub(super) v: &'a [f32],
    pub(super) d_v: &'a mut [f32],
    pub(super) d_query: &'a mut [f32],
    pub(super) d_key: &'a mut [f32],
}

impl WithSimd for AttentionBackward<'_> {
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
pub(super) struct OpScoresBackward<'a> {
    pub(super) hidden: usize,
    /// Distance between the scores of neighbouring arcs.
    pub(super) width: usize,
    pub(super) d_scores: &'a [f32],
    /// `[batch, h]`, as `d_outputs`.
    pub(super) outputs: &'a [f32],
    /// `[choices, h]`, as `d_weight`.
    pub(super) weight: &'a [f32],
    pub(super) d_weight: &'a mut [f32],
    pub(super) d_outputs: &'a mut [f32],
}

impl WithSimd for OpScoresBackward<'_> {
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
pub(super) struct InputBackward<'a> {
    pub(super) shape: TapeShape,
    pub(super) inputs: &'a [Input],
    /// `[batch, 4h]`.
    pub(super) gates: &'a [f32],
    pub(super) fixed: &'a mut [f32],
    pub(super) projected: &'a mut [f32],
}

impl WithSimd for InputBackward<'_> {
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
