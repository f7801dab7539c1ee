//! An accuracy with its confidence interval, compared with always predicting the most frequent class.
//!
//! For classes of very different sizes that comparison is unfair: a network that recognises the rare ones may have a
//! lower accuracy. So a network is at chance level only if its balanced accuracy is at chance level as well.

use std::collections::BTreeSet;

use enas_data::{Dataset, Part, Split};
use enas_search::{BalancedAccuracy, Evaluation, RefitImages, Refitted, interval};

use crate::output::{grouped, percent};

/// An accuracy on a split, and the number of images of its most frequent class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) correct: u64,
    pub(crate) total: u64,
    /// Number of images of the most frequent class.
    most_frequent: u64,
    /// Number of classes that have images; 0 if nothing is compared with.
    classes: usize,
    /// The balanced accuracy on the same images, if known.
    balanced: Option<BalancedAccuracy>,
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
             those of the network before it (measured.safetensors), which had trained for a shorter time on fewer images"
        ),
    }
}

/// A warning for the result of a run whose splits share images.
pub(crate) fn shared_images(data: &Dataset) -> Option<String> {
    let contents = |part: Part| -> BTreeSet<u64> {
        let split = data.split(part);
        (0..split.len()).step_by(split.copies()).map(|i| split.content(i)).collect()
    };
    let [train, valid, test] = Part::ALL.map(contents);
    let pairs = [(&train, &valid), (&train, &test), (&valid, &test)];
    let shared: BTreeSet<u64> = pairs.into_iter().flat_map(|(a, b)| a.intersection(b)).copied().collect();
    let are = if shared.len() == 1 { "image is" } else { "images are" };
    (!shared.is_empty()).then(|| {
        format!(
            "{} {are} in more than one split, so the accuracies flatter the network: keep each image in one split \
             only (enas data check names them)",
            grouped(shared.len() as u64)
        )
    })
}

impl Standing {
    /// From an accuracy, 0 to 1, on all images of `split`.
    pub(crate) fn on(split: &Split, accuracy: f64) -> Self {
        let total = split.len() as u64;
        let classes = split.labels().iter().max().map_or(0, |most| *most as usize + 1);
        let mut counts = vec![0; classes];
        split.labels().iter().for_each(|label| counts[*label as usize] += 1);
        Self {
            correct: (accuracy * total as f64).round() as u64,
            total,
            most_frequent: counts.iter().copied().max().unwrap_or(0),
            classes: counts.iter().filter(|n| **n > 0).count(),
            balanced: None,
        }
    }

    /// The same with the balanced accuracy on the same images.
    pub(crate) fn with_balanced(self, balanced: Option<BalancedAccuracy>) -> Self {
        Self { balanced, ..self }
    }

    /// From an accuracy, 0 to 1, on `images` images of a split, assuming the class proportions of the split.
    pub(crate) fn on_part(images: usize, split: &Split, accuracy: f64) -> Self {
        let whole = Self::on(split, accuracy);
        let share = images as f64 / split.len().max(1) as f64;
        let most_frequent = (whole.most_frequent as f64 * share).round() as u64;
        Self {
            correct: (accuracy * images as f64).round() as u64,
            total: images as u64,
            most_frequent,
            ..whole
        }
    }

    /// From counts, without a most frequent class to compare with.
    pub(crate) fn counted(correct: u64, total: u64) -> Self {
        Self { correct, total, most_frequent: 0, classes: 0, balanced: None }
    }

    /// From a confusion matrix.
    pub(crate) fn of(evaluation: &Evaluation) -> Self {
        let support = evaluation.confusion.iter().map(|row| row.iter().sum());
        Self {
            correct: evaluation.correct(),
            total: evaluation.total(),
            most_frequent: support.max().unwrap_or(0),
            classes: evaluation.classes_present(),
            balanced: Some(evaluation.balanced()),
        }
    }

    /// Number of classes that have images.
    pub(crate) fn classes(self) -> usize {
        self.classes
    }

    /// The 95 % confidence interval of the accuracy, 0 to 1.
    pub(crate) fn interval(self) -> [f64; 2] {
        interval(self.correct, self.total).into()
    }

    /// The accuracy of always predicting the most frequent class, 0 to 1.
    pub(crate) fn baseline(self) -> f64 {
        self.most_frequent as f64 / self.total.max(1) as f64
    }

    /// Whether neither the accuracy is measurably above [`Self::baseline`] nor the balanced accuracy above its value by
    /// chance. Images of a single class say nothing about that.
    pub(crate) fn is_at_chance(self) -> bool {
        let is_balanced_above = self.balanced.is_some_and(BalancedAccuracy::is_above_chance);
        self.classes > 1 && self.interval()[0] <= self.baseline() && !is_balanced_above
    }

