//! The loss of a training step: targets, rule, and its computation on the CPU.

use candle_core::Tensor;

use crate::error::Error;

/// How the loss of an image is computed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossRule<'a> {
    /// Weight of each class in the loss; `None` means 1 for all.
    pub(crate) class_weights: Option<&'a [f32]>,
    /// Label smoothing: share of the target that is spread evenly over all classes (Szegedy et al., 2016).
    pub(crate) smoothing: f32,
}

/// The settings of the loss that a network keeps. They are not part of its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct LossSettings {
    class_weights: Option<Vec<f32>>,
    smoothing: f32,
}

impl LossSettings {
    /// Sets the weight of each class, `[classes]` of F32.
    pub(crate) fn set_class_weights(&mut self, weights: &Tensor, n_classes: usize) -> Result<(), Error> {
        let refuse = |value: String, allowed: String| Error::Config { key: "class weights", value, allowed };
        if weights.dims() != [n_classes] {
            let allowed = format!("as many as there are classes: {n_classes}");
            return Err(refuse(format!("{} numbers", weights.elem_count()), allowed));
        }
        let weights = weights.to_vec1::<f32>()?;
        if let Some(wrong) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Err(refuse(wrong.to_string(), "numbers above 0".to_owned()));
        }
        self.class_weights = Some(weights);
        Ok(())
    }

    /// Sets the label smoothing, which must be in `[0, 1)`.
    pub(crate) fn set_smoothing(&mut self, smoothing: f32) -> Result<(), Error> {
        if !(0.0..1.0).contains(&smoothing) {
            let value = smoothing.to_string();
            let allowed = "0 or more and below 1".to_owned();
            return Err(Error::Config { key: "label smoothing", value, allowed });
        }
        self.smoothing = smoothing;
        Ok(())
    }

    /// How the loss of an image is computed.
    pub(crate) fn rule(&self) -> LossRule<'_> {
        LossRule { class_weights: self.class_weights.as_deref(), smoothing: self.smoothing }
    }

    /// The weight of each class, 1 unless it was set.
    pub(crate) fn class_weights_or_ones(&self, n_classes: usize) -> Vec<f32> {
        self.class_weights.clone().unwrap_or_else(|| vec![1.0; n_classes])
    }

    /// Label smoothing: share of the target that is spread evenly over all classes.
    pub(crate) fn smoothing(&self) -> f32 {
        self.smoothing
    }
}

/// The targets of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Targets {
    /// The class of every image, `[n]`.
    pub(crate) labels: Vec<u32>,
    /// A second class of every image, if images are mixed from two.
    pub(crate) mix: Option<SecondClasses>,
}

/// The second class of every image of a batch, if images are mixed from two (mixup, cutmix).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecondClasses {
    /// The second class, `[n]`.
    pub(crate) others: Vec<u32>,
    /// Weight of the first class, 0 to 1, `[n]`. The second class has the remaining weight.
    pub(crate) shares: Vec<f32>,
}

impl Targets {
    fn of(&self, image: usize) -> ImageClasses {
        let label = self.labels[image] as usize;
        match &self.mix {
            None => ImageClasses { label, other: label, share: 1.0 },
            Some(mix) => ImageClasses { label, other: mix.others[image] as usize, share: mix.shares[image] },
        }
    }
}

/// The classes of one image.
#[derive(Clone, Copy)]
struct ImageClasses {
    label: usize,
    other: usize,
    /// Weight of the first class.
    share: f32,
}

/// Mean cross entropy, and the number of correct answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    /// In nats, with class weights.
    pub(crate) mean: f32,
    /// Number of images whose largest logit (the first one among equals) is that of their first class.
    pub(crate) correct: usize,
}

impl Loss {
    /// The loss of logits `[n, classes]` against the targets of `n` images. Also returns the gradient of the mean,
    /// `[n, classes]`.
    ///
    /// For an image of the classes `a` and `b` with share `s`, class weights `w` and smoothing `ε`:
    ///
    /// - weight `W = s·w_a + (1 − s)·w_b`;
    /// - target distribution `q = (1 − ε)·(s·w_a·[a] + (1 − s)·w_b·[b])/W + ε/classes`;
    /// - loss `−W·Σ q·ln p`, with `p` the softmax of the logits.
    pub(crate) fn of(
        logits: &[f32],
        targets: &Targets,
        rule: LossRule<'_>,
        classes: usize,
    ) -> (Self, Vec<f32>) {
        let n = targets.labels.len() as f32;
        let mut total = 0.0f64;
        let mut correct = 0;
        let mut gradient = Vec::with_capacity(logits.len());
        for (image, logits) in logits.chunks_exact(classes).enumerate() {
            let target = Target::new(targets.of(image), rule, classes);
            // Log-sum-exp with the maximum subtracted, in double precision, so that large logits do not overflow.
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
            total += f64::from(target.weight) * (sum.ln() - target.expected(logits, max));
            correct += usize::from(argmax(logits) == target.label);
            gradient.extend(logits.iter().enumerate().map(|(class, l)| {
                let p = (f64::from(l - max).exp() / sum) as f32;
                (p - target.of(class)) / n * target.weight
            }));
        }
        (Self { mean: (total / f64::from(n)) as f32, correct }, gradient)
    }
}

/// The target distribution of one image.
struct Target {
    label: usize,
    other: usize,
    /// Weight of the image in the loss.
    weight: f32,
    /// Shares of the two classes before smoothing.
    parts: (f32, f32),
    smoothing: f32,
    classes: usize,
}

