//! exp, tanh and the logistic function as branch-free arithmetic that the compiler can vectorise.
//!
//! The platform's versions are function calls, which cannot be vectorised; an update needs about 200,000 of them.
//! Errors are a few units in the last place, and NaN stays NaN. No library is involved, so results depend on the
//! instruction set only.
//!
//! Method outline:
//!
//! 1. Cody–Waite range reduction: `x = n·ln 2 + r` with |r| ≤ ½ ln 2, and ln 2 split into two constants.
//! 2. A Taylor polynomial of degree 7 for `exp(r) − 1`, by Horner's rule.
//! 3. `2ⁿ` by writing `n + 127` into the exponent bits.
//! 4. tanh from `exp(2x) − 1`, the logistic function from `exp(−x)`.

use crate::safe::{Simd, mul_add};

/// 1.5 · 2²³: adding it rounds to an integer and leaves that integer in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts (Cody–Waite). The first has enough trailing zeros for an exact product with any exponent n.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `2ⁿ` and `exp(r) − 1`, where `x = n·ln 2 + r` and |r| ≤ ½ ln 2; `x` must be within ±87.
#[inline(always)]
fn split_exp<S: Simd>(x: f32) -> (f32, f32) {
    let shifted = mul_add::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<S>(n, -LN2_LOW, mul_add::<S>(n, -LN2_HIGH, x));
    // Taylor coefficients from 1/2! to 1/7!. The first omitted term is r⁸/8!, below 6e-9.
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let tail = terms.into_iter().fold(1.0 / 5040.0, |sum, term| mul_add::<S>(sum, r, term));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, mul_add::<S>(r * r, tail, r))
}

/// `e^x`, constant beyond ±87.
#[inline(always)]
pub fn exp<S: Simd>(x: f32) -> f32 {
    let (power, series) = split_exp::<S>(x.clamp(-87.0, 87.0));
    mul_add::<S>(power, series, power)
}

/// The hyperbolic tangent. It is exactly ±1 beyond ±10, so its slope there is exactly 0.
#[inline(always)]
pub fn tanh<S: Simd>(x: f32) -> f32 {
    let (power, series) = split_exp::<S>(2.0 * x.clamp(-10.0, 10.0));
    // `exp(2x) − 1` without cancellation near zero.
    let grown = mul_add::<S>(power, series, power - 1.0);
    grown / (grown + 2.0)
}

/// The logistic function `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safe;

    /// exp, tanh and the logistic function of one number, on one instruction set.
    struct Three(f32);

    impl safe::WithSimd for Three {
        type Output = [f32; 3];

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> [f32; 3] {
            [exp::<S>(self.0), tanh::<S>(self.0), sigmoid::<S>(self.0)]
        }
    }

    /// The results of every instruction set.
    fn all(x: f32) -> impl Iterator<Item = [f32; 3]> {
        safe::all().into_iter().map(move |arch| safe::run_at(arch, Three(x)))
    }

    /// The largest relative errors of the three functions within `range` of zero.
    fn worst(range: f64) -> [f64; 3] {
        let mut worst = [0.0f64; 3];
        for i in -20_000..=20_000 {
            let x = (f64::from(i) / 20_000.0 * range) as f32;
            let exact = [f64::exp, f64::tanh, |x: f64| 1.0 / (1.0 + (-x).exp())].map(|f| f(f64::from(x)));
            for got in all(x) {
                for ((worst, got), exact) in worst.iter_mut().zip(got).zip(exact) {
                    *worst = worst.max(((f64::from(got) - exact) / exact.abs().max(1e-30)).abs());
                }
            }
        }
        worst
    }

    #[test]
    fn all_three_are_accurate_to_a_few_units_in_the_last_place() {
        for range in [1e-3, 1.0, 9.0] {
            let errors = worst(range);
            assert!(errors.iter().all(|&e| e < 4e-7), "range {range}: {errors:?}");
        }
        assert!(worst(86.0)[0] < 4e-7);
    }

    #[test]
    fn a_saturated_tanh_has_no_slope_left() {
        for x in [10.0, 10.3, 1e30, f32::INFINITY] {
            assert!(all(x).zip(all(-x)).all(|(high, low)| (high[1], low[1]) == (1.0, -1.0)));
        }
        assert!(all(3.0).all(|[_, tanh, _]| tanh < 1.0));
    }

    #[test]
    fn extremes_saturate_and_nan_is_not_hidden() {
        assert!(all(-1e9).all(|[exp, ..]| exp < 1e-37) && all(1e9).all(|[exp, ..]| exp.is_finite()));
        assert!(all(1e9).all(|[_, _, sigmoid]| sigmoid == 1.0));
        assert!(all(f32::NAN).flatten().all(f32::is_nan));
    }
}
