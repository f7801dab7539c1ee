//! The elementwise part of an LSTM cell, forward and backward, for one step of several arcs.
//!
//! There is no bias, not even a forget bias (`common_ops.py:5-14`). The caller computes the products with the
//! weights.

use enas_simd::math::{sigmoid, tanh};
use enas_simd::safe::{self as simd, Simd, WithSimd, mul_add};

/// Activates the gates and updates the cell: `c = i·g + f·c_prev`, `h = o·tanh(c)`.
///
/// Method outline:
///
/// 1. Per arc, activate the gates and update c.
/// 2. Apply tanh to the c of all arcs at once.
/// 3. Per arc, compute h.
///
/// All loops run over contiguous values without branches, so they vectorise.
pub(crate) struct Forward<'a> {
    /// Width h of the state.
    pub(crate) hidden: usize,
    /// `[batch, 4h]` in the order i, f, o, g: pre-activations on entry, activations on return.
    pub(crate) gates: &'a mut [f32],
    /// `[batch, h]`, as the others.
    pub(crate) c_prev: &'a [f32],
    pub(crate) c: &'a mut [f32],
    pub(crate) tanh_c: &'a mut [f32],
    pub(crate) h: &'a mut [f32],
}

impl Forward<'_> {
    pub(crate) fn run(self) {
        simd::run(self);
    }
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let hidden = self.hidden;
        let rows = self.c.chunks_exact_mut(hidden).zip(self.c_prev.chunks_exact(hidden));
        for (gates, (c, c_prev)) in self.gates.chunks_exact_mut(4 * hidden).zip(rows) {
            let (sigmoids, g) = gates.split_at_mut(3 * hidden);
            sigmoids.iter_mut().for_each(|z| *z = sigmoid::<S>(*z));
            g.iter_mut().for_each(|z| *z = tanh::<S>(*z));
            let (i, f) = sigmoids.split_at(hidden);
            for ((((c, &c_prev), &i), &f), &g) in c.iter_mut().zip(c_prev).zip(i).zip(f).zip(&*g) {
                *c = mul_add::<S>(i, g, f * c_prev);
            }
        }
        self.tanh_c.iter_mut().zip(&*self.c).for_each(|(tanh_c, &c)| *tanh_c = tanh::<S>(c));
        let rows = self.h.chunks_exact_mut(hidden).zip(self.tanh_c.chunks_exact(hidden));
        for (gates, (h, tanh_c)) in self.gates.chunks_exact(4 * hidden).zip(rows) {
            let o = &gates[2 * hidden..3 * hidden];
            h.iter_mut().zip(o).zip(tanh_c).for_each(|((h, o), tanh_c)| *h = o * tanh_c);
        }
    }
}

/// Takes gradients back through [`Forward`].
pub(crate) struct Backward<'a> {
    /// Width h of the state.
    pub(crate) hidden: usize,
    /// `[batch, 4h]`: activations on entry, gradients of the pre-activations on return.
    pub(crate) gates: &'a mut [f32],
    /// `[batch, h]`, as the others.
    pub(crate) c_prev: &'a [f32],
    pub(crate) tanh_c: &'a [f32],
    /// Gradient of h.
    pub(crate) dh: &'a [f32],
    /// On entry the gradient of c from later steps, on return that of `c_prev`.
    pub(crate) dc: &'a mut [f32],
}

impl Backward<'_> {
    pub(crate) fn run(self) {
        simd::run(self);
    }
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let hidden = self.hidden;
        for (row, gates) in self.gates.chunks_exact_mut(4 * hidden).enumerate() {
            let row = row * hidden..(row + 1) * hidden;
            let c_prev = &self.c_prev[row.clone()];
            let tanh_c = &self.tanh_c[row.clone()];
            backward_row::<S>(gates, c_prev, tanh_c, &self.dh[row.clone()], &mut self.dc[row]);
        }
    }
}

#[inline(always)]
fn backward_row<S: Simd>(gates: &mut [f32], c_prev: &[f32], tanh_c: &[f32], dh: &[f32], dc: &mut [f32]) {
    let hidden = dc.len();
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (o, g) = rest.split_at_mut(hidden);
    let g = &mut g[..hidden];
    let c_prev = &c_prev[..hidden];
    let tanh_c = &tanh_c[..hidden];
    let dh = &dh[..hidden];
    // Gradient times slope: tanh has the slope 1 − y² at value y, the logistic function y − y².
    let tanh_back = |d: f32, y: f32| d * mul_add::<S>(-y, y, 1.0);
    let sigmoid_back = |d: f32, y: f32| d * mul_add::<S>(-y, y, y);
    for k in 0..hidden {
        // h = o·tanh(c): h passes its gradient to o, and through tanh to c, which also has one from later steps.
        let d_o = dh[k] * tanh_c[k];
        let d_c = dc[k] + tanh_back(dh[k] * o[k], tanh_c[k]);
        // c = i·g + f·c_prev.
        let d_i = d_c * g[k];
        let d_f = d_c * c_prev[k];
        let d_g = d_c * i[k];
        dc[k] = d_c * f[k];
        i[k] = sigmoid_back(d_i, i[k]);
        f[k] = sigmoid_back(d_f, f[k]);
        o[k] = sigmoid_back(d_o, o[k]);
        g[k] = tanh_back(d_g, g[k]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(gates: &mut [f32; 4], c_prev: f32, c: &mut [f32; 1], tanh_c: &mut [f32; 1], h: &mut [f32; 1]) {
        Forward { hidden: 1, gates, c_prev: &[c_prev], c, tanh_c, h }.run();
    }

    /// One unit, computed by hand: z = (0.5, -1, 2, 0.3), c_prev = 0.7.
    #[test]
    fn one_unit_equals_the_formula_by_hand() {
        let mut gates = [0.5, -1.0, 2.0, 0.3];
        let mut c = [0.0];
        let mut tanh_c = [0.0];
        let mut h = [0.0];
        forward(&mut gates, 0.7, &mut c, &mut tanh_c, &mut h);
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let expected_c = logistic(0.5) * 0.3f64.tanh() + logistic(-1.0) * 0.7;
        assert!((f64::from(c[0]) - expected_c).abs() < 1e-6);
        assert!((f64::from(h[0]) - logistic(2.0) * expected_c.tanh()).abs() < 1e-6);
    }

    #[test]
    fn backward_equals_finite_differences() {
        let start = [0.5f32, -1.0, 2.0, 0.3, 0.7];
        // A weighted sum of both outputs stands for the later steps.
        let value = |x: [f32; 5]| {
            let mut gates = [x[0], x[1], x[2], x[3]];
            let mut c = [0.0];
            let mut tanh_c = [0.0];
            let mut h = [0.0];
            forward(&mut gates, x[4], &mut c, &mut tanh_c, &mut h);
            (0.8 * f64::from(h[0]) - 0.4 * f64::from(c[0]), gates, tanh_c)
        };
        let (_, mut gates, tanh_c) = value(start);
        let mut dc = [-0.4];
        Backward {
            hidden: 1,
            gates: &mut gates,
            c_prev: &[start[4]],
            tanh_c: &tanh_c,
            dh: &[0.8],
            dc: &mut dc,
        }
        .run();
        let got = [gates[0], gates[1], gates[2], gates[3], dc[0]];
        for k in 0..5 {
            let shifted = |by: f32| {
                let mut x = start;
                x[k] += by;
                value(x).0
            };
            let slope = (shifted(0.01) - shifted(-0.01)) / 0.02;
            assert!((f64::from(got[k]) - slope).abs() < 1e-4, "input {k}: {} is not {slope}", got[k]);
        }
    }
}
