//! exp, tanh and the logistic function as straight-line arithmetic.
//!
//! The platform's versions are calls that the compiler cannot vectorise, and an update takes some 200,000 of them.
//! Here is only what the controller needs: errors are within a few units in the last place, NaN stays NaN, and the
//! result is the same on every platform because no library takes part.

use crate::matrix::vectorized;

/// 1.5 · 2²³: adding it rounds to an integer and leaves that integer in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has enough trailing zeros for an exact product with any exponent.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `2^n` and `exp(r) - 1`, where `x = n·ln 2 + r` and |r| ≤ ½ ln 2; `x` must be within ±87.
#[inline(always)]
fn split_exp(x: f32) -> (f32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor: the first term left out is r⁸/8!, below 6e-9 of the result.
    let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = r + r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail)));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, series)
}

/// `e^x`, saturating beyond ±87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, series) = split_exp(x.clamp(-87.0, 87.0));
    power + power * series
}

/// The hyperbolic tangent; exactly ±1 from ±10 on, so that its slope there is exactly 0.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let (power, series) = split_exp(2.0 * x.clamp(-10.0, 10.0));
    // exp(2x) - 1 without the cancellation near zero.
    let grown = power * series + (power - 1.0);
    grown / (grown + 2.0)
}

/// Writes `tanh(a + b)` element by element.
pub(crate) fn tanh_of_sum(a: &[f32], b: &[f32], out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = tanh(a + b)),
    );
}

/// The logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: f64, ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let points = (-20_000..=20_000).map(|i| (f64::from(i) / 20_000.0 * range) as f32);
        points
            .map(|x| {
                ((f64::from(ours(x)) - exact(f64::from(x))) / exact(f64::from(x)).abs().max(1e-30)).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn all_three_are_accurate_to_a_few_units_in_the_last_place() {
        for range in [1e-3, 1.0, 9.0] {
            let errors = [
                worst(range, exp, f64::exp),
                worst(range, tanh, f64::tanh),
                worst(range, sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            ];
            assert!(errors.iter().all(|&e| e < 4e-7), "range {range}: {errors:?}");
        }
        assert!(worst(86.0, exp, f64::exp) < 4e-7);
    }

    #[test]
    fn a_saturated_tanh_has_no_slope_left() {
        for x in [10.0, 10.3, 1e30, f32::INFINITY] {
            assert_eq!((tanh(x), tanh(-x)), (1.0, -1.0));
        }
        assert!(tanh(3.0) < 1.0);
    }

    #[test]
    fn extremes_saturate_and_nan_is_not_hidden() {
        assert!(exp(-1e9) < 1e-37 && exp(1e9).is_finite());
        assert_eq!(sigmoid(1e9), 1.0);
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }
}
