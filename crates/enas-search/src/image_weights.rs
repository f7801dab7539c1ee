//! Weights of validation images by their class, so that architectures are compared by what their training minimises.

use enas_data::Dataset;
use enas_run::config::{ClassWeights, RunConfig};
use enas_run::error::Result;

/// The weight of each image of the validation split; its mean over the split is 1.
///
/// If the training does not balance classes, every weight is exactly 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ImageWeights(Option<Vec<f32>>);

impl ImageWeights {
    /// The weights that a training with these settings calls for: equal weight for every class, or the given weights.
    ///
    /// # Errors
    /// If the number of given weights is not the number of classes.
    pub(crate) fn of(run: &RunConfig, images: &enas_data::Config, data: &Dataset) -> Result<Self> {
        if !run.balances_classes(images) {
            return Ok(Self(None));
        }
        let rule = match &run.class_weights {
            given @ ClassWeights::Given(_) => given,
            _ => &ClassWeights::Balanced,
        };
        let weights = rule.of(data.valid.labels(), &data.classes)?;
        Ok(Self(weights.map(|weights| weights.to_vec1()).transpose()?))
    }

    /// The weight of an image of this class.
    pub(crate) fn of_label(&self, label: u32) -> f32 {
        self.0.as_ref().map_or(1.0, |weights| weights[label as usize])
    }

    /// The weighted mean loss of images with these labels.
    pub(crate) fn mean_loss(&self, losses: impl Iterator<Item = f32>, labels: &[u32]) -> f32 {
        let weights = || labels.iter().map(|&label| self.of_label(label));
        let sum: f32 = losses.zip(weights()).map(|(loss, weight)| weight * loss).sum();
        sum / weights().sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::config::{ConfigBuilder, SearchConfig};

    /// The weights for the built-in digits, and the digits.
    fn weights(assignments: &[&str]) -> (ImageWeights, Dataset) {
        let all = assignments.iter().fold(ConfigBuilder::preset("quick"), |layers, set| layers.set(*set));
        let config: SearchConfig = all.load().unwrap();
        let data = enas_data::digits().unwrap();
        (ImageWeights::of(&config.run, &config.data, &data).unwrap(), data)
    }

    #[test]
    fn without_balancing_every_image_counts_exactly_once() {
        let (weights, _) = weights(&[]);
        assert_eq!(weights, ImageWeights::default());
        let losses = [0.1_f32, 0.7, 0.3];
        let plain = losses.iter().sum::<f32>() / 3.0;
        assert_eq!(weights.mean_loss(losses.into_iter(), &[0, 1, 1]).to_bits(), plain.to_bits());
    }

    #[test]
    fn with_balancing_every_class_counts_alike() {
        for set in ["data.sampling=balanced", "run.class_weights=balanced"] {
            let (weights, data) = weights(&[set]);
            let labels = data.valid.labels();
            let total = |class: u32| {
                let n = labels.iter().filter(|&&label| label == class).count();
                n as f32 * weights.of_label(class)
            };
            let wanted = labels.len() as f32 / data.classes.len() as f32;
            let classes = 0..data.classes.len() as u32;
            assert!(classes.clone().all(|class| (total(class) - wanted).abs() < 1e-3), "{set}");
            // A loss of 1 for one class of ten and of 0 for the others is a tenth, however many images it has.
            let of_one = labels.iter().map(|&label| if label == 3 { 1.0 } else { 0.0 });
            assert!((weights.mean_loss(of_one, labels) - 0.1).abs() < 1e-5, "{set}");
        }
        let mut sizes = ["1"; 10];
        sizes[2] = "7";
        let (given, _) = weights(&[&format!("run.class_weights=[{}]", sizes.join(","))]);
        assert!((given.of_label(2) / given.of_label(0) - 7.0).abs() < 1e-4);
    }
}
