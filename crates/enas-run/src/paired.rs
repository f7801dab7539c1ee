//! Paired comparison of two networks on the same images.

use serde::{Deserialize, Serialize};

/// The difference of two accuracies on the same images, in percentage points, with a 95 % confidence interval.
///
/// Only images on which the networks disagree say which is better (Agresti and Min, *Simple improved confidence
/// intervals for comparing matched proportions*, 2005). If both networks were chosen by their accuracy on these
/// images, both accuracies are too high (selection bias), and the interval does not account for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The first accuracy minus the second.
    pub points: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The conclusion from a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval lies above zero.
    Better,
    /// The interval lies below zero.
    Worse,
    /// The interval contains zero.
    NoMeasurableDifference,
}

impl Verdict {
    /// The conclusion from the confidence interval of a difference. "Better" and "worse" require one that excludes
    /// zero.
    pub fn of(low: f64, high: f64) -> Self {
        if low > 0.0 {
            Self::Better
        } else if high < 0.0 {
            Self::Worse
        } else {
            Self::NoMeasurableDifference
        }
    }

    /// In words, to follow `is` or a colon.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "measurably better",
            Self::Worse => "measurably worse",
            Self::NoMeasurableDifference => "no measurable difference",
        }
    }
}

impl PairedDifference {
    /// The difference between two networks, given whether each classifies each image correctly.
    ///
    /// # Panics
    /// If the slices have different lengths.
    pub fn of(first: &[bool], second: &[bool]) -> Self {
        assert_eq!(first.len(), second.len(), "both saw the same images");
        let count = |wanted: (bool, bool)| {
            first.iter().zip(second).filter(|(a, b)| (**a, **b) == wanted).count() as f64
        };
        let only_first = count((true, false));
        let only_second = count((false, true));
        let n = first.len() as f64;
        // Half an image is added to each of the four cells of the table, which keeps the interval sensible for few
        // disagreements.
        let b = only_first + 0.5;
        let c = only_second + 0.5;
        let m = n + 2.0;
        let centre = (b - c) / m;
        let half = 1.96 * ((b + c - (b - c).powi(2) / m) / (m * m)).sqrt();
        let points = if n > 0.0 { 100.0 * (only_first - only_second) / n } else { 0.0 };
        Self { points, low: 100.0 * (centre - half), high: 100.0 * (centre + half) }
    }

    /// The conclusion.
    pub fn verdict(self) -> Verdict {
        Verdict::of(self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two networks that alone classify `b` and `c` of `n` images correctly.
    fn difference(b: usize, c: usize, n: usize) -> PairedDifference {
        let first: Vec<bool> = (0..n).map(|i| i < b || i >= b + c).collect();
        let second: Vec<bool> = (0..n).map(|i| i >= b).collect();
        PairedDifference::of(&first, &second)
    }

    #[test]
    fn two_images_of_179_are_no_measurable_difference() {
        let found = difference(5, 3, 179);
        assert!((found.points - 100.0 * 2.0 / 179.0).abs() < 1e-9);
        assert_eq!(found.verdict(), Verdict::NoMeasurableDifference);
        assert!(found.low < 0.0 && found.high > found.points, "{found:?}");
    }

    #[test]
    fn a_clear_difference_is_one_in_either_direction() {
        assert_eq!(difference(60, 10, 1000).verdict(), Verdict::Better);
        assert_eq!(difference(10, 60, 1000).verdict(), Verdict::Worse);
        let there = difference(60, 10, 1000);
        let back = difference(10, 60, 1000);
        assert!((there.low + back.high).abs() < 1e-9 && (there.points + back.points).abs() < 1e-9);
    }

    #[test]
    fn it_agrees_with_the_published_formula() {
        // b = 60, c = 10, n = 1000: centre 50/1002, deviation √(71 − 50²/1002)/1002.
        let found = difference(60, 10, 1000);
        let half = 1.96 * (71.0f64 - 2500.0 / 1002.0).sqrt() / 1002.0;
        assert!((found.low - 100.0 * (50.0 / 1002.0 - half)).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn equal_networks_and_no_images_differ_by_nothing() {
        for n in [0, 50] {
            let found = difference(0, 0, n);
            assert_eq!((found.points, found.verdict()), (0.0, Verdict::NoMeasurableDifference));
            assert!(found.low < 0.0 && found.high > 0.0);
        }
    }
}
