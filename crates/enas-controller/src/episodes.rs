//! What an update of the policy takes and tells.

use enas_arc::Arc;

#[cfg(doc)]
use crate::Policy;

/// An arc and what it was worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// The arc that was drawn from the policy as it is now.
    pub arc: Arc,
    /// Accuracy of the child with that arc on one minibatch, a fraction from 0 to 1.
    pub accuracy: f32,
}

/// Choices of a [`Policy`] and what they were worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewarded {
    /// The choices that were drawn from the policy as it is now.
    pub choices: Vec<usize>,
    /// Any finite number; more is better.
    pub value: f32,
}

/// What one update saw and did. For a [`Policy`] an "arc" is a vector of choices, and its accuracy the value given.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateStats {
    /// Mean over the arcs of -ln π times advantage.
    pub loss: f32,
    /// Euclidean norm of the mean gradient over all variables.
    pub grad_norm: f32,
    /// The baseline after the update.
    pub baseline: f32,
    /// Updates made so far, this one included.
    pub updates: u64,
    /// Mean accuracy of the arcs.
    pub mean_accuracy: f32,
    /// Mean reward of the arcs.
    pub mean_reward: f32,
    /// Mean entropy of the walks, in nats.
    pub mean_entropy: f32,
    /// One entry per arc, in the order given.
    pub episodes: Vec<EpisodeStats>,
}

/// What one arc contributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeStats {
    /// ln π of the arc.
    pub log_prob: f32,
    /// Entropy of its decisions, in nats.
    pub entropy: f32,
    /// Accuracy plus weighted entropy.
    pub reward: f32,
    /// The baseline after this arc's reward had moved it.
    pub baseline: f32,
    /// What multiplied its gradient.
    pub advantage: f32,
    /// -ln π times advantage.
    pub loss: f32,
}
