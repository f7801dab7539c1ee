//! The elementwise part of an LSTM cell, forward and backward, for one arc at one step.
//!
//! There is no bias and no forget bias, as in the reference. The products with the weights are the caller's.

use crate::math::{sigmoid, tanh};
use crate::matrix::vectorized;

/// Turns pre-activations into gates and moves the cell on.
///
/// `c = i·g + f·c_prev`, `h = o·tanh(c)`. Shapes: gates `[4h]` in the order i, f, o, g, replaced by their activations;
/// all others `[h]`.
pub(crate) fn forward(gates: &mut [f32], c_prev: &[f32], c: &mut [f32], tanh_c: &mut [f32], h: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || forward_here(gates, c_prev, c, tanh_c, h),
    );
}

#[inline(always)]
fn forward_here(gates: &mut [f32], c_prev: &[f32], c: &mut [f32], tanh_c: &mut [f32], h: &mut [f32]) {
    let hidden = c.len();
    let (sigmoids, g) = gates.split_at_mut(3 * hidden);
    sigmoids.iter_mut().for_each(|z| *z = sigmoid(*z));
    g.iter_mut().for_each(|z| *z = tanh(*z));
    let (i, rest) = sigmoids.split_at(hidden);
    let (f, o) = rest.split_at(hidden);
    let (g, c_prev, tanh_c, h) = (&g[..hidden], &c_prev[..hidden], &mut tanh_c[..hidden], &mut h[..hidden]);
    for k in 0..hidden {
        c[k] = i[k] * g[k] + f[k] * c_prev[k];
    }
    for k in 0..hidden {
        tanh_c[k] = tanh(c[k]);
        h[k] = o[k] * tanh_c[k];
    }
}

/// Takes gradients back through [`forward`].
///
/// `dh` is the gradient of h. `dc` is the gradient of c from later steps on entry and that of `c_prev` on return.
/// `gates` hold the activations on entry and the gradient of the pre-activations on return. Shapes as there.
pub(crate) fn backward(gates: &mut [f32], c_prev: &[f32], tanh_c: &[f32], dh: &[f32], dc: &mut [f32]) {
    let hidden = dc.len();
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (o, g) = rest.split_at_mut(hidden);
    let (g, c_prev, tanh_c, dh) = (&mut g[..hidden], &c_prev[..hidden], &tanh_c[..hidden], &dh[..hidden]);
    for k in 0..hidden {
        let d_o = dh[k] * tanh_c[k];
        let d_c = dc[k] + dh[k] * o[k] * (1.0 - tanh_c[k] * tanh_c[k]);
        let (d_i, d_f, d_g) = (d_c * g[k], d_c * c_prev[k], d_c * i[k]);
        dc[k] = d_c * f[k];
        i[k] = d_i * i[k] * (1.0 - i[k]);
        f[k] = d_f * f[k] * (1.0 - f[k]);
        o[k] = d_o * o[k] * (1.0 - o[k]);
        g[k] = d_g * (1.0 - g[k] * g[k]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit by hand: z = (0.5, -1, 2, 0.3), c_prev = 0.7.
    #[test]
    fn one_unit_equals_the_formula_by_hand() {
        let mut gates = [0.5, -1.0, 2.0, 0.3];
        let (mut c, mut tanh_c, mut h) = ([0.0], [0.0], [0.0]);
        forward(&mut gates, &[0.7], &mut c, &mut tanh_c, &mut h);
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let expected_c = logistic(0.5) * 0.3f64.tanh() + logistic(-1.0) * 0.7;
        assert!((f64::from(c[0]) - expected_c).abs() < 1e-6);
        assert!((f64::from(h[0]) - logistic(2.0) * expected_c.tanh()).abs() < 1e-6);
    }

    #[test]
    fn backward_equals_finite_differences() {
        let start = [0.5f32, -1.0, 2.0, 0.3, 0.7];
        // A weighted sum of both outputs, as later steps would form it.
        let value = |x: [f32; 5]| {
            let (mut gates, mut c, mut tanh_c, mut h) = ([x[0], x[1], x[2], x[3]], [0.0], [0.0], [0.0]);
            forward(&mut gates, &[x[4]], &mut c, &mut tanh_c, &mut h);
            (0.8 * f64::from(h[0]) - 0.4 * f64::from(c[0]), gates, tanh_c)
        };
        let (_, mut gates, tanh_c) = value(start);
        let mut dc = [-0.4];
        backward(&mut gates, &[start[4]], &tanh_c, &[0.8], &mut dc);
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