    /// The balanced accuracy in words, as in `81.20 %, 95 % interval 70.1 to 92.3, by chance 50 %`.
    pub(crate) fn balanced_line(self) -> Option<String> {
        let balanced = self.balanced.filter(|_| self.classes > 1)?;
        let BalancedAccuracy { value, low, high, .. } = balanced;
        Some(format!(
            "{}, 95 % interval {} to {}, by chance {} %",
            percent(value),
            tenths(low),
            tenths(high),
            tenths(balanced.by_chance())
        ))
    }

    /// The accuracy in words, as in `98.88 % (177 of 179), 95 % interval 96.0 to 99.7`.
    pub(crate) fn line(self) -> String {
        let share = self.correct as f64 / self.total.max(1) as f64;
        let share = if share == 1.0 { "100 %".to_owned() } else { percent(share) };
        let [low, high] = self.interval().map(tenths);
        format!("{share} ({} of {}), 95 % interval {low} to {high}", self.correct, self.total)
    }

    /// A warning with advice if the accuracy is at chance level.
    pub(crate) fn warning(self) -> Option<String> {
        let balanced = self.balanced.map_or(String::new(), |balanced| {
            format!(", nor is the mean over the classes above {}", percent(balanced.by_chance()))
        });
        self.is_at_chance().then(|| {
            format!(
                "at chance level: not measurably above {}, which always naming the most frequent class reaches{balanced}. \
                 Train for longer (--epochs, --time) or on more images; enas data check DATA looks for trouble in them",
                percent(self.baseline())
            )
        })
    }
}

/// A share in percent with one decimal, or with none if it is a whole number.
fn tenths(share: f64) -> String {
    let digits = format!("{:.1}", 100.0 * share);
    digits.strip_suffix(".0").map_or(digits.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(correct: u64, total: u64, most_frequent: u64) -> Standing {
        Standing { correct, total, most_frequent, classes: 3, balanced: None }
    }

    #[test]
    fn an_accuracy_says_of_how_many_and_how_sure_it_is() {
        assert_eq!(standing(179, 179, 20).line(), "100 % (179 of 179), 95 % interval 97.9 to 100");
        assert_eq!(standing(7, 8, 4).line(), "87.50 % (7 of 8), 95 % interval 52.9 to 97.8");
    }

    #[test]
    fn splits_that_share_images_are_named_in_the_result() {
        let dir = tempfile::tempdir().unwrap();
        for (shade, class) in (0u8..).step_by(100).zip(["a", "b"]) {
            for (split, n) in [("train", 0..6), ("valid", 5..8), ("test", 8..11)] {
                let folder = dir.path().join(split).join(class);
                std::fs::create_dir_all(&folder).unwrap();
                for i in n {
                    let pixel = |x: u32, y: u32| image::Luma([(x * y + shade as u32 + i) as u8]);
                    image::GrayImage::from_fn(8, 8, pixel)
                        .save(folder.join(format!("{split}{i}.png")))
                        .unwrap();
                }
            }
        }
        let config = enas_data::Config { path: dir.path().into(), image_size: 8, ..Default::default() };
        let load =
            || enas_data::load(&config, &enas_data::LoadOptions::new(enas_data::Seed::new(1))).unwrap();
        assert!(shared_images(&load()).unwrap().starts_with("2 images are in more than one split"));
        for class in ["a", "b"] {
            std::fs::remove_file(dir.path().join("valid").join(class).join("valid5.png")).unwrap();
        }
        assert_eq!(shared_images(&load()), None);
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

    fn of(confusion: Vec<Vec<u64>>) -> Standing {
        let classes: Vec<String> = (0..confusion.len()).map(|k| k.to_string()).collect();
        Standing::of(&Evaluation { classes, confusion })
    }

    #[test]
    fn a_network_that_recognises_the_rare_class_is_not_condemned_for_its_accuracy() {
        let useful = of(vec![vec![64, 26], vec![0, 6]]);
        assert!(useful.interval()[0] < useful.baseline() && !useful.is_at_chance());
        assert!(
            useful.balanced_line().unwrap().ends_with(", by chance 50 %"),
            "{:?}",
            useful.balanced_line()
        );
        let constant = of(vec![vec![90, 0], vec![6, 0]]);
        assert!(constant.is_at_chance());
        let warning = constant.warning().unwrap();
        assert!(warning.contains("93.75 %") && warning.contains("the classes above 50.00 %"), "{warning}");
    }

    #[test]
    fn images_of_a_single_class_have_no_chance_level() {
        let one = of(vec![vec![64, 36], vec![0, 0]]);
        assert_eq!((one.is_at_chance(), one.warning(), one.balanced_line()), (false, None, None));
    }
}
