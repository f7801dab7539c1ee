//! What the finals have trained and measured so far, as a checkpoint stores it.

use enas_arc::Arc;
use serde::{Deserialize, Serialize};

/// Position of the finals. Networks are not stored: after an interruption, those that advance are trained again and
/// give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalsProgress {
    /// Architectures that the strategy proposed.
    pub(crate) proposed: Vec<Arc>,
    /// Seconds left when the finals began; `None` without a time limit.
    pub(super) seconds: Option<f64>,
    /// Steps of the first round: the setting, or fewer if the time is short.
    #[serde(default)]
    pub(super) steps: u64,
    /// Results of the networks, per round.
    pub(super) rounds: [Vec<Entry>; 3],
    /// Per round and image of the choosing half: the number of networks that classify it correctly. Networks that
    /// diverged do not count.
    #[serde(default)]
    pub(super) n_right: [Vec<u32>; 3],
}

/// Result of a network in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The index of its candidate.
    pub(super) candidate: usize,
    pub(super) steps: u64,
    /// Mean late training loss in nats; `None` for a network that diverged.
    pub(super) score: Option<f64>,
    /// Accuracy on the choosing and on the reporting half of validation, 0 to 1.
    pub(super) valid: [f64; 2],
    /// Mean loss in nats and accuracy on the choosing half, with the weights of the images; `None` in checkpoints of
    /// earlier versions.
    #[serde(default)]
    pub(super) choose: Option<Weighted>,
    /// Only in the last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Details>,
}

/// Means over images that are weighted by their class. Without weights the accuracy is the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighted {
    /// In nats.
    pub(super) loss: f64,
    /// 0 to 1.
    pub(super) accuracy: f64,
}

/// Values for paired comparisons of networks in the last round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Details {
    /// Training losses of the late steps, in nats.
    pub(super) late: Vec<f32>,
    /// Losses of the images in the choosing half, in nats, each times the weight of its class.
    pub(super) choose_losses: Vec<f32>,
    /// Whether each image of the reporting half was classified correctly.
    pub(super) right: Vec<bool>,
    pub(super) latency_ms: f64,
}

impl FinalsProgress {
    /// Adds a result to a round; `right` says which images of the choosing half are classified correctly.
    pub(super) fn record(&mut self, round: usize, entry: Entry, right: impl ExactSizeIterator<Item = bool>) {
        if entry.score.is_some() {
            let n_right = &mut self.n_right[round];
            n_right.resize(right.len(), 0);
            n_right.iter_mut().zip(right).for_each(|(n, right)| *n += u32::from(right));
        }
        self.rounds[round].push(entry);
    }

    /// The result of candidate `id` in a round, if it was trained in it.
    pub(super) fn entry(&self, round: usize, id: usize) -> Option<&Entry> {
        self.rounds[round].iter().find(|entry| entry.candidate == id)
    }
}
