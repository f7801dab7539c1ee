//! Compares an exported file, run by another implementation of ONNX, with the network's own forward pass.

use std::path::Path;

use enas_child::FixedNetwork;
use enas_data::Normalization;
use enas_run::tta::softmax;

use crate::error::{Error, Result};
use crate::lower::{LOGITS, PROBABILITIES};
use crate::runtime::{self, Runtime};

/// Lower bound of the automatic tolerance, for logits of about 1. [`Exported::tolerance`](crate::Exported::tolerance)
/// gives the rule.
pub const TOLERANCE: f32 = 1e-4;

/// Batch sizes, used in turn: the smallest, an odd one, a large one.
pub(crate) const BATCHES: [usize; 3] = [1, 7, 64];

/// The network that an exported file is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) network: &'a dyn FixedNetwork,
    pub(crate) normalization: &'a Normalization,
}

/// The network's logits `[n, classes]` for images `[n, c, h, w]` of bytes.
///
/// # Errors
/// If a logit is infinite or NaN.
pub(crate) fn own_logits(
    Reference { network, normalization }: Reference<'_>,
    bytes: &[u8],
) -> Result<Vec<f32>> {
    let images = normalized(network, normalization, bytes)?;
    let logits = network.infer(&images)?.flatten_all()?.to_vec1::<f32>()?;
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(at) => Err(Error::NotFinite { value: logits[at], image: at / network.n_classes() }),
        None => Ok(logits),
    }
}

/// Normalises images `[n, c, h, w]` of bytes to the input of the network, `[n, c, h, w]` of `f32`.
pub(crate) fn normalized(
    network: &dyn FixedNetwork,
    normalization: &Normalization,
    bytes: &[u8],
) -> Result<candle_core::Tensor> {
    let input = network.input();
    let len = image_len(network);
    let mut images = vec![0.0; bytes.len()];
    for (pixels, image) in bytes.chunks_exact(len).zip(images.chunks_exact_mut(len)) {
        normalization.apply(pixels, image);
    }
    let shape = (bytes.len() / len, input.channels, input.height, input.width);
    Ok(candle_core::Tensor::from_vec(images, shape, &candle_core::Device::Cpu)?)
}

/// What an exported file should compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) network: &'a dyn FixedNetwork,
    /// The temperature that logits are divided by before the softmax.
    pub(crate) temperature: f64,
}

/// How far rounding alone moves a logit `[n, classes]` of images `[n, c, h, w]`.
///
/// This is the largest difference between `logits` and those of the same network with folded batch norms. Both
/// compute the same function, but in another order of operations. Large activations and batch norms with a tiny
/// variance increase the difference.
///
/// # Errors
/// If a logit of the folded network is infinite or NaN.
pub(crate) fn rounding(reference: Reference<'_>, bytes: &[u8], logits: &[f32]) -> Result<f32> {
    let folded = reference.network.fold()?;
    let again = own_logits(Reference { network: &*folded, ..reference }, bytes)?;
    Ok(again.iter().zip(logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
}

/// Factor on [`rounding`] that another runtime may need, as it sums in yet another order.
const ROUNDINGS: f32 = 10.0;
/// A difference above this fraction of the range of all logits is never accepted as rounding.
const SEEN: f32 = 0.01;

/// The tolerated difference from `logits` `[n, classes]`, given that rounding moves a logit by `rounding`.
///
/// It is the larger of [`TOLERANCE`] times the largest absolute logit (at least 1) and [`ROUNDINGS`] times
/// `rounding`. The limit is [`SEEN`] times the range of the logits, but at least [`TOLERANCE`].
pub(crate) fn allowance(logits: &[f32], rounding: f32) -> f32 {
    let (low, high) = logits.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
    let largest = low.abs().max(high.abs()).max(1.0);
    let explained = (TOLERANCE * largest).max(ROUNDINGS * rounding);
    explained.min((SEEN * (high - low)).max(TOLERANCE))
}

/// Runs the file on images `[n, c, h, w]` in batches of several sizes.
///
/// Returns the largest difference of a logit from the network's `logits` `[n, classes]`.
///
/// # Errors
/// If the file cannot be run, or if a logit or probability differs by more than `tolerance`.
pub(crate) fn compare(
    path: &Path,
    Claim { network, temperature }: Claim<'_>,
    bytes: &[u8],
    logits: &[f32],
    tolerance: f32,
) -> Result<f32> {
    let classes = network.n_classes();
    let outputs = run(path, network, bytes).map_err(|error| unreadable(path, error.to_string()))?;
    let scale = (1.0 / temperature) as f32;
    let mut probabilities: Vec<f32> = logits.iter().map(|logit| logit * scale).collect();
    probabilities.chunks_exact_mut(classes).for_each(softmax);
    let mut largest = [0.0f32; 2];
    let pairs = [(LOGITS, logits, &outputs[0]), (PROBABILITIES, &probabilities[..], &outputs[1])];
    for ((output, ours, theirs), largest) in pairs.into_iter().zip(&mut largest) {
        if ours.len() != theirs.len() {
            let problem = format!("{output} has {} numbers instead of {}", theirs.len(), ours.len());
            return Err(unreadable(path, problem));
        }
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            let difference = (a - b).abs();
            if difference.is_nan() || difference > tolerance {
                let image = i / classes;
                let class = i % classes;
                let path = path.to_owned();
                return Err(Error::Differs { path, output, image, class, difference, tolerance });
            }
            *largest = largest.max(difference);
        }
    }
    Ok(largest[0])
}

/// Logits and probabilities, `[n, classes]` each, of all images, computed by the other runtime.
fn run(path: &Path, network: &dyn FixedNetwork, bytes: &[u8]) -> runtime::Result<[Vec<f32>; 2]> {
    let runtime = Runtime::load(path)?;
    let input = network.input();
    let mut outputs = [Vec::new(), Vec::new()];
    let mut rest = bytes;
    for batch in BATCHES.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let n = batch.min(rest.len() / image_len(network));
        let (now, later) = rest.split_at(n * image_len(network));
        rest = later;
        let values = now.iter().map(|byte| unit(*byte)).collect();
        let results = runtime.run([n, input.channels, input.height, input.width], values)?;
        for (all, result) in outputs.iter_mut().zip(results) {
            all.extend(result);
        }
    }
    Ok(outputs)
}

/// Converts a byte to the input range of the exported graph, 0 to 1.
pub(crate) fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Number of bytes of an image: `c · h · w`.
pub(crate) fn image_len(network: &dyn FixedNetwork) -> usize {
    let input = network.input();
    input.channels * input.height * input.width
}

fn unreadable(path: &Path, problem: String) -> Error {
    Error::Unreadable { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_allowed_for_and_what_can_be_seen_is_not() {
        // Small logits of a network with little rounding.
        assert_eq!(allowance(&[-0.5, 0.5], 1e-6), TOLERANCE);
        // Large logits, and a network that amplifies rounding.
        assert_eq!(allowance(&[-20.0, 30.0], 1e-6), 30.0 * TOLERANCE);
        assert!((allowance(&[-1.0, 1.0], 5e-5) - 5e-4).abs() < 1e-9);
        // Even with large rounding errors, a hundredth of the range is the limit.
        assert_eq!(allowance(&[-1.0, 1.0], 1.0), 0.02);
        assert_eq!(allowance(&[0.0, 0.0], 1.0), TOLERANCE);
    }
}
