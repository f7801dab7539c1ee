//! From raw scores to probabilities: temperature, tanh bound, bias, softmax (`micro_controller.py:157-161, 178-185`).

use enas_simd::math;
use enas_simd::safe::{self as simd, Simd, WithSimd};

use crate::{Bounds, Config, OpBias};

/// The logit transforms of both kinds of decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogitTransforms {
    pub(crate) index: LogitTransform,
    pub(crate) op: LogitTransform,
    /// Whether the trained operation bias is added to the logits instead of the scores.
    pub(crate) free_bias: bool,
}

impl LogitTransforms {
    pub(crate) fn new(config: &Config, bounds: Bounds) -> Self {
        Self {
            index: LogitTransform::new(bounds),
            op: LogitTransform::reduced(bounds, config.op_tanh_reduce),
            free_bias: config.op_bias == OpBias::Free,
        }
    }
}

/// `bound · tanh(score / temperature)`, or without bound `score / temperature`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogitTransform {
    temperature: f32,
    bound: Option<f32>,
}

impl LogitTransform {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let temperature = bounds.temperature.map_or(1.0, |t| t as f32);
        Self { temperature, bound: bounds.tanh_constant.map(|bound| bound as f32) }
    }

    /// As [`new`](Self::new), with the tanh bound divided by `reduce`.
    fn reduced(bounds: Bounds, reduce: f64) -> Self {
        Self::new(Bounds { tanh_constant: bounds.tanh_constant.map(|bound| bound / reduce), ..bounds })
    }

    /// The logit of a score, and the derivative of the logit with respect to the score.
    #[inline(always)]
    fn apply<S: Simd>(self, score: f32) -> (f32, f32) {
        let scaled = score / self.temperature;
        match self.bound {
            None => (scaled, 1.0 / self.temperature),
            Some(bound) => self.bounded(bound, math::tanh::<S>(scaled)),
        }
    }

    /// [`apply`](Self::apply) with the tanh of the standard library, whose last bits may differ.
    pub(crate) fn apply_std(self, score: f32) -> (f32, f32) {
        let scaled = score / self.temperature;
        match self.bound {
            None => (scaled, 1.0 / self.temperature),
            Some(bound) => self.bounded(bound, scaled.tanh()),
        }
    }

    /// The bounded logit and its slope; `t` is the tanh of the scaled score.
    #[inline(always)]
    fn bounded(self, bound: f32, t: f32) -> (f32, f32) {
        (bound * t, bound * (1.0 - t * t) / self.temperature)
    }
}

/// One decision of several arcs: from scores to logits, probabilities and entropy.
///
/// Shapes: `[batch, width]`, of which the first `n_choices` of each row count and the rest is undefined; `log_sums`
/// and `entropy` `[batch]`.
///
/// Method outline, in three passes because a row is often shorter than a vector:
///
/// 1. Transform all scores at once, and find the maximum of each row.
/// 2. Compute the exponentials of all rows at once.
/// 3. Normalise each row, and add up its entropy.
pub(crate) struct DecisionSoftmax<'a> {
    pub(crate) transform: LogitTransform,
    /// Constants added to the logits of the first choices.
    pub(crate) added: &'a [f32],
    pub(crate) n_choices: usize,
    pub(crate) width: usize,
    pub(crate) scores: &'a [f32],
    pub(crate) logits: &'a mut [f32],
    /// Derivative of each logit with respect to its score.
    pub(crate) slopes: &'a mut [f32],
    pub(crate) probabilities: &'a mut [f32],
    /// ln Σ exp(logits).
    pub(crate) log_sums: &'a mut [f32],
    /// In nats.
    pub(crate) entropy: &'a mut [f32],
}

impl DecisionSoftmax<'_> {
    pub(crate) fn run(self) {
        simd::run(self);
    }
}

impl WithSimd for DecisionSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((logit, slope), &score) in self.logits.iter_mut().zip(&mut *self.slopes).zip(self.scores) {
            (*logit, *slope) = self.transform.apply::<S>(score);
        }
        let rows =
            self.logits.chunks_exact_mut(self.width).zip(self.probabilities.chunks_exact_mut(self.width));
        for ((logits, probabilities), largest) in rows.zip(&mut *self.log_sums) {
            logits.iter_mut().zip(self.added).for_each(|(logit, a)| *logit += a);
            // `log_sums` holds the row maximum until the last pass, so that exp never overflows.
            *largest = logits[..self.n_choices].iter().copied().fold(f32::NEG_INFINITY, f32::max);
            probabilities.iter_mut().zip(logits).for_each(|(p, logit)| *p = *logit - *largest);
        }
        // All rows at once: one row is often shorter than a vector.
        for p in self.probabilities.iter_mut() {
            *p = math::exp::<S>(*p);
        }
        let rows = self.logits.chunks_exact(self.width).zip(self.probabilities.chunks_exact_mut(self.width));
        for ((logits, probabilities), (log_sum, entropy)) in
            rows.zip(self.log_sums.iter_mut().zip(self.entropy))
        {
            let probabilities = &mut probabilities[..self.n_choices];
            let sum: f32 = probabilities.iter().sum();
            *log_sum += sum.ln();
            *entropy = 0.0;
            for (p, &logit) in probabilities.iter_mut().zip(logits) {
                *p /= sum;
                *entropy -= *p * (logit - *log_sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_simd::safe::Scalar128b;

    #[test]
    fn equal_logits_have_the_largest_entropy() {
        for arch in simd::all() {
            let [mut logits, mut slopes, mut probabilities] = [[0.0; 8]; 3];
            let mut log_sum = [0.0];
            let mut entropy = [0.0];
            let softmax = DecisionSoftmax {
                transform: LogitTransform { temperature: 0.5, bound: None },
                added: &[1.0; 5],
                n_choices: 5,
                width: 8,
                scores: &[0.5, 0.5, 0.5, 0.5, 0.5, 9.0, 9.0, 9.0],
                logits: &mut logits,
                slopes: &mut slopes,
                probabilities: &mut probabilities,
                log_sums: &mut log_sum,
                entropy: &mut entropy,
            };
            simd::run_at(arch, softmax);
            assert_eq!(logits[..5], [2.0; 5]);
            assert!(probabilities[..5].iter().all(|p| (p - 0.2).abs() < 1e-7), "{arch:?}");
            assert!((log_sum[0] - (2.0 + 5f32.ln())).abs() < 1e-6 && (entropy[0] - 5f32.ln()).abs() < 1e-6);
        }
    }

    #[test]
    fn slopes_equal_finite_differences() {
        for transform in [
            LogitTransform { temperature: 1.0, bound: None },
            LogitTransform { temperature: 5.0, bound: None },
            LogitTransform { temperature: 0.7, bound: Some(1.1) },
        ] {
            for score in [-2.0f32, -0.1, 0.0, 0.9] {
                let at = |by: f32| f64::from(transform.apply::<Scalar128b>(score + by).0);
                let slope = (at(0.01) - at(-0.01)) / 0.02;
                let got = f64::from(transform.apply::<Scalar128b>(score).1);
                assert!((slope - got).abs() < 2e-4, "{transform:?} at {score}: {got} is not {slope}");
            }
        }
    }

    #[test]
    fn a_score_of_ten_is_frozen_at_the_bound() {
        assert_eq!(
            LogitTransform { temperature: 1.0, bound: Some(0.44) }.apply::<Scalar128b>(10.05),
            (0.44, 0.0)
        );
    }
}
