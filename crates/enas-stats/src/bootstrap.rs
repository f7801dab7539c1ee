//! Confidence intervals by the hierarchical bootstrap: resamples units, and repeats within units.

use enas_rng::{Seed, Stream};

use crate::estimate::{Estimate, mean};

/// Default number of resamples of an interval.
pub const RESAMPLES: usize = 10_000;

/// The hierarchical percentile bootstrap: units are drawn with replacement, then repeats within each drawn unit.
///
/// Trainings of one architecture with different seeds resemble each other more than trainings of two architectures. A
/// plain bootstrap over all values would treat every training as independent and give intervals that are too narrow.
/// Results depend only on the seed.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    resamples: usize,
    seed: Seed,
}

impl Bootstrap {
    /// A bootstrap with [`RESAMPLES`] resamples.
    pub fn new(seed: Seed) -> Self {
        Self { resamples: RESAMPLES, seed }
    }

    /// The same with another number of resamples.
    ///
    /// # Panics
    /// If `resamples` is 0.
    #[must_use]
    pub fn with_resamples(self, resamples: usize) -> Self {
        assert!(resamples > 0, "an interval needs at least one resample");
        Self { resamples, ..self }
    }

    /// A random stream for draws outside the resamples.
    pub fn stream(&self, purpose: &str) -> Stream {
        self.seed.stream(purpose, &[])
    }

