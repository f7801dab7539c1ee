//! Detection of numbers that are not finite, at the step where they appear, and of the layer and images that they
//! start with.

use candle_core::{Device, Tensor};
use enas_arc::{Arc, Arch};
use enas_child::{Child, Step, StepStats};
use enas_controller::UpdateStats;
use enas_data::{EpochPlan, Split};
use enas_kernels::candle::{Guards, read};

use crate::divergence::Divergence;
use crate::error::{Error, Result};
use crate::files::safetensors::NamedTensor;
use crate::network::Network;

/// Maximum number of images that an explanation names.
const MOST_IMAGES: usize = 8;

/// A quantity that is not finite.
#[derive(Clone, Debug)]
pub struct NonFinite {
    what: String,
    value: f32,
    layer: Option<String>,
}

impl NonFinite {
    /// Tests the statistics of a training step.
    pub fn of_step(stats: &StepStats) -> Option<Self> {
        let StepStats { loss, aux_loss, grad_norm, .. } = *stats;
        Self::among(&[
            ("the training loss", loss),
            ("the loss of the auxiliary head", aux_loss),
            ("the norm of the gradient", grad_norm),
        ])
    }

    /// Tests the statistics of a policy update.
    pub fn of_update(stats: &UpdateStats) -> Option<Self> {
        Self::among(&[
            ("the loss of the policy", stats.loss),
            ("the norm of the policy's gradient", stats.grad_norm),
            ("the baseline of the rewards", stats.baseline),
            ("the mean reward", stats.mean_reward),
            ("the entropy of the policy", stats.mean_entropy),
        ])
    }

    /// Tests class scores.
    ///
    /// # Errors
    /// If they are not a contiguous F32 tensor on the CPU.
    pub fn of_logits(logits: &Tensor) -> Result<Option<Self>> {
        let value = read(logits, |logits| logits.iter().copied().find(|x| !x.is_finite()))?;
        let what = || "a class score on validation images".to_owned();
        Ok(value.map(|value| Self { what: what(), value, layer: None }))
    }

    /// Tests the tensors of a checkpoint.
    ///
    /// # Errors
    /// If a tensor is not a contiguous F32 tensor on the CPU.
    pub(crate) fn of_tensors(tensors: &[NamedTensor]) -> Result<Option<Self>> {
        let guards = Guards::new(tensors.iter().map(|(_, tensor)| tensor));
        let bad = |((name, _), numbers): (&NamedTensor, &[f32])| {
            Some((name.clone(), *numbers.iter().find(|x| !x.is_finite())?))
        };
        let found = tensors.iter().zip(guards.slices()?).find_map(bad);
        let what = || "a weight or a number of its optimiser".to_owned();
        Ok(found.map(|(name, value)| Self { what: what(), value, layer: Some(name) }))
    }

    fn among(numbers: &[(&str, f32)]) -> Option<Self> {
        let &(what, value) = numbers.iter().find(|(_, value)| !value.is_finite())?;
        Some(Self { what: what.to_owned(), value, layer: None })
    }

    /// The divergence at this epoch and step, both counted from 1.
    pub fn at(self, epoch: u64, step: u64) -> Divergence {
        let Self { what, value, layer } = self;
        Divergence { what, value, epoch, step, layer, images: Vec::new(), again: false }
    }
}

/// Returns the tensors if all values are finite.
///
/// # Errors
/// [`Error::Diverged`] at this epoch and step.
pub fn finite(tensors: Vec<NamedTensor>, epoch: u64, step: u64) -> Result<Vec<NamedTensor>> {
    match NonFinite::of_tensors(&tensors)? {
        None => Ok(tensors),
        Some(non_finite) => Err(non_finite.at(epoch, step).into()),
    }
}

/// The divergence to recover from, if `error` is the first one of the run.
///
/// # Errors
/// Every other error, and a second divergence.
pub fn recoverable(error: Error, went_back: bool) -> Result<Divergence> {
    match error {
        Error::Diverged(found) if went_back => Err(Divergence { again: true, ..*found }.into()),
        Error::Diverged(found) => Ok(*found),
        other => Err(other),
    }
}

/// Adds the layer and the images that a divergence in a training step started with. `plan` must begin with the batch
/// of the step, and the network must be in the state before it.
pub fn explain(
    mut found: Divergence,
    network: &Network,
    arch: &Arch,
    train: &Split,
    plan: &EpochPlan,
    step: &Step,
) -> Divergence {
    // Networks of the macro space cannot locate the cause.
    let (Network::Micro(child), Arch::Micro(arc)) = (network, arch) else { return found };
    match evidence(child, arc, train, plan, step) {
        Ok((layer, images)) => (found.layer, found.images) = (layer, images),
        // The divergence is the error to report, even if it cannot be explained.
        Err(error) => tracing::warn!("the step cannot be computed again to be explained: {error}"),
    }
    found
}

fn evidence(
    child: &Child,
    arc: &Arc,
    train: &Split,
    plan: &EpochPlan,
    step: &Step,
) -> Result<(Option<String>, Vec<String>)> {
    let Some(batch) = train.epoch(plan)?.next().transpose()? else { return Ok((None, Vec::new())) };
    let indices = batch.indices.clone();
    let (images, labels) = batch.into_tensors(&Device::Cpu)?;
    let diagnosis = child.find_non_finite(arc, &images, &labels, step)?;
    let mut names: Vec<String> = Vec::new();
    for image in diagnosis.ranked_images {
        let name = train.path(indices[image]);
        // Copies of an image have its name.
        if names.len() < MOST_IMAGES && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok((diagnosis.fault.map(|fault| fault.to_string()), names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_step_is_looked_at() {
        let good = StepStats { loss: 1.0, aux_loss: 0.0, correct: 1, n: 2, grad_norm: 3.0 };
        assert!(NonFinite::of_step(&good).is_none());
        let bad = [
            StepStats { loss: f32::NAN, ..good },
            StepStats { aux_loss: f32::INFINITY, ..good },
            StepStats { grad_norm: f32::NAN, ..good },
        ];
        let found = bad.map(|stats| NonFinite::of_step(&stats).unwrap().at(2, 7).to_string());
        assert_eq!(found[0], "the training loss became NaN in epoch 2, step 7");
        assert_eq!(found[1], "the loss of the auxiliary head became inf in epoch 2, step 7");
        assert_eq!(found[2], "the norm of the gradient became NaN in epoch 2, step 7");
    }

    #[test]
    fn a_tensor_that_is_not_finite_is_named() {
        let named = |name: &str, x: f32| (name.into(), Tensor::new(&[1.0, x], &Device::Cpu).unwrap());
        assert_eq!(finite(vec![named("a/w", 2.0)], 1, 1).unwrap().len(), 1);
        let error = finite(vec![named("a/w", 2.0), named("b/w", f32::NEG_INFINITY)], 3, 4).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("became -inf in epoch 3, step 4; first not finite: b/w"), "{text}");
    }
}
