//! Quality of predicted probabilities: confusion matrix, calibration (expected calibration error, temperature
//! scaling)
//! and the mistakes with the highest confidence. This file computes numbers only.

use candle_core::{Device, Tensor};
use enas_run::calibration::{log_normalizer, log_probability};
use enas_run::{Evaluation, fit_temperature};

/// The probabilities of a split with its labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predictions<'a> {
    /// `[n, n_classes]`; each row sums to 1.
    pub(crate) rows: &'a [f32],
    /// `[n]`: the class of each image.
    pub(crate) labels: &'a [u32],
    pub(crate) n_classes: usize,
}

/// A wrong prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mistake {
    /// Index of the image in its split.
    pub(crate) index: usize,
    pub(crate) label: usize,
    pub(crate) predicted: usize,
    /// Probability of the predicted class.
    pub(crate) probability: f32,
}

/// The calibration of probabilities: a reliability diagram and two measures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibration {
    pub(crate) bins: Vec<Bin>,
    /// Expected calibration error (ECE): the mean of |accuracy − confidence| over the bins, weighted by their numbers
    /// of images.
    pub(crate) ece: f64,
    /// Mean negative log-likelihood of the labels, in nats.
    pub(crate) nll: f64,
}

/// A bin of a reliability diagram: predictions of similar confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bin {
    pub(crate) count: usize,
    /// Mean probability of the predicted class.
    pub(crate) confidence: f64,
    /// Fraction of right predictions.
    pub(crate) accuracy: f64,
}

/// Number of bins of equal width over the confidences from 0 to 1.
pub(crate) const BINS: usize = 15;

