//! Means of repeated searches with confidence intervals.

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
            len => t_97_5(len - 1) * sd / n.sqrt(),
        };
        Some(Self { mean, sd, low: mean - half, high: mean + half })
    }
}

/// The 97.5 % quantile of Student's t distribution, to a thousandth.
fn t_97_5(freedom: usize) -> f64 {
    // Cornish–Fisher expansion. It is too inaccurate for one and two degrees of freedom.
    const Z: f64 = 1.959_963_985;
    let v = freedom as f64;
    let z = |power: i32| Z.powi(power);
    match freedom {
        1 => 12.706,
        2 => 4.303,
        _ => {
            Z + (z(3) + Z) / (4.0 * v)
                + (5.0 * z(5) + 16.0 * z(3) + 3.0 * Z) / (96.0 * v.powi(2))
                + (3.0 * z(7) + 19.0 * z(5) + 17.0 * z(3) - 15.0 * Z) / (384.0 * v.powi(3))
                + (79.0 * z(9) + 776.0 * z(7) + 1482.0 * z(5) - 1920.0 * z(3) - 945.0 * Z)
                    / (92_160.0 * v.powi(4))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_the_t_distribution_are_those_of_tables() {
        for (freedom, expected) in
            [(1, 12.706), (3, 3.182), (4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)]
        {
            assert!((t_97_5(freedom) - expected).abs() < 5e-3, "{freedom}: {}", t_97_5(freedom));
        }
    }

    #[test]
    fn one_number_says_nothing_of_the_spread() {
        let summary = TableSummary::of(&[3.0]).unwrap();
        assert!(summary.mean == 3.0 && summary.sd.is_nan() && summary.low == f64::NEG_INFINITY);
        assert_eq!(TableSummary::of(&[]), None);
    }
}
