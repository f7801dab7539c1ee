//! Refinement of a network in training before it is measured or kept: EMA weights, and BN statistics re-estimation
//! for them.
//!
//! Moving statistics belong to the weights of past steps. Statistics are therefore computed anew from a few batches
//! of training images (precise BN; Wu and Johnson, 2021).

use enas_arc::Arc;
use enas_child::{BatchStatistics, Child};
use enas_data::Split;
use enas_run::config::RunConfig;
use enas_run::error::Result;
use enas_run::evaluation::even_batch;
use enas_run::loader::ImageSource;

/// Stream position of the images for the statistics. It is the same in every epoch, so that epochs stay comparable.
const POSITION: [u64; 1] = [0];

/// How a network in training becomes the one that is measured and kept.
#[derive(Debug)]
pub(crate) struct Refinement {
    /// Whether the EMA weights replace the weights.
    averaged: bool,
    /// Indices of the training images for the statistics, batch by batch.
    batches: Vec<Vec<usize>>,
}

impl Refinement {
    /// The refinement by the settings; `None` if they ask for the network as it is.
    ///
    /// # Errors
    /// As [`Split::draw_indices`].
    pub(crate) fn new(config: &RunConfig, train: &Split) -> Result<Option<Self>> {
        if config.bn_reestimate == 0 {
            return Ok(None);
        }
        let wanted = (config.batch_size as u64).saturating_mul(config.bn_reestimate);
        let n_images = usize::try_from(wanted).unwrap_or(usize::MAX).min(train.len());
        let chosen = train.draw_indices(&POSITION, n_images)?;
        // Batches of equal size, because every batch has the same weight in the statistics.
        let batches = chosen.chunks(even_batch(n_images, config.batch_size)).map(<[usize]>::to_vec).collect();
        Ok(Some(Self { averaged: config.ema_decay > 0.0, batches }))
    }

    /// Number of training images for the statistics.
    pub(crate) fn images(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }

    /// Replaces weights and statistics by those that are measured and kept.
    ///
    /// # Errors
    /// Errors of images and device.
    pub(crate) fn apply(&self, child: &mut Child, arc: &Arc, train: &ImageSource) -> Result<()> {
        if self.averaged {
            child.use_average()?;
        }
        let mut seen = BatchStatistics::default();
        for batch in &self.batches {
            child.gather_statistics(arc, train.gather(batch.clone())?.images(), &mut seen)?;
        }
        Ok(child.set_statistics(&seen)?)
    }
}

/// The decay of the EMA at a step, counted from 0: min(`wanted`, (1 + t)/(10 + t)), the rule of TensorFlow's
/// `ExponentialMovingAverage`. The early weights, which are far from the final ones, are forgotten sooner.
pub(crate) fn decay(wanted: f32, step: u64) -> f32 {
    let step = step as f32;
    wanted.min((1.0 + step) / (10.0 + step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_keeps_little_at_first_and_never_more_than_wanted() {
        assert_eq!((decay(0.999, 0), decay(0.999, 8)), (0.1, 0.5));
        assert_eq!((decay(0.999, 100_000), decay(0.05, 0)), (0.999, 0.05));
    }
}
