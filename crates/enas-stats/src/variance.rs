//! Variance components: the spread between units and between repeats of one unit.

use serde::Serialize;

use crate::estimate::{mean, variance};

/// Standard deviations between units and between repeats of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Components {
    /// Between units, with the contribution of the repeats subtracted; 0 if that contribution explains all of it.
    /// Without repeats it cannot be subtracted and is included.
    pub between: f64,
    /// Between repeats of a unit; `None` if no unit has two.
    pub within: Option<f64>,
}

impl Components {
    /// The components by one-way analysis of variance (random effects), with any number of repeats per unit. `None`
    /// for fewer than two units.
    pub fn of(units: &[Vec<f64>]) -> Option<Self> {
        let units: Vec<&Vec<f64>> = units.iter().filter(|unit| !unit.is_empty()).collect();
        if units.len() < 2 {
            return None;
        }
        let k = units.len() as f64;
        let n = units.iter().map(|unit| unit.len()).sum::<usize>() as f64;
        if n == k {
            let values: Vec<f64> = units.iter().map(|unit| unit[0]).collect();
            return Some(Self { between: variance(&values).sqrt(), within: None });
        }
        let grand = units.iter().flat_map(|unit| unit.iter()).sum::<f64>() / n;
        let squares = |value: f64, centre: f64| (value - centre).powi(2);
        let within: f64 =
            units.iter().map(|unit| unit.iter().map(|x| squares(*x, mean(unit))).sum::<f64>()).sum();
        let between: f64 = units.iter().map(|unit| unit.len() as f64 * squares(mean(unit), grand)).sum();
        let within = within / (n - k);
        let between = between / (k - 1.0);
        // Effective number of repeats per unit, for units with different numbers of repeats.
        let repeats = (n - units.iter().map(|unit| (unit.len() as f64).powi(2)).sum::<f64>() / n) / (k - 1.0);
        let between = ((between - within) / repeats).max(0.0);
        Some(Self { between: between.sqrt(), within: Some(within.sqrt()) })
    }

    /// Reliability: the share of the variance of a mean over `repeats` repeats that is between units, from 0 to 1.
    /// This is the expected correlation of two such means of the same units. `None` without repeats, or if nothing
    /// varies.
    pub fn reliability(self, repeats: f64) -> Option<f64> {
        let between = self.between.powi(2);
        let noise = self.within?.powi(2) / repeats;
        (between + noise > 0.0).then(|| between / (between + noise))
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    #[test]
    fn components_are_those_computed_by_hand() {
        // Means 1 and 5, each ±1: within 2, between 8·2 = 16, so (16 − 2)/2 = 7.
        let found = Components::of(&[vec![0.0, 2.0], vec![4.0, 6.0]]).unwrap();
        assert!((found.within.unwrap() - 2f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.between - 7f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert!((found.reliability(2.0).unwrap() - 7.0 / 8.0).abs() < 1e-12);
        assert!((found.reliability(1.0).unwrap() - 7.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn what_repeats_explain_is_no_spread_between_units() {
        let found = Components::of(&[vec![0.0, 2.0], vec![2.0, 0.0], vec![1.0, 1.0]]).unwrap();
        assert_eq!((found.between, found.reliability(2.0)), (0.0, Some(0.0)));
    }

    #[test]
    fn without_repeats_all_spread_is_between_units() {
        let found = Components::of(&[vec![1.0], vec![2.0], vec![6.0]]).unwrap();
        assert_eq!((found.between, found.within, found.reliability(1.0)), (7f64.sqrt(), None, None));
        assert_eq!(Components::of(&[vec![1.0, 2.0]]), None);
        assert_eq!(Components::of(&[vec![1.0, 2.0], vec![]]), None);
    }

    #[test]
    fn drawn_components_are_found_again_with_unequal_numbers_of_repeats() {
        let mut stream = Seed::new(4).stream("test", &[]);
        let mut unit = |i: usize| {
            let of_unit = 2.0 * f64::from(stream.normal());
            (0..1 + i % 4).map(|_| of_unit + 0.5 * f64::from(stream.normal())).collect::<Vec<f64>>()
        };
        let units: Vec<Vec<f64>> = (0..4000).map(&mut unit).collect();
        let found = Components::of(&units).unwrap();
        assert!((found.between - 2.0).abs() < 0.08, "{found:?}");
        assert!((found.within.unwrap() - 0.5).abs() < 0.02, "{found:?}");
    }
}
