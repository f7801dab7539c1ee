//! Student's t distribution, for intervals over few units.

use crate::estimate::{Estimate, mean, variance};

/// The mean with the 95 % interval of Student's t, which assumes normal values (Student, 1908). A single value has no
/// bounds.
pub fn t_interval(values: &[f64]) -> Estimate {
    let value = mean(values);
    let n = values.len() as f64;
    if values.len() < 2 {
        return Estimate::unbounded(value);
    }
    let half = t_quantile(0.975, n - 1.0) * (variance(values) / n).sqrt();
    Estimate { mean: value, low: value - half, high: value + half }
}

/// The difference of the means, first minus second, with its 95 % interval by Welch's method: variances may differ
/// (Welch, 1947). If either side has fewer than two values it has no bounds.
pub fn welch_interval(first: &[f64], second: &[f64]) -> Estimate {
    let value = mean(first) - mean(second);
    if first.len() < 2 || second.len() < 2 {
        return Estimate::unbounded(value);
    }
    let [a, b] = [first, second].map(|values| (variance(values) / values.len() as f64, values.len() as f64));
    let total = a.0 + b.0;
    // Welch–Satterthwaite degrees of freedom. If nothing varies, the interval has zero width for any number.
    let df = if total > 0.0 {
        total * total / (a.0 * a.0 / (a.1 - 1.0) + b.0 * b.0 / (b.1 - 1.0))
    } else {
        a.1 + b.1 - 2.0
    };
    let half = t_quantile(0.975, df) * total.sqrt();
    Estimate { mean: value, low: value - half, high: value + half }
}

/// The cumulative distribution function of Student's t at `t`, with `df` degrees of freedom (any positive number).
pub fn t_cdf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(df / (df + t * t), df / 2.0, 0.5);
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The quantile of Student's t for a probability `p` strictly between 0 and 1, by bisection.
///
/// # Panics
/// If `p` or `df` is out of range.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    assert!(p > 0.0 && p < 1.0 && df > 0.0, "no quantile {p} of {df} degrees of freedom");
    if p < 0.5 {
        return -t_quantile(1.0 - p, df);
    }
    let mut high = 1.0;
    while t_cdf(high, df) < p && high < 1e300 {
        high *= 2.0;
    }
    let mut low = 0.0;
    // Bisection, until the ends are neighbouring floating-point numbers.
    for _ in 0..2000 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if t_cdf(middle, df) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function `I_x(a, b)` by its continued fraction (Numerical Recipes, section 6.4).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // The fraction converges fast only below the mean of the distribution; above it, use the symmetry.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(x, a, b) / a
    } else {
        1.0 - front * continued_fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function, by the modified Lentz method.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guarded = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guarded(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guarded(1.0 + even * d);
        c = guarded(1.0 + even / c);
        value *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guarded(1.0 + odd * d);
        c = guarded(1.0 + odd / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// The logarithm of the gamma function of a positive number (Lanczos approximation, g = 7).
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let series = |sum: f64, (i, c): (usize, &f64)| sum + c / (x + i as f64);
    let sum = COEFFICIENTS.iter().enumerate().skip(1).fold(COEFFICIENTS[0], series);
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table = [
            (1.0, 12.706_204_736),
            (2.0, 4.302_652_730),
            (3.0, 3.182_446_305),
            (4.0, 2.776_445_105),
            (5.0, 2.570_581_836),
            (7.0, 2.364_624_252),
            (10.0, 2.228_138_852),
            (30.0, 2.042_272_456),
            (1000.0, 1.962_339_081),
        ];
        for (df, expected) in table {
            let found = t_quantile(0.975, df);
            assert!((found - expected).abs() < 1e-8, "{df} degrees of freedom: {found}, expected {expected}");
            assert_eq!(t_quantile(0.025, df), -found);
        }
    }

    #[test]
    fn one_and_two_degrees_of_freedom_have_closed_forms() {
        for t in [-8.0, -1.0, 0.0, 0.3, 2.5, 40.0] {
            let cauchy = 0.5 + f64::atan(t) / std::f64::consts::PI;
            assert!((t_cdf(t, 1.0) - cauchy).abs() < 1e-12, "{t}");
            let two = 0.5 + t / (2.0 * (2.0 + t * t).sqrt());
            assert!((t_cdf(t, 2.0) - two).abs() < 1e-12, "{t}");
        }
    }

    #[test]
    fn intervals_are_those_computed_by_hand() {
        // Mean 2, variance 1, n = 3: 2 ± 4.30265·√(1/3).
        let found = t_interval(&[1.0, 2.0, 3.0]);
        assert!((found.high - 2.0 - 4.302_652_730 / 3f64.sqrt()).abs() < 1e-8, "{found:?}");
        assert!(!t_interval(&[1.0]).is_bounded());
        // Equal variances and sizes: 2n − 2 degrees of freedom, as in the classical test.
        let found = welch_interval(&[1.0, 2.0, 3.0], &[5.0, 6.0, 7.0]);
        let half = 2.776_445_105 * (2.0f64 / 3.0).sqrt();
        assert!((found.mean + 4.0).abs() < 1e-12 && (found.high + 4.0 - half).abs() < 1e-8, "{found:?}");
        // If one side has no variance, the degrees of freedom are those of the other.
        let found = welch_interval(&[1.0, 2.0, 3.0], &[0.0, 0.0]);
        assert!((found.high - t_interval(&[1.0, 2.0, 3.0]).high).abs() < 1e-9, "{found:?}");
        assert!(!welch_interval(&[1.0], &[1.0, 2.0]).is_bounded());
        assert_eq!(welch_interval(&[1.0, 1.0], &[0.5, 0.5]).low, 0.5);
    }

    #[test]
    fn nineteen_of_twenty_intervals_over_four_units_hold_the_truth() {
        let covered = (0..2000u64).filter(|&i| {
            let mut stream = enas_rng::Seed::new(9).stream("test", &[i]);
            let values: Vec<f64> = (0..4).map(|_| f64::from(stream.normal())).collect();
            let found = t_interval(&values);
            found.low <= 0.0 && found.high >= 0.0
        });
        let covered = covered.count();
        assert!((1870..=1930).contains(&covered), "{covered} of 2000");
    }

    proptest! {
        #[test]
        fn quantiles_invert_the_distribution(p in 0.001f64..0.999, df in 0.5f64..500.0) {
            prop_assert!((t_cdf(t_quantile(p, df), df) - p).abs() < 1e-10);
        }
    }
}
