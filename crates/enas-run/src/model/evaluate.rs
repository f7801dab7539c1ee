//! Evaluation of a network on a split.

use candle_core::{Device, Tensor};
use enas_arc::Arch;
use enas_child::{InputShape, Norm};
use enas_data::Split;

use crate::config::Tta;
use crate::error::{Error, Result};
use crate::evaluation::{Evaluation, even_batch};
use crate::loader::ImageSource;
use crate::network::Network;
use crate::non_finite::NonFinite;

/// The splits that a network is measured on at the end of its training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The validation split, for the temperature, and the test split.
    Both,
    /// The test split only, because the network has learned from the validation split.
    Test,
}

/// How a network is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct EvalOptions {
    /// Maximum number of images per step.
    pub eval_batch: usize,
    /// The views of test-time augmentation.
    pub tta: Tta,
}

/// Checks that a split has the image size and the classes of a network.
pub(super) fn check(network: &Network, classes: &[String], split: &Split) -> Result<()> {
    let InputShape { channels, height, width } = network.input();
    if split.image_len() != channels * height * width {
        return Err(Error::Mismatch(format!(
            "the network takes images of {channels}x{height}x{width}; these differ"
        )));
    }
    if let Some(label) = split.labels().iter().find(|&&label| label as usize >= classes.len()) {
        return Err(Error::Mismatch(format!(
            "the network knows {} classes; an image has label {label}",
            classes.len()
        )));
    }
    Ok(())
}

/// Predictions on a whole split with moving statistics, and the first class score that was not finite.
///
/// # Errors
/// [`Error::Mismatch`] if the images have another size or the split has more classes; errors of reading the images.
pub fn evaluate(
    network: &Network,
    arch: &Arch,
    classes: &[String],
    source: &ImageSource,
    eval_options: EvalOptions,
) -> Result<(Evaluation, Option<NonFinite>)> {
    check(network, classes, source.split())?;
    let mut evaluation = Evaluation::new(classes);
    let mut non_finite = None;
    each_batch(network, arch, source, eval_options, |logits, labels| {
        let found = NonFinite::of_logits(logits)?;
        non_finite = non_finite.take().or(found);
        evaluation.count(logits, labels)
    })?;
    Ok((evaluation, non_finite))
}

/// Calls `take` with logits `[n, classes]` and labels `[n]` of a whole split, batch by batch in stored order.
pub(super) fn each_batch(
    network: &Network,
    arch: &Arch,
    source: &ImageSource,
    EvalOptions { eval_batch, tta }: EvalOptions,
    mut take: impl FnMut(&Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    if tta != Tta::None {
        // The host computes the views, even if the images are on the GPU.
        for batch in source.split().ordered(even_batch(source.split().len(), eval_batch))? {
            let (images, labels) = batch?.into_tensors(&Device::Cpu)?;
            take(&tta.logits(network, arch, &images)?, &labels)?;
        }
        return Ok(());
    }
    for batch in source.ordered(even_batch(source.split().len(), eval_batch))? {
        let batch = batch?;
        let logits = network.logits(arch, batch.images(), Norm::RunningStatistics, None)?;
        take(&logits, &batch.labels)?;
    }
    Ok(())
}
