//! Means of repeated searches with confidence intervals.

use enas_stats::t_quantile;

/// The mean of some numbers, their standard deviation, and the 95 % interval of the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableSummary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of one number, with n − 1 in the denominator.
    pub sd: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl TableSummary {
    /// Summarises `numbers`, assuming that they are independent and normal (Student's t); `None` if there are none.
    ///
    /// With a single number `sd` is NaN and the interval is infinite.
    ///
    /// ```
    /// use enas_strategy::TableSummary;
    ///
    /// let summary = TableSummary::of(&[1.0, 2.0, 3.0]).expect("there are numbers");
    /// assert_eq!((summary.mean, summary.sd), (2.0, 1.0));
    /// assert!((summary.low - (2.0 - 4.303 / 3f64.sqrt())).abs() < 1e-3);
    /// ```
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let n = numbers.len() as f64;
        if numbers.is_empty() {
            return None;
        }
        let mean = numbers.iter().sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
        let sd = (squares / (n - 1.0)).sqrt();
        let half = match numbers.len() {
            1 => f64::INFINITY,
            len => t_quantile(0.975, (len - 1) as f64) * sd / n.sqrt(),
        };
        Some(Self { mean, sd, low: mean - half, high: mean + half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_says_nothing_of_the_spread() {
        let summary = TableSummary::of(&[3.0]).unwrap();
        assert!(summary.mean == 3.0 && summary.sd.is_nan() && summary.low == f64::NEG_INFINITY);
        assert_eq!(TableSummary::of(&[]), None);
    }
}
