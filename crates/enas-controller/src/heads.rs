//! From raw scores to probabilities: temperature, tanh bound, bias, softmax.

use crate::weights::N_OPS;
use crate::{Bounds, Config, OpBias, math};

/// Added to the operation logits of the normal cell; a constant, after temperature and bound.
pub(crate) const NORMAL_CELL_BIAS: [f32; N_OPS] = [0.25, 0.25, -0.25, -0.25, -0.25];

/// How the scores of both kinds of decision become logits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) index: Squash,
    pub(crate) op: Squash,
    /// Whether the trained operation bias is added to the logits rather than to the scores.
    pub(crate) free_bias: bool,
}

impl Heads {
    pub(crate) fn new(config: &Config, bounds: Bounds) -> Self {
        let temperature = bounds.temperature.map_or(1.0, |t| t as f32);
        let bound = bounds.tanh_constant;
        Self {
            index: Squash { temperature, bound: bound.map(|b| b as f32) },
            op: Squash { temperature, bound: bound.map(|b| (b / config.op_tanh_reduce) as f32) },
            free_bias: config.op_bias == OpBias::Free,
        }
    }
}

/// `bound · tanh(score / temperature)`, or without bound `score / temperature`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Squash {
    temperature: f32,
    bound: Option<f32>,
}

impl Squash {
    /// The logit of a score, and its slope there.
    pub(crate) fn apply(self, score: f32) -> (f32, f32) {
        let cooled = score / self.temperature;
        match self.bound {
            None => (cooled, 1.0 / self.temperature),
            Some(bound) => {
                let t = math::tanh(cooled);
                (bound * t, bound * (1.0 - t * t) / self.temperature)
            }
        }
    }
}

/// Writes the probabilities of `logits`; returns ln Σ exp(logits) and the entropy in nats.
pub(crate) fn softmax(logits: &[f32], probabilities: &mut [f32]) -> (f32, f32) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, &logit) in probabilities.iter_mut().zip(logits) {
        *p = math::exp(logit - largest);
        sum += *p;
    }
    let log_sum = largest + sum.ln();
    let mut entropy = 0.0;
    for (p, &logit) in probabilities.iter_mut().zip(logits) {
        *p /= sum;
        entropy -= *p * (logit - log_sum);
    }
    (log_sum, entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_have_the_largest_entropy() {
        let mut p = [0.0; 5];
        let (log_sum, entropy) = softmax(&[2.0; 5], &mut p);
        assert!(p.iter().all(|p| (p - 0.2).abs() < 1e-7));
        assert!((log_sum - (2.0 + 5f32.ln())).abs() < 1e-6 && (entropy - 5f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn slopes_equal_finite_differences() {
        for squash in [
            Squash { temperature: 1.0, bound: None },
            Squash { temperature: 5.0, bound: None },
            Squash { temperature: 0.7, bound: Some(1.1) },
        ] {
            for score in [-2.0f32, -0.1, 0.0, 0.9] {
                let at = |by: f32| f64::from(squash.apply(score + by).0);
                let (slope, got) = ((at(0.01) - at(-0.01)) / 0.02, f64::from(squash.apply(score).1));
                assert!((slope - got).abs() < 2e-4, "{squash:?} at {score}: {got} is not {slope}");
            }
        }
    }

    #[test]
    fn a_score_of_ten_is_frozen_at_the_bound() {
        assert_eq!(Squash { temperature: 1.0, bound: Some(0.44) }.apply(10.05), (0.44, 0.0));
    }
}
