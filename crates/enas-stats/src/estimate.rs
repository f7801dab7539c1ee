//! A value with its interval.

use serde::Serialize;

/// A value with its 95 % interval. An unknown end is infinite, which JSON writes as null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value itself.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// A value without an interval.
    pub fn unbounded(mean: f64) -> Self {
        Self { mean, low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    /// Whether both ends of the interval are known.
    pub fn is_bounded(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// The same value and interval, each `factor` times as large; `factor` is not negative.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { mean: factor * self.mean, low: factor * self.low, high: factor * self.high }
    }
}

/// The mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of a sample (divided by `n - 1`); NaN for fewer than two values.
pub fn sd(values: &[f64]) -> f64 {
    variance(values).sqrt()
}

/// The variance of a sample; NaN for fewer than two values.
pub(crate) fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// The scale of a sample: standard scores (z-scores) make measures with different units comparable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandardScale {
    mean: f64,
    sd: f64,
}

impl StandardScale {
    /// The mean and standard deviation of `values`.
    pub fn of(values: &[f64]) -> Self {
        Self { mean: mean(values), sd: sd(values) }
    }

    /// The number of standard deviations above the mean; 0 if nothing varies or there was only one value.
    pub fn z(self, value: f64) -> f64 {
        if self.sd > 0.0 { (value - self.mean) / self.sd } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_samples() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(variance(&[1.0, 2.0, 6.0]), 7.0);
        assert!(sd(&[1.0]).is_nan() && mean(&[]).is_nan());
    }

    #[test]
    fn standard_scores_have_mean_zero_and_deviation_one() {
        let values = [1.0, 2.0, 6.0];
        let scale = StandardScale::of(&values);
        let scores = values.map(|value| scale.z(value));
        assert!(mean(&scores).abs() < 1e-12 && (sd(&scores) - 1.0).abs() < 1e-12);
        assert_eq!([&[3.0][..], &[3.0, 3.0]].map(|values| StandardScale::of(values).z(3.0)), [0.0; 2]);
    }

    #[test]
    fn what_is_not_known_has_no_bounds() {
        let one = Estimate::unbounded(0.5);
        assert!(!one.is_bounded() && one.low < 0.0 && one.high > 0.0);
        assert_eq!(Estimate { mean: 1.0, low: 0.5, high: 2.0 }.scaled(2.0).high, 4.0);
    }
}
