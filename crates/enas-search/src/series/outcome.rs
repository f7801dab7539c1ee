//! The result of a series of trainings.

use enas_run::evaluation::interval;

use crate::series::Member;
use crate::train::TrainOutcome;

/// The result of a series of trainings.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesOutcome {
    /// The training with the median validation accuracy (the lower one of two). Its files are those of the folder.
    pub median: TrainOutcome,
    /// The member of that training.
    pub delivered: Member,
    /// The result of every training, in order.
    pub members: Vec<MemberOutcome>,
    /// Mean accuracy on the test split, 0 to 1.
    pub test_accuracy_mean: f64,
    /// Sample standard deviation (n - 1) of the test accuracies; 0 for one training.
    pub test_accuracy_sd: f64,
    /// All folds together; `None` for seeds, which all test the same images.
    pub pooled: Option<Pooled>,
}

/// The result of one training of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberOutcome {
    /// The training.
    pub member: Member,
    /// Accuracy of the kept weights on the validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Accuracy of the kept weights on the test split, 0 to 1.
    pub test_accuracy: f64,
    /// Number of images in the test split.
    pub test_total: u64,
}

impl MemberOutcome {
    /// Number of test images classified correctly.
    pub fn test_correct(&self) -> u64 {
        (self.test_accuracy * self.test_total as f64).round() as u64
    }
}

/// Predictions for all images, each by the network that was not trained on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooled {
    /// Number of images classified correctly.
    pub correct: u64,
    /// Number of all images.
    pub total: u64,
}

impl Pooled {
    /// Share of images classified correctly, 0 to 1.
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.total.max(1) as f64
    }

    /// The 95 % confidence interval of the accuracy (Wilson).
    pub fn interval(self) -> (f64, f64) {
        interval(self.correct, self.total)
    }
}

impl SeriesOutcome {
    /// The outcome of all trainings in order; the one at index `median` is delivered as `delivered`.
    pub(super) fn new(members: Vec<MemberOutcome>, median: usize, delivered: TrainOutcome) -> Self {
        let tested: Vec<f64> = members.iter().map(|member| member.test_accuracy).collect();
        let (test_accuracy_mean, test_accuracy_sd) = mean_and_deviation(&tested);
        let is_folds = members.iter().all(|member| matches!(member.member, Member::Fold(_)));
        let sum = |of: fn(&MemberOutcome) -> u64| members.iter().map(of).sum();
        let pooled = is_folds.then(|| Pooled {
            correct: sum(MemberOutcome::test_correct),
            total: sum(|member| member.test_total),
        });
        let member = members[median].member;
        Self { median: delivered, delivered: member, members, test_accuracy_mean, test_accuracy_sd, pooled }
    }
}

/// The index of the median validation accuracy (the lower one of two).
pub(super) fn median(members: &[MemberOutcome]) -> usize {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&a, &b| members[a].valid_accuracy.total_cmp(&members[b].valid_accuracy));
    order[(order.len() - 1) / 2]
}

/// Mean and standard deviation of a sample.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_is_that_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5]), (0.5, 0.0));
        let (mean, sd) = mean_and_deviation(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean - 2.5).abs() < 1e-12 && (sd - (5.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_median_is_the_lower_one_of_two() {
        let of = |accuracies: &[f64]| {
            let member = |&valid_accuracy: &f64| MemberOutcome {
                member: Member::Seed(1),
                valid_accuracy,
                test_accuracy: 0.0,
                test_total: 1,
            };
            median(&accuracies.iter().map(member).collect::<Vec<_>>())
        };
        assert_eq!((of(&[0.3, 0.1, 0.2]), of(&[0.4, 0.1, 0.3, 0.2]), of(&[0.5])), (2, 3, 0));
    }
}
