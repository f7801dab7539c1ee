//! The choice of an arc at the end of a search: every candidate on the whole validation split.

use enas_arc::Arc;
use serde::{Deserialize, Serialize};

/// An arc with its score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The arc.
    pub arc: Arc,
    /// Where it comes from.
    pub origin: Origin,
    /// Accuracy with the shared weights on the whole validation split, 0 to 1.
    pub valid_accuracy: f64,
    /// Multiply-adds per picture in the search network.
    pub macs: u64,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The policy's likeliest arc.
    Greedy,
    /// Drawn from the policy.
    Sampled,
    /// Drawn uniformly, for comparison.
    Random,
}

/// All scored arcs.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Candidates of the policy, best first: higher accuracy, then fewer multiply-adds, then arc order.
    pub candidates: Vec<Candidate>,
    /// Uniformly random arcs in the order they were drawn.
    pub random: Vec<Candidate>,
}