impl Predictions<'_> {
    /// The label, the predicted class and the probabilities of each image.
    ///
    /// On ties the first class is predicted, as everywhere in the program.
    fn each(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        self.rows.chunks_exact(self.n_classes).zip(self.labels).map(|(row, &label)| {
            let best = (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
            (label as usize, best, row)
        })
    }

    pub(crate) fn evaluation(&self, classes: &[String]) -> Evaluation {
        let mut evaluation = Evaluation::new(classes);
        self.each().for_each(|(label, predicted, _)| evaluation.confusion[label][predicted] += 1);
        evaluation
    }

    /// The `most` wrong predictions with the highest probability, highest first.
    pub(crate) fn worst(&self, most: usize) -> Vec<Mistake> {
        let mut wrong: Vec<Mistake> = self
            .each()
            .enumerate()
            .filter(|(_, (label, predicted, _))| label != predicted)
            .map(|(index, (label, predicted, row))| Mistake {
                index,
                label,
                predicted,
                probability: row[predicted],
            })
            .collect();
        wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.index.cmp(&b.index)));
        wrong.truncate(most);
        wrong
    }

    /// The calibration of the probabilities after temperature scaling, that is, after division of the logits by
    /// `temperature`.
    ///
    /// The logarithms of the probabilities serve as logits, which they equal up to a constant. A temperature of 1
    /// changes nothing.
    pub(crate) fn calibration(&self, temperature: f64) -> Calibration {
        let mut sums = [(0usize, 0.0, 0usize); BINS];
        let mut nll = 0.0;
        for (label, predicted, row) in self.each() {
            let log_sum = log_normalizer(row, temperature);
            let confidence = (log_probability(row[predicted]) / temperature - log_sum).exp();
            nll -= log_probability(row[label]) / temperature - log_sum;
            let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
            sums[bin].0 += 1;
            sums[bin].1 += confidence;
            sums[bin].2 += usize::from(label == predicted);
        }
        let total = self.labels.len().max(1) as f64;
        let bin = |&(count, confidence, right): &(usize, f64, usize)| {
            let n = count.max(1) as f64;
            Bin { count, confidence: confidence / n, accuracy: right as f64 / n }
        };
        let bins: Vec<Bin> = sums.iter().map(bin).collect();
        let gap = |bin: &Bin| bin.count as f64 * (bin.accuracy - bin.confidence).abs();
        Calibration { ece: bins.iter().map(gap).sum::<f64>() / total, nll: nll / total, bins }
    }

    /// The temperature that minimises the negative log-likelihood of the labels.
    ///
    /// # Errors
    /// If the numbers of rows and labels differ.
    pub(crate) fn temperature(&self) -> enas_run::Result<f64> {
        let shape = (self.labels.len(), self.n_classes);
        let rows = Tensor::from_slice(self.rows, shape, &Device::Cpu)?;
        fit_temperature(&rows, &Tensor::new(self.labels, &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::TEMPERATURES;

    /// Two classes: `right` of ten images are of class 0, and the network predicts probability `p` for it each time.
    fn ten(p: f32, right: usize) -> (Vec<f32>, Vec<u32>) {
        let labels = (0..10).map(|i| u32::from(i >= right)).collect();
        ([p, 1.0 - p].repeat(10), labels)
    }

    fn predictions<'a>((rows, labels): &'a (Vec<f32>, Vec<u32>)) -> Predictions<'a> {
        Predictions { rows, labels, n_classes: 2 }
    }

    #[test]
    fn who_is_right_as_often_as_sure_has_no_calibration_error() {
        let honest = ten(0.8, 8);
        assert!(predictions(&honest).calibration(1.0).ece < 1e-6);
        let boaster = ten(0.99, 8);
        assert!((predictions(&boaster).calibration(1.0).ece - 0.19).abs() < 1e-6);
    }

    #[test]
    fn the_fitted_temperature_makes_confidence_equal_accuracy() {
        let boaster = ten(0.99, 8);
        let t = predictions(&boaster).temperature().unwrap();
        // The logits differ by ln 99; after division by t they must differ by ln 4.
        assert!((t - 99f64.ln() / 4f64.ln()).abs() < 1e-4, "{t}");
        let after = predictions(&boaster).calibration(t);
        assert!(after.ece < 1e-4 && after.nll < predictions(&boaster).calibration(1.0).nll, "{after:?}");
    }

    #[test]
    fn all_right_goes_to_the_lower_bound_and_certain_mistakes_to_no_infinity() {
        let t = predictions(&ten(0.9, 10)).temperature().unwrap();
        assert!((t - TEMPERATURES.0).abs() < 1e-3, "{t}");
        let certain = ten(1.0, 5);
        let t = predictions(&certain).temperature().unwrap();
        assert!(t.is_finite() && predictions(&certain).calibration(t).nll.is_finite(), "{t}");
    }

    #[test]
    fn bins_hold_every_image_once_and_one_is_in_the_last() {
        let rows = vec![1.0, 0.0, 0.5, 0.5, 0.3, 0.7];
        let predictions = Predictions { rows: &rows, labels: &[0, 1, 1], n_classes: 2 };
        let bins = predictions.calibration(1.0).bins;
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 3);
        assert_eq!((bins[14].count, bins[14].accuracy), (1, 1.0));
        // On a tie the first class is predicted; here that is wrong.
        assert_eq!((bins[7].count, bins[7].accuracy), (1, 0.0));
    }

    #[test]
    fn the_surest_mistakes_come_first() {
        let rows = vec![0.4, 0.6, 0.9, 0.1, 0.2, 0.8, 0.1, 0.9];
        let predictions = Predictions { rows: &rows, labels: &[0, 1, 0, 1], n_classes: 2 };
        let worst = predictions.worst(2);
        assert_eq!(worst[0], Mistake { index: 1, label: 1, predicted: 0, probability: 0.9 });
        assert_eq!((worst.len(), worst[1].index), (2, 2));
        let evaluation = predictions.evaluation(&["a".into(), "b".into()]);
        assert_eq!(evaluation.confusion, [[0, 2], [1, 1]]);
    }
}
