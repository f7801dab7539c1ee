//! The oracle of phase 2: rewards R(m, ω) from the shared weights on validation images.

use enas_arc::Arch;
use enas_data::Dataset;
use enas_rng::Seed;
use enas_run::config::{RewardConfig, RewardMetric};
use enas_run::error::{Error, Result};
use enas_run::evaluation::Evaluation;
use enas_run::loader::{ImageSource, Minibatch};
use enas_run::network::Network;
use enas_run::non_finite::NonFinite;
use enas_strategy::Oracle;

use super::space::ImageSpace;
use crate::image_weights::ImageWeights;
use crate::trial::outcomes_of;

/// Scores each architecture with the shared weights ω on a minibatch of validation images.
///
/// Shared cells have no moving statistics: their batch norms use the statistics of that minibatch, as in the authors'
/// code (`micro_child.py:804`, `is_training=True`).
pub(super) struct SharedWeights<'s> {
    pub(super) child: &'s Network,
    pub(super) data: &'s Dataset,
    pub(super) valid: &'s ImageSource,
    /// Indices of the validation images to draw from; `None` for the whole split.
    pub(super) images: Option<&'s [usize]>,
    pub(super) reward: &'s RewardConfig,
    pub(super) image_weights: &'s ImageWeights,
    pub(super) seed: Seed,
    /// Epoch and step, counted from 0. They name the random streams of the next scores.
    pub(super) at: [u64; 2],
    /// Values to display, one per architecture: the accuracy if the score is made from the loss, otherwise the score.
    pub(super) accuracies: Vec<f32>,
}

impl Oracle<ImageSpace> for SharedWeights<'_> {
    type Error = Error;

    fn score(&mut self, arcs: &[Arch]) -> Result<Vec<f64>> {
        (0..).zip(arcs).map(|(k, arc)| self.score_one(arc, k)).collect()
    }
}

impl SharedWeights<'_> {
    /// The score of the `k`-th architecture of a step.
    fn score_one(&mut self, arc: &Arch, k: u64) -> Result<f64> {
        let [epoch, step] = self.at;
        let position = [epoch, step, k];
        let batch = self.images(&position)?;
        let mut dropout = self.seed.stream("search/reward-dropout", &position);
        let dropout = self.reward.dropout.then_some(&mut dropout);
        let logits = self.child.logits(arc, batch.images(), self.child.norm_of_scores(), dropout)?;
        if let Some(non_finite) = NonFinite::of_logits(&logits)? {
            return Err(non_finite.at(epoch + 1, step + 1).into());
        }
        let mut seen = Evaluation::new(&self.data.classes);
        seen.count(&logits, &batch.labels)?;
        let accuracy = seen.correct() as f32 / batch.len() as f32;
        let score = match self.reward.metric {
            RewardMetric::Accuracy => accuracy,
            RewardMetric::MacroF1 => seen.macro_f1() as f32,
            RewardMetric::Loss => {
                let losses = outcomes_of(&logits, &batch.labels)?.into_iter().map(|answer| answer.loss);
                1.0 / (1.0 + self.image_weights.mean_loss(losses, &batch.labels.to_vec1()?))
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

#[cfg(test)]
mod tests {
    use enas_arc::Arc;

    use super::*;
    use enas_run::config::{ConfigBuilder, SearchConfig};

    /// The built-in digits, a small network with random weights, and rewards by these assignments.
    struct Fixture {
        config: SearchConfig,
        data: Dataset,
        child: Network,
    }

    impl Fixture {
        fn new(assignments: &[&str]) -> Self {
            let small = ["child.filters=4", "child.layers=2", "child.nodes=2", "child.keep_prob=0.5"];
            let all = small.iter().chain(assignments);
            let config: SearchConfig =
                all.fold(ConfigBuilder::preset("quick"), |layers, set| layers.set(*set)).load().unwrap();
            let data = enas_data::digits().unwrap();
            let child = Network::shared(&config, &data).unwrap();
            Self { config, data, child }
        }

        /// The rewards of one step.
        fn scores(&self, arcs: &[Arch]) -> Vec<f64> {
            let valid = ImageSource::of(&self.data.valid, &self.child).unwrap();
            let images: Vec<usize> = (0..self.data.valid.len()).collect();
            let mut oracle = SharedWeights {
                child: &self.child,
                data: &self.data,
                valid: &valid,
                images: Some(&images),
                reward: &self.config.reward,
                image_weights: &ImageWeights::of(&self.config.run, &self.config.data, &self.data).unwrap(),
                seed: Seed::new(3),
                at: [0, 0],
                accuracies: Vec::new(),
            };
            oracle.score(arcs).unwrap()
        }
    }

    fn arch() -> Arch {
        "0 0 1 1 2 2 0 3  0 1 1 4 2 2 1 0".parse::<Arc>().unwrap().into()
    }

    #[test]
    fn a_reward_by_loss_is_one_over_one_plus_the_mean_loss() {
        let fixture = Fixture::new(&["reward.metric=loss", "reward.batch_size=100000"]);
        let score = fixture.scores(&[arch()])[0];
        let valid = ImageSource::of(&fixture.data.valid, &fixture.child).unwrap();
        let batch = valid.gather((0..fixture.data.valid.len()).collect()).unwrap();
        let norm = fixture.child.norm_of_scores();
        let logits = fixture.child.logits(&arch(), batch.images(), norm, None).unwrap();
        let rows = logits.to_vec2::<f32>().unwrap();
        let of_image = |(row, label): (&Vec<f32>, u32)| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum.ln() - f64::from(row[label as usize])
        };
        let labels = batch.labels.to_vec1::<u32>().unwrap();
        let losses: Vec<f64> = rows.iter().zip(labels).map(of_image).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        assert!((score - 1.0 / (1.0 + mean)).abs() < 1e-5, "{score}, mean loss {mean}");
    }

    #[test]
    fn architectures_of_a_step_have_the_same_images_only_if_asked() {
        let twice = [arch(), arch()];
        let of = |same: &str| Fixture::new(&["reward.metric=loss", same]).scores(&twice);
        let same = of("reward.same_images=true");
        assert_eq!(same[0], same[1]);
        let own = of("reward.same_images=false");
        assert_ne!(own[0], own[1]);
    }

    #[test]
    fn dropout_changes_a_reward_only_if_it_is_on() {
        let of = |dropout: &str| Fixture::new(&["reward.metric=loss", dropout]).scores(&[arch()])[0];
        assert_eq!(of("reward.dropout=false"), of("reward.dropout=false"));
        assert_ne!(of("reward.dropout=true"), of("reward.dropout=false"));
    }
}
