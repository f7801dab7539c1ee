//! The order of the networks of one round: late training loss, and loss and accuracy on the choosing half, added.

use enas_stats::{StandardScale, mean, sd};

use super::progress::Entry;

/// The scale on which the networks of a round are compared.
///
/// The combined score is `-z(training loss) + w (z(accuracy) - z(validation loss))`, where `z` subtracts the round's
/// mean and divides by its standard deviation. The weight `w` is the square root of the accuracy's reliability: the
/// share of its variance that does not come from the choice of images. With few images the accuracies differ by
/// chance, and the training loss decides alone.
pub(super) struct CombinedScore {
    loss: StandardScale,
    accuracy: StandardScale,
    choose_loss: StandardScale,
    weight: f64,
}

impl CombinedScore {
    /// For the entries of a round. `n_right` says for each image of the choosing half how many of the networks that
    /// did not diverge classify it correctly.
    pub(super) fn of(entries: &[Entry], n_right: &[u32]) -> Self {
        let finite = || entries.iter().filter(|entry| entry.score.is_some());
        let losses: Vec<f64> = finite().filter_map(|entry| entry.score).collect();
        let accuracies: Vec<f64> = finite().map(|entry| entry.valid[0]).collect();
        let weight = reliability(&accuracies, n_right).sqrt();
        let weighted = || finite().filter_map(|entry| entry.choose);
        let choose_losses: Vec<f64> = weighted().map(|means| means.loss).collect();
        let accuracies: Vec<f64> = weighted().map(|means| means.accuracy).collect();
        let [loss, accuracy, choose_loss] =
            [losses, accuracies, choose_losses].map(|of| StandardScale::of(&of));
        Self { loss, accuracy, choose_loss, weight }
    }

    /// The combined score, higher is better; minus infinity for a network that diverged.
    pub(super) fn value(&self, entry: &Entry) -> f64 {
        let Some(loss) = entry.score else { return f64::NEG_INFINITY };
        let choose = entry
            .choose
            .map_or(0.0, |means| self.accuracy.z(means.accuracy) - self.choose_loss.z(means.loss));
        self.weight * choose - self.loss.z(loss)
    }
}

/// The share of the variance of `accuracies` that is between networks, 0 to 1.
///
/// All networks see the same images, and most images are easy or hard for all of them. So the noise is the residual
/// variance after the means of networks and of images are subtracted (two-way analysis of variance), divided by the
/// number of images.
fn reliability(accuracies: &[f64], n_right: &[u32]) -> f64 {
    let k = accuracies.len() as f64;
    let n = n_right.len() as f64;
    if k < 2.0 || n < 2.0 {
        return 0.0;
    }
    let grand = mean(accuracies);
    let squares = |value: f64| (value - grand).powi(2);
    let total = n * k * grand * (1.0 - grand);
    let between_networks = n * accuracies.iter().map(|accuracy| squares(*accuracy)).sum::<f64>();
    let between_images = k * n_right.iter().map(|right| squares(f64::from(*right) / k)).sum::<f64>();
    let residual = (total - between_networks - between_images).max(0.0) / ((n - 1.0) * (k - 1.0));
    let variance = sd(accuracies).powi(2);
    if variance > 0.0 { (1.0 - residual / n / variance).max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Weighted;
    use super::*;
    use enas_rng::Seed;

    /// Answers of networks with these abilities to `n` images of random difficulty; right is 1.
    fn answers(abilities: &[f64], n: usize) -> Vec<Vec<u32>> {
        let mut stream = Seed::new(5).stream("answers", &[]);
        let difficulty: Vec<f64> = (0..n).map(|_| f64::from(stream.uniform())).collect();
        let mut answer = |ability: f64, difficulty: f64| {
            u32::from(f64::from(stream.uniform()) < (ability + 0.5 - difficulty).clamp(0.0, 1.0))
        };
        abilities
            .iter()
            .map(|ability| difficulty.iter().map(|difficulty| answer(*ability, *difficulty)).collect())
            .collect()
    }

    fn entries(losses: &[f64], answers: &[Vec<u32>]) -> (Vec<Entry>, Vec<u32>) {
        let accuracy = |right: &[u32]| f64::from(right.iter().sum::<u32>()) / right.len() as f64;
        let entry = |(candidate, (loss, right)): (usize, (&f64, &Vec<u32>))| {
            let valid = [accuracy(right), 0.0];
            let choose = Some(Weighted { loss: 1.0, accuracy: valid[0] });
            Entry { candidate, steps: 1, score: Some(*loss), valid, choose, details: None }
        };
        let entries = losses.iter().zip(answers).enumerate().map(entry).collect();
        let n_right = (0..answers[0].len()).map(|j| answers.iter().map(|right| right[j]).sum()).collect();
        (entries, n_right)
    }

    #[test]
    fn among_equal_losses_the_more_accurate_network_is_first() {
        let (entries, n_right) = entries(&[1.0; 4], &answers(&[0.2, 0.3, 0.4, 0.5], 2000));
        let score = CombinedScore::of(&entries, &n_right);
        assert!(score.weight > 0.9, "{}", score.weight);
        let values: Vec<f64> = entries.iter().map(|entry| score.value(entry)).collect();
        assert!(values.is_sorted(), "{values:?}");
    }

    #[test]
    fn with_few_images_the_loss_decides() {
        // Equal networks, so that accuracies differ by chance alone.
        let (entries, n_right) = entries(&[0.8, 0.9, 1.0, 1.1, 1.2, 1.3], &answers(&[0.3; 6], 15));
        let score = CombinedScore::of(&entries, &n_right);
        assert!(score.weight < 0.4, "{}", score.weight);
        let values: Vec<f64> = entries.iter().rev().map(|entry| score.value(entry)).collect();
        assert!(values.is_sorted(), "{values:?}");
    }

    #[test]
    fn networks_that_diverged_are_last_and_do_not_change_the_scale() {
        let (mut entries, n_right) = entries(&[1.0, 2.0, 9.0], &answers(&[0.5, 0.3, 0.4], 100));
        let without = CombinedScore::of(&entries[..2], &n_right);
        entries[2].score = None;
        let with = CombinedScore::of(&entries, &n_right);
        assert_eq!(with.value(&entries[2]), f64::NEG_INFINITY);
        assert_eq!(with.loss, without.loss);
    }

    #[test]
    fn a_single_network_has_a_finite_score() {
        let (entries, n_right) = entries(&[1.0], &answers(&[0.5], 10));
        assert_eq!(CombinedScore::of(&entries, &n_right).value(&entries[0]), 0.0);
        assert_eq!(CombinedScore::of(&entries, &[]).value(&entries[0]), 0.0);
    }
}
