//! Choices with their probabilities, and how a choice is made.

use enas_rng::Stream;

/// A vector of choices with its probability under the policy: drawn from it, or given to it.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledChoices {
    /// One choice per decision of the plan.
    pub choices: Vec<usize>,
    /// ln π(choices; θ), never positive.
    pub log_prob: f32,
    /// Sum of the entropies of all decisions on the path, in nats.
    pub entropy: f32,
}

/// One decision on the path to an architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// One logit per choice, the input of the softmax.
    pub logits: Vec<f32>,
    /// One probability per choice.
    pub probabilities: Vec<f32>,
    /// The choice taken: a state to read, or an operation.
    pub choice: usize,
    /// −ln of the probability of the choice.
    pub nll: f32,
    /// Entropy of the choices, in nats.
    pub entropy: f32,
}

impl SampledChoices {
    pub(crate) fn new(choices: Vec<usize>, RolloutTotals { nll, entropy }: RolloutTotals) -> Self {
        Self { choices, log_prob: -nll as f32, entropy: entropy as f32 }
    }
}

/// Sums over all decisions of one rollout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolloutTotals {
    /// −ln π of the choices.
    pub(crate) nll: f64,
    /// Entropy of the decisions, in nats.
    pub(crate) entropy: f64,
}

/// Draws a choice by inversion of the cumulative distribution.
pub(crate) fn categorical(probabilities: &[f32], rng: &mut Stream) -> usize {
    let mut left = rng.uniform();
    for (choice, &p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return choice;
        }
    }
    // Rounding may leave the sum of the probabilities below the random number.
    probabilities.len() - 1
}

pub(crate) fn argmax(probabilities: &[f32]) -> usize {
    let better =
        |best: usize, choice: usize| if probabilities[choice] > probabilities[best] { choice } else { best };
    (0..probabilities.len()).fold(0, better)
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    #[test]
    fn choices_are_drawn_with_their_probabilities() {
        let mut rng = Seed::new(1).stream("draws", &[]);
        let probabilities = [0.1, 0.0, 0.6, 0.3];
        let mut counts = [0; 4];
        (0..20_000).for_each(|_| counts[categorical(&probabilities, &mut rng)] += 1);
        for (count, p) in counts.iter().zip(probabilities) {
            assert!((f64::from(*count) / 20_000.0 - f64::from(p)).abs() < 0.015, "{counts:?}");
        }
    }
}
