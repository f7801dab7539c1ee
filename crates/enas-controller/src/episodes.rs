//! Input and output of a policy update.

use enas_arc::Arc;

#[cfg(doc)]
use crate::Policy;

/// An arc and its measured accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The arc, drawn from the current policy.
    pub arc: Arc,
    /// Accuracy of the child with that arc on one minibatch, a fraction from 0 to 1.
    pub accuracy: f32,
}

/// Choices of a [`Policy`] and their reward.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardedChoices {
    /// The choices, drawn from the current policy.
    pub choices: Vec<usize>,
    /// The reward: any finite number; larger is better.
    pub value: f32,
}

/// The results of one update. For a [`Policy`] an "arc" is a vector of choices, and its accuracy is the given value.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateStats {
    /// Mean over the arcs of −ln π times advantage.
    pub loss: f32,
    /// L2 norm of the mean gradient over all variables.
    pub grad_norm: f32,
    /// The baseline after the update.
    pub baseline: f32,
    /// Number of updates so far, this one included.
    pub updates: u64,
    /// Mean accuracy of the arcs.
    pub mean_accuracy: f32,
    /// Mean reward of the arcs.
    pub mean_reward: f32,
    /// Mean entropy of the rollouts, in nats.
    pub mean_entropy: f32,
    /// One entry per arc, in the order given.
    pub episodes: Vec<EpisodeStats>,
}

/// The contribution of one arc.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeStats {
    /// ln π of the arc.
    pub log_prob: f32,
    /// Entropy of its decisions, in nats.
    pub entropy: f32,
    /// Accuracy plus weighted entropy.
    pub reward: f32,
    /// The baseline after the update with this arc's reward.
    pub baseline: f32,
    /// The factor of its gradient.
    pub advantage: f32,
    /// -ln π times advantage.
    pub loss: f32,
}