    /// The 95 % interval of `statistic`, which draws one resample from the stream and returns its value. Resamples
    /// with `None` or a value that is not finite are left out. Returns `None` if these are half of them or more.
    ///
    /// `purpose` names the stream: intervals with different names are independent.
    pub fn interval(
        &self,
        purpose: &str,
        mut statistic: impl FnMut(&mut Stream) -> Option<f64>,
    ) -> Option<(f64, f64)> {
        let one = |i: usize| statistic(&mut self.seed.stream(purpose, &[i as u64]));
        let mut values: Vec<f64> = (0..self.resamples).filter_map(one).filter(|x| x.is_finite()).collect();
        if 2 * values.len() <= self.resamples {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some((quantile(&values, 0.025), quantile(&values, 0.975)))
    }

    /// The mean over the units' means. With fewer than two units it has no bounds.
    pub fn mean(&self, units: &[Vec<f64>]) -> Estimate {
        let value = mean_of(units);
        if units.len() < 2 {
            return Estimate::unbounded(value);
        }
        self.around(value, "bootstrap/mean", |stream| resample(units, stream))
    }

    /// The difference of the mean over the first units minus that over the second ones. If either side has fewer than
    /// two units it has no bounds.
    pub fn difference(&self, first: &[Vec<f64>], second: &[Vec<f64>]) -> Estimate {
        let value = mean_of(first) - mean_of(second);
        if first.len() < 2 || second.len() < 2 {
            return Estimate::unbounded(value);
        }
        self.around(value, "bootstrap/difference", |stream| {
            let drawn = resample(first, stream);
            drawn - resample(second, stream)
        })
    }

    fn around(&self, value: f64, purpose: &str, mut draw: impl FnMut(&mut Stream) -> f64) -> Estimate {
        match self.interval(purpose, |stream| Some(draw(stream))) {
            Some((low, high)) => Estimate { mean: value, low, high },
            None => Estimate::unbounded(value),
        }
    }
}

/// The mean of the units' means, with equal weight for every unit.
fn mean_of(units: &[Vec<f64>]) -> f64 {
    mean(&units.iter().map(|repeats| mean(repeats)).collect::<Vec<f64>>())
}

/// The mean of one resample: units drawn with replacement, as many as there are, and within each its repeats, drawn
/// likewise.
///
/// # Panics
/// If there are no units, or one has no repeats.
pub fn resample(units: &[Vec<f64>], stream: &mut Stream) -> f64 {
    let mut unit = || {
        let repeats = &units[stream.below(units.len())];
        (0..repeats.len()).map(|_| repeats[stream.below(repeats.len())]).sum::<f64>() / repeats.len() as f64
    };
    (0..units.len()).map(|_| unit()).sum::<f64>() / units.len() as f64
}

/// The quantile `p`, from 0 to 1, of values in ascending order, with linear interpolation between neighbours.
///
/// # Panics
/// If there are no values.
pub fn quantile(ascending: &[f64], p: f64) -> f64 {
    let at = p.clamp(0.0, 1.0) * (ascending.len() - 1) as f64;
    let below = at.floor() as usize;
    let share = at.fract();
    let above = (below + 1).min(ascending.len() - 1);
    ascending[below] + share * (ascending[above] - ascending[below])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::estimate::sd;

    fn normals(n: usize, repeats: usize, between: f64, within: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut stream = Seed::new(seed).stream("test", &[]);
        let mut unit = || {
            let of_unit = between * f64::from(stream.normal());
            (0..repeats).map(|_| of_unit + within * f64::from(stream.normal())).collect()
        };
        (0..n).map(|_| unit()).collect()
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|p| quantile(&values, p)), [1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(quantile(&[3.0], 0.9), 3.0);
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_on_either_side() {
        let units = normals(60, 1, 1.0, 0.0, 5);
        let flat: Vec<f64> = units.iter().flatten().copied().collect();
        let found = Bootstrap::new(Seed::new(1)).mean(&units);
        let half = 1.96 * sd(&flat) / 60f64.sqrt();
        assert!((found.mean - mean(&flat)).abs() < 1e-12);
        for (end, expected) in [(found.low, found.mean - half), (found.high, found.mean + half)] {
            assert!((end - expected).abs() < 0.1 * half, "{found:?}, expected ±{half}");
        }
    }

    #[test]
    fn many_seeds_of_few_architectures_are_not_many_architectures() {
        // Ten units with fifty identical repeats each: as uncertain as ten single values.
        let units = normals(10, 50, 1.0, 0.01, 3);
        let flat: Vec<Vec<f64>> = units.iter().flatten().map(|x| vec![*x]).collect();
        let bootstrap = Bootstrap::new(Seed::new(1)).with_resamples(2000);
        let [nested, pooled] = [&units, &flat].map(|units| bootstrap.mean(units)).map(|e| e.high - e.low);
        assert!(nested > 5.0 * pooled, "{nested} beside {pooled}");
    }

    #[test]
    fn nothing_is_sure_of_a_single_unit() {
        let bootstrap = Bootstrap::new(Seed::new(1));
        assert!(!bootstrap.mean(&[vec![1.0, 2.0]]).is_bounded());
        assert!(!bootstrap.difference(&[vec![1.0]], &[vec![2.0], vec![3.0]]).is_bounded());
        assert_eq!(bootstrap.interval("test", |_| None), None);
    }

    #[test]
    fn nine_of_ten_intervals_and_more_hold_the_truth() {
        let covered = (0..200u64).filter(|&seed| {
            let (first, second) =
                (normals(20, 2, 1.0, 0.5, 2 * seed), normals(20, 2, 1.0, 0.5, 2 * seed + 1));
            let found = Bootstrap::new(Seed::new(seed)).with_resamples(400).difference(&first, &second);
            found.low <= 0.0 && found.high >= 0.0
        });
        let covered = covered.count();
        assert!((178..=198).contains(&covered), "{covered} of 200 hold the true difference, 0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equal_seeds_give_equal_intervals_that_shift_with_the_values(
            values in proptest::collection::vec(proptest::collection::vec(-5.0f64..5.0, 1..4), 2..8),
            seed in any::<u64>(), shift in -3.0f64..3.0,
        ) {
            let bootstrap = Bootstrap::new(Seed::new(seed)).with_resamples(200);
            let found = bootstrap.mean(&values);
            prop_assert_eq!(found, bootstrap.mean(&values));
            prop_assert!(found.low <= found.high);
            let shifted: Vec<Vec<f64>> =
                values.iter().map(|unit| unit.iter().map(|x| x + shift).collect()).collect();
            let moved = bootstrap.mean(&shifted);
            prop_assert!((moved.low - found.low - shift).abs() < 1e-9);
            prop_assert!((moved.high - found.high - shift).abs() < 1e-9);
        }
    }
}
