//! The oracle of phase 2: rewards R(m, ω) from the shared weights on validation images.

use enas_arc::Arch;
use enas_data::Dataset;
use enas_rng::Seed;
use enas_strategy::Oracle;

use super::space::ImageSpace;
use crate::config::{RewardConfig, RewardMetric};
use crate::divergence::Symptom;
use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::feed::{Minibatch, Source};
use crate::network::Network;
use crate::trial::answers_of;

/// Scores each architecture with the shared weights ω on a minibatch of validation images.
///
/// Shared cells have no moving statistics: their batch norms use the statistics of that minibatch, as in the authors'
/// code (`micro_child.py:804`, `is_training=True`).
pub(super) struct SharedWeights<'s> {
    pub(super) child: &'s Network,
    pub(super) data: &'s Dataset,
    pub(super) valid: &'s Source,
    /// Indices of the validation images to draw from; `None` for the whole split.
    pub(super) images: Option<&'s [usize]>,
    pub(super) reward: &'s RewardConfig,
    pub(super) seed: Seed,
    /// Epoch and step, counted from 0. They name the random streams of the next scores.
    pub(super) at: [u64; 2],
    /// Values to display, one per architecture: the accuracy if the score is made from the loss, otherwise the score.
    pub(super) accuracies: Vec<f32>,
}

impl Oracle<ImageSpace> for SharedWeights<'_> {
    type Error = Error;

    fn scores(&mut self, arcs: &[Arch]) -> Result<Vec<f64>> {
        (0..).zip(arcs).map(|(k, arc)| self.score(arc, k)).collect()
    }
}

impl SharedWeights<'_> {
    /// The score of the `k`-th architecture of a step.
    fn score(&mut self, arc: &Arch, k: u64) -> Result<f64> {
        let [epoch, step] = self.at;
        let position = [epoch, step, k];
        let batch = self.images(&position)?;
        let mut dropout = self.seed.stream("search/reward-dropout", &position);
        let dropout = self.reward.dropout.then_some(&mut dropout);
        let logits = self.child.logits(arc, batch.images(), self.child.norm_of_scores(), dropout)?;
        if let Some(symptom) = Symptom::of_logits(&logits)? {
            return Err(symptom.at(epoch + 1, step + 1).into());
        }
        let mut seen = Evaluation::new(&self.data.classes);
        seen.count(&logits, &batch.labels)?;
        let accuracy = seen.correct() as f32 / batch.len() as f32;
        let score = match self.reward.metric {
            RewardMetric::Accuracy => accuracy,
            RewardMetric::MacroF1 => seen.macro_f1() as f32,
            RewardMetric::Loss => {
                let losses: f32 = answers_of(&logits, &batch.labels)?.iter().map(|answer| answer.loss).sum();
                1.0 / (1.0 + losses / batch.len() as f32)
            }
        };
        self.accuracies.push(if self.reward.metric == RewardMetric::Loss { accuracy } else { score });
        Ok(f64::from(score))
    }

    /// The minibatch for one score: a separate draw for each architecture, or one draw for all of a step.
    fn images(&self, position: &[u64; 3]) -> Result<Minibatch> {
        let RewardConfig { batch_size, same_images, .. } = *self.reward;
        let Some(images) = self.images else {
            return self.valid.draw(position, batch_size.min(self.data.valid.len()));
        };
        // Without `k` in the position all architectures of a step get the same images.
        let position = if same_images { &position[..2] } else { &position[..] };
        let mut images = images.to_vec();
        self.seed.stream("search/reward-images", position).shuffle(&mut images);
        images.truncate(batch_size);
        self.valid.gather(images)
    }
}
