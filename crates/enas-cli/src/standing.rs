//! An accuracy with its confidence interval, compared with always predicting the most frequent class.

use enas_data::Split;
use enas_search::{Evaluation, RefitImages, Refitted, interval};

use crate::output::{grouped, percent};

/// An accuracy on a split, and the number of images of its most frequent class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) correct: u64,
    pub(crate) total: u64,
    /// Number of images of the most frequent class.
    most_frequent: u64,
}

/// The meaning of the accuracies in words, for a network that learned from more images after its measurement (refit).
pub(crate) fn after_refit(refit: &Refitted) -> String {
    let all = grouped(refit.fitted as u64);
    match refit.images {
        RefitImages::None => String::new(),
        RefitImages::Validation => format!(
            "the model then also learned from the validation images, {all} images in all; the test accuracy is its \
             own, the validation accuracy that of the network before"
        ),
        RefitImages::All => format!(
            "the model then also learned from the validation and test images, {all} images in all; both accuracies are \
             those of the network before (measured.safetensors)"
        ),
    }
}

impl Standing {
    /// From an accuracy, 0 to 1, on all images of `split`.
    pub(crate) fn on(split: &Split, accuracy: f64) -> Self {
        let total = split.len() as u64;
        let classes = split.labels().iter().max().map_or(0, |most| *most as usize + 1);
        let mut counts = vec![0; classes];
        split.labels().iter().for_each(|label| counts[*label as usize] += 1);
        let most_frequent = counts.into_iter().max().unwrap_or(0);
        Self { correct: (accuracy * total as f64).round() as u64, total, most_frequent }
    }

    /// From an accuracy, 0 to 1, on `images` images of a split, assuming the class proportions of the split.
    pub(crate) fn on_part(images: usize, split: &Split, accuracy: f64) -> Self {
        let whole = Self::on(split, accuracy);
        let share = images as f64 / split.len().max(1) as f64;
        let most_frequent = (whole.most_frequent as f64 * share).round() as u64;
        Self { correct: (accuracy * images as f64).round() as u64, total: images as u64, most_frequent }
    }

    /// From counts, without a most frequent class to compare with.
    pub(crate) fn counted(correct: u64, total: u64) -> Self {
        Self { correct, total, most_frequent: 0 }
    }

    /// From a confusion matrix.
    pub(crate) fn of(evaluation: &Evaluation) -> Self {
        let support = evaluation.confusion.iter().map(|row| row.iter().sum());
        let most_frequent = support.max().unwrap_or(0);
        Self { correct: evaluation.correct(), total: evaluation.total(), most_frequent }
    }

    /// The 95 % confidence interval of the accuracy, 0 to 1.
    pub(crate) fn interval(self) -> [f64; 2] {
        interval(self.correct, self.total).into()
    }

    /// The accuracy of always predicting the most frequent class, 0 to 1.
    pub(crate) fn baseline(self) -> f64 {
        self.most_frequent as f64 / self.total.max(1) as f64
    }

    /// Whether the accuracy is not measurably above [`Self::baseline`]: its confidence interval includes the baseline
    /// or lies below.
    pub(crate) fn is_at_chance(self) -> bool {
        self.interval()[0] <= self.baseline()
    }

    /// The accuracy in words, as in `98.88 % (177 of 179), 95 % interval 96.0 to 99.7`.
    pub(crate) fn line(self) -> String {
        let share = self.correct as f64 / self.total.max(1) as f64;
        let share = if share == 1.0 { "100 %".to_owned() } else { percent(share) };
        let [low, high] = self.interval().map(|bound| {
            let digits = format!("{:.1}", 100.0 * bound);
            digits.strip_suffix(".0").map_or(digits.clone(), str::to_owned)
        });
        format!("{share} ({} of {}), 95 % interval {low} to {high}", self.correct, self.total)
    }

    /// A warning with advice if the accuracy is at chance level.
    pub(crate) fn warning(self) -> Option<String> {
        self.is_at_chance().then(|| {
            format!(
                "at chance level: not measurably above {}, the accuracy of always predicting the most frequent class. \
                 Train longer (--epochs, --time) or on more images; enas data check DATA finds problems in them",
                percent(self.baseline())
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(correct: u64, total: u64, most_frequent: u64) -> Standing {
        Standing { correct, total, most_frequent }
    }

    #[test]
    fn an_accuracy_says_of_how_many_and_how_sure_it_is() {
        assert_eq!(standing(179, 179, 20).line(), "100 % (179 of 179), 95 % interval 97.9 to 100");
        assert_eq!(standing(7, 8, 4).line(), "87.50 % (7 of 8), 95 % interval 52.9 to 97.8");
    }

    #[test]
    fn chance_is_what_the_interval_cannot_tell_from_the_most_frequent_class() {
        // 101 of 300 right, and a third of the images is of the most frequent class: chance level.
        assert!(standing(101, 300, 100).is_at_chance());
        assert!(standing(101, 300, 100).warning().unwrap().contains("33.33 %"));
        assert!(!standing(117, 300, 80).is_at_chance());
        // Above the baseline, but on too few images to be significant.
        assert!(standing(9, 18, 6).is_at_chance());
        assert!(!standing(12, 18, 6).is_at_chance());
        assert_eq!(standing(12, 18, 6).warning(), None);
        assert!(standing(0, 0, 0).is_at_chance());
    }
}
