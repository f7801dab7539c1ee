//! Adam without first moment, in TensorFlow's form.
//!
//! With β₁ = 0 the step is `w -= lr·√(1-β₂ᵗ) · g / (√v + ε)`, `v = β₂v + (1-β₂)g²`. The bias correction stands outside
//! the root, so ε is not corrected ("epsilon hat", Kingma and Ba 2015, end of section 2). With the reference's large ε
//! this is far from the usual form: early steps are some 30 times smaller.

use crate::simd;

/// Decay of the second moment.
pub const BETA2: f64 = 0.999;
/// Added to the root of the second moment.
pub const EPSILON: f32 = 1e-3;

/// Step number `step` (the first is 1) of one variable: moves `weights` against `gradient`.
///
/// Shapes: all three slices are equally long; `second_moment` starts as zeros and belongs to the caller.
///
/// # Panics
/// If the lengths differ.
pub fn step(weights: &mut [f32], gradient: &[f32], second_moment: &mut [f32], step: u64, lr: f64) {
    assert_eq!(weights.len(), gradient.len(), "one gradient per weight");
    assert_eq!(weights.len(), second_moment.len(), "one second moment per weight");
    // Computed in f64 because 1 - 0.999ᵗ cancels; powf because t outgrows an i32.
    let rate = (lr * (1.0 - BETA2.powf(step as f64)).sqrt()) as f32;
    let (keep, take) = (BETA2 as f32, (1.0 - BETA2) as f32);
    simd::run(
        #[inline(always)]
        || {
            for ((w, &g), v) in weights.iter_mut().zip(gradient).zip(second_moment) {
                *v = keep * *v + take * g * g;
                *w -= rate * g / (v.sqrt() + EPSILON);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_without_gradient_stays() {
        let (mut w, mut v) = ([1.5], [0.0]);
        step(&mut w, &[0.0], &mut v, 1, 0.1);
        assert_eq!((w, v), ([1.5], [0.0]));
    }

    #[test]
    fn two_steps_equal_the_formula_by_hand() {
        let (mut w, mut v) = ([1.0f32], [0.0f32]);
        let (mut w64, mut v64) = (1.0f64, 0.0f64);
        for (t, g) in [(1, 0.5f64), (2, -0.25)] {
            step(&mut w, &[g as f32], &mut v, t, 0.0035);
            v64 = 0.999 * v64 + 0.001 * g * g;
            w64 -= 0.0035 * (1.0 - 0.999f64.powi(t as i32)).sqrt() * g / (v64.sqrt() + 1e-3);
            assert!((f64::from(w[0]) - w64).abs() < 1e-7, "step {t}: {} is not {w64}", w[0]);
        }
    }
}