impl Target {
    fn new(pair: ImageClasses, rule: LossRule<'_>, classes: usize) -> Self {
        let ImageClasses { label, other, share } = pair;
        let of_class = |class: usize| rule.class_weights.map_or(1.0, |weights| weights[class]);
        let first = share * of_class(label);
        let second = (1.0 - share) * of_class(other);
        let weight = first + second;
        let parts = (first / weight, second / weight);
        Self { label, other, weight, parts, smoothing: rule.smoothing, classes }
    }

    /// The target probability of a class.
    fn of(&self, class: usize) -> f32 {
        let share_at = |at: usize, part: f32| if class == at { part } else { 0.0 };
        let sharp = share_at(self.label, self.parts.0) + share_at(self.other, self.parts.1);
        (1.0 - self.smoothing) * sharp + self.smoothing / self.classes as f32
    }

    /// The expectation of `logits − max` under the target distribution.
    fn expected(&self, logits: &[f32], max: f32) -> f64 {
        let at = |class: usize, part: f32| {
            // A class without a share may have an infinite logit: 0·∞ would be NaN.
            if part == 0.0 { 0.0 } else { f64::from(part) * f64::from(logits[class] - max) }
        };
        let sharp = at(self.label, self.parts.0) + at(self.other, self.parts.1);
        if self.smoothing == 0.0 {
            return sharp;
        }
        let mean = logits.iter().map(|l| f64::from(l - max)).sum::<f64>() / self.classes as f64;
        let smoothing = f64::from(self.smoothing);
        (1.0 - smoothing) * sharp + smoothing * mean
    }
}

/// The index of the largest logit; the first one among equals.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, l) in logits.iter().enumerate() {
        if *l > logits[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: usize = 3;
    const LABELS: [u32; 4] = [2, 0, 1, 2];

    fn plain(labels: &[u32]) -> Targets {
        Targets { labels: labels.to_vec(), mix: None }
    }

    fn logits() -> Vec<f32> {
        (0..LABELS.len() * CLASSES).map(|i| ((i * 7 % 11) as f32 - 5.0) / 3.0).collect()
    }

    fn mixed() -> Targets {
        let mix = SecondClasses { others: vec![0, 0, 2, 1], shares: vec![0.7, 0.4, 1.0, 0.0] };
        Targets { labels: LABELS.to_vec(), mix: Some(mix) }
    }

    /// The weighted mean in double precision, by its definition: a sum over every pair of image and class.
    fn mean(logits: &[f64], targets: &Targets, weights: &[f64], smoothing: f64) -> f64 {
        let mut total = 0.0;
        for (i, row) in logits.chunks_exact(CLASSES).enumerate() {
            let log_sum = row.iter().map(|l| l.exp()).sum::<f64>().ln();
            let log_p: Vec<f64> = row.iter().map(|l| l - log_sum).collect();
            let even = log_p.iter().sum::<f64>() / CLASSES as f64;
            let ImageClasses { label, other, share } = targets.of(i);
            for (class, share) in [(label, f64::from(share)), (other, 1.0 - f64::from(share))] {
                total -= share * weights[class] * ((1.0 - smoothing) * log_p[class] + smoothing * even);
            }
        }
        total / targets.labels.len() as f64
    }

    fn compare(targets: &Targets, weights: [f32; 3], smoothing: f32) {
        let logits = logits();
        let rule = LossRule { class_weights: Some(&weights), smoothing };
        let (loss, gradient) = Loss::of(&logits, targets, rule, CLASSES);
        let exact: Vec<f64> = logits.iter().map(|l| f64::from(*l)).collect();
        let of = |logits: &[f64]| mean(logits, targets, &weights.map(f64::from), f64::from(smoothing));
        assert!((f64::from(loss.mean) - of(&exact)).abs() < 1e-6, "{loss:?}");
        for (i, got) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = exact.clone();
                moved[i] += by;
                of(&moved)
            };
            let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((f64::from(*got) - want).abs() < 1e-6, "logit {i}: {got}, not {want}");
        }
    }

    #[test]
    fn losses_and_their_gradients_are_those_of_finite_differences() {
        for targets in [plain(&LABELS), mixed()] {
            for smoothing in [0.0, 0.1, 0.5] {
                compare(&targets, [0.3, 2.5, 0.9], smoothing);
                compare(&targets, [1.0; 3], smoothing);
            }
        }
    }

    #[test]
    fn weights_of_one_and_shares_of_one_change_no_bit() {
        let one = plain(&LABELS);
        let expected = Loss::of(&logits(), &one, LossRule::default(), CLASSES);
        let ones = LossRule { class_weights: Some(&[1.0; CLASSES]), smoothing: 0.0 };
        assert_eq!(Loss::of(&logits(), &one, ones, CLASSES), expected);
        let mix = SecondClasses { others: vec![1, 1, 0, 0], shares: vec![1.0; 4] };
        let whole = Targets { mix: Some(mix), ..one };
        assert_eq!(Loss::of(&logits(), &whole, LossRule::default(), CLASSES), expected);
    }

    #[test]
    fn smoothing_leaves_a_loss_that_certainty_cannot_remove() {
        let rule = LossRule { smoothing: 0.1, ..LossRule::default() };
        let (loss, gradient) = Loss::of(&[50.0, 0.0, 0.0], &plain(&[0]), rule, CLASSES);
        assert!(loss.mean > 3.0 && gradient[0] > 0.0, "{loss:?}, {gradient:?}");
    }
}
