//! Evaluation of a network on a split: accuracy, confusion matrix and scores per class.

use candle_core::Tensor;
use enas_child::Child;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The predictions of a network on a whole split, as a confusion matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Class names, in the order of the label numbers.
    pub classes: Vec<String>,
    /// Number of images, `[true label][predicted label]`.
    pub confusion: Vec<Vec<u64>>,
}

/// Scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Name of the class.
    pub label: String,
    /// Share of the images with this predicted label that have it; 0 if there are none.
    pub precision: f64,
    /// Share of the images of this class that have this predicted label; 0 if there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if both are 0.
    pub f1: f64,
    /// Number of images of this class.
    pub support: u64,
}

/// Mean recall over the classes that have images, with its 95 % confidence interval; all from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalancedAccuracy {
    /// The mean.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of classes that have images.
    pub classes: usize,
}

impl BalancedAccuracy {
    /// The value for constant predictions, whichever class they name.
    pub fn by_chance(self) -> f64 {
        1.0 / self.classes.max(1) as f64
    }

    /// Whether the value is measurably above that by chance.
    pub fn is_above_chance(self) -> bool {
        self.low > self.by_chance()
    }
}

impl Evaluation {
    /// An evaluation without predictions.
    pub fn new(classes: &[String]) -> Self {
        Self { classes: classes.to_vec(), confusion: vec![vec![0; classes.len()]; classes.len()] }
    }

    /// Adds the predictions of a batch.
    ///
    /// Shapes: `logits` is `[n, classes]`, `labels` is `[n]` of U32.
    ///
    /// # Errors
    /// If the tensors have other shapes or types.
    pub fn count(&mut self, logits: &Tensor, labels: &Tensor) -> Result<()> {
        let predicted = Child::classes(logits)?.to_vec1::<u32>()?;
        let labels = labels.to_vec1::<u32>()?;
        for (predicted, label) in predicted.into_iter().zip(labels) {
            self.confusion[label as usize][predicted as usize] += 1;
        }
        Ok(())
    }

    /// Number of images classified correctly.
    pub fn correct(&self) -> u64 {
        (0..self.classes.len()).map(|k| self.confusion[k][k]).sum()
    }

    /// Number of images.
    pub fn total(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// Share of images classified correctly, 0 to 1; 0 for an empty split.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    /// Mean F1 over the classes that occur among the labels or the predictions, 0 to 1. Every class has the same
    /// weight. 0 for an empty split.
    pub fn macro_f1(&self) -> f64 {
        let is_given = |k: usize| self.confusion.iter().any(|row| row[k] > 0);
        let scores = self.per_class().into_iter().enumerate();
        mean(scores.filter(|(k, class)| class.support > 0 || is_given(*k)).map(|(_, class)| class.f1))
    }

    /// Mean recall over the classes that have images, 0 to 1; 0 for an empty split.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.per_class().iter().filter(|class| class.support > 0).map(|class| class.recall))
    }

    /// Mean F1 over the classes that have images, 0 to 1; 0 for an empty split.
    pub fn macro_f1_of_present(&self) -> f64 {
        mean(self.per_class().iter().filter(|class| class.support > 0).map(|class| class.f1))
    }

    /// Number of classes that have images.
    pub fn classes_present(&self) -> usize {
        self.per_class().iter().filter(|class| class.support > 0).count()
    }

    /// The balanced accuracy with an interval: the recalls of the classes are independent binomial shares.
    pub fn balanced(&self) -> BalancedAccuracy {
        let value = self.balanced_accuracy();
        let classes = self.classes_present();
        // The share of Agresti and Coull; the plain one would have no variance at 0 and 1.
        let variance = |class: &ClassScore| {
            let n = class.support as f64;
            let p = (class.recall * n + 2.0) / (n + 4.0);
            p * (1.0 - p) / n
        };
        let sum: f64 = self.per_class().iter().filter(|class| class.support > 0).map(variance).sum();
        let half = Z * sum.sqrt() / classes.max(1) as f64;
        BalancedAccuracy { value, low: (value - half).max(0.0), high: (value + half).min(1.0), classes }
    }

    /// Precision, recall and F1 of every class, in label order.
    pub fn per_class(&self) -> Vec<ClassScore> {
        let score = |(k, label): (usize, &String)| {
            let hits = self.confusion[k][k];
            let support = self.confusion[k].iter().sum();
            let given: u64 = self.confusion.iter().map(|row| row[k]).sum();
            // F1 = 2TP/(support + predicted), equal to 2pr/(p + r) but defined if either count is positive.
            let f1 = ratio(2 * hits, support + given);
            ClassScore {
                label: label.clone(),
                precision: ratio(hits, given),
                recall: ratio(hits, support),
                f1,
                support,
            }
        };
        self.classes.iter().enumerate().map(score).collect()
    }
}

/// The quantile of the normal distribution for 95 % intervals.
const Z: f64 = 1.96;

/// The 95 % Wilson score interval of the proportion `right`/`total`. Unlike the normal approximation it is usable
/// near 0 and 1.
pub fn interval(right: u64, total: u64) -> (f64, f64) {
    let n = total.max(1) as f64;
    let p = right as f64 / total.max(1) as f64;
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// The mean; 0 if there are no values.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { 0.0 } else { sum / f64::from(n) }
}

/// A batch size of at most `most` that divides `n` images into batches of nearly equal size. A nearly empty last
/// batch would have noisy batch statistics.
pub fn even_batch(n: usize, most: usize) -> usize {
    if n == 0 { most } else { n.div_ceil(n.div_ceil(most)) }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_classes() -> Evaluation {
        let classes: Vec<String> = ["a", "b", "c"].map(String::from).into();
        Evaluation { classes, confusion: vec![vec![3, 1, 0], vec![2, 2, 0], vec![0, 0, 0]] }
    }

    #[test]
    fn accuracy_is_the_diagonal_over_everything() {
        assert_eq!((three_classes().correct(), three_classes().total()), (5, 8));
        assert_eq!(three_classes().accuracy(), 0.625);
    }

    #[test]
    fn precision_looks_down_a_column_and_recall_along_a_row() {
        let a = &three_classes().per_class()[0];
        assert_eq!((a.precision, a.recall, a.support), (0.6, 0.75, 4));
        assert!((a.f1 - 2.0 * 0.6 * 0.75 / 1.35).abs() < 1e-15);
    }

    #[test]
    fn a_class_that_never_occurs_scores_zero_and_not_nan() {
        let c = &three_classes().per_class()[2];
        assert_eq!((c.precision, c.recall, c.f1, c.support), (0.0, 0.0, 0.0, 0));
    }

    #[test]
    fn macro_f1_is_the_mean_over_classes_that_occur() {
        let a = 2.0 * 3.0 / 9.0;
        let b = 2.0 * 2.0 / 7.0;
        assert!((three_classes().macro_f1() - (a + b) / 2.0).abs() < 1e-15);
        let mut predicted_only = three_classes();
        predicted_only.confusion[0] = vec![3, 0, 1];
        assert!((predicted_only.macro_f1() - (a + 2.0 * 2.0 / 6.0) / 3.0).abs() < 1e-15);
        assert_eq!(Evaluation::new(&["x".into()]).macro_f1(), 0.0);
    }

    #[test]
    fn balanced_accuracy_is_the_mean_recall_of_classes_with_images() {
        assert_eq!(three_classes().balanced_accuracy(), (0.75 + 0.5) / 2.0);
        assert_eq!(Evaluation::new(&["x".into()]).balanced_accuracy(), 0.0);
    }

    #[test]
    fn naming_the_largest_class_is_chance_for_balanced_accuracy_and_recognising_the_rare_one_is_not() {
        let classes: Vec<String> = ["a", "b"].map(String::from).into();
        let constant = Evaluation { classes: classes.clone(), confusion: vec![vec![90, 0], vec![6, 0]] };
        let balanced = constant.balanced();
        assert_eq!((balanced.value, balanced.by_chance(), balanced.classes), (0.5, 0.5, 2));
        assert!(balanced.low < 0.5 && balanced.high > 0.5 && !balanced.is_above_chance(), "{balanced:?}");
        // Its accuracy, 73 %, is below that of the constant.
        let useful = Evaluation { classes, confusion: vec![vec![64, 26], vec![0, 6]] };
        assert!(useful.accuracy() < constant.accuracy() && useful.balanced().is_above_chance());
    }

    #[test]
    fn macro_f1_of_the_classes_present_leaves_out_what_is_predicted_only() {
        let classes: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let one = Evaluation { classes, confusion: vec![vec![64, 36, 0], vec![0; 3], vec![0; 3]] };
        assert_eq!(one.classes_present(), 1);
        assert!((one.macro_f1_of_present() - 128.0 / 164.0).abs() < 1e-12);
        assert!((one.macro_f1() - 64.0 / 164.0).abs() < 1e-12);
        assert_eq!(three_classes().macro_f1_of_present(), three_classes().macro_f1());
    }

    #[test]
    fn counting_puts_the_true_label_on_the_row() {
        let mut e = Evaluation::new(&["x".into(), "y".into()]);
        let logits = Tensor::new(&[[0.1f32, 0.9], [0.8, 0.2]], &candle_core::Device::Cpu).unwrap();
        let labels = Tensor::new(&[0u32, 0], &candle_core::Device::Cpu).unwrap();
        e.count(&logits, &labels).unwrap();
        assert_eq!(e.confusion, [[1, 1], [0, 0]]);
    }

    #[test]
    fn intervals_are_wilsons() {
        let (low, high) = interval(178, 179);
        assert!((low - 0.9690).abs() < 5e-4 && (high - 0.9990).abs() < 5e-4, "{low} {high}");
        let (low, high) = interval(10, 10);
        assert!((low - 0.7225).abs() < 5e-4 && high == 1.0, "{low} {high}");
        assert_eq!(interval(0, 0).0, 0.0);
    }

    #[test]
    fn even_batches_leave_no_crumb() {
        for (n, most, expected) in [(101, 100, 51), (100, 100, 100), (7, 100, 7), (5001, 100, 99), (0, 9, 9)]
        {
            assert_eq!(even_batch(n, most), expected, "{n} images, at most {most}");
        }
    }
}
