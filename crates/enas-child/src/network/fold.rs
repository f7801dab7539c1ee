//! Folds batch norms into the convolutions before them, for inference.

use enas_kernels::RunningStats;

use crate::error::Error;
use crate::layer::ConvLayer;
use crate::params::{NetworkRunningStats, Params};

/// Folds every batch norm of a network into the convolution before it.
///
/// # Errors
/// Errors of candle when it gives access to the tensors.
pub(crate) fn fold_batch_norms<'l>(
    params: &Params,
    running: &NetworkRunningStats,
    mut layers: impl Iterator<Item = &'l ConvLayer>,
) -> Result<(), Error> {
    let stats = running.current()?;
    layers.try_for_each(|layer| fold(params, running, layer, &stats))
}

/// Folds the batch norm of one conv block: multiplies the weights by γ/σ, and keeps the shift β − μ·γ/σ as the offset.
///
/// Here γ and β are scale and offset of the batch norm, μ and σ its moving mean and deviation. `stats` are the moving
/// statistics of all batch norms of the network, from before the first one was folded.
///
/// # Errors
/// Errors of candle when it gives access to the tensors.
fn fold(
    params: &Params,
    running: &NetworkRunningStats,
    layer: &ConvLayer,
    stats: &[RunningStats],
) -> Result<(), Error> {
    let norm = layer.norm;
    let Some(index) = norm.running else { return Ok(()) };
    let affine =
        params.read(|weights| Ok(stats[index].affine(weights.get(norm.scale), weights.get(norm.offset))))?;
    // A factorized reduction has two convolutions, whose concatenated outputs share the batch norm.
    let mut first = 0;
    for conv in &layer.convs {
        let scale = &affine.scale[first..first + conv.outputs];
        for id in &conv.weight {
            params.write(*id, |matrix| {
                let rows = matrix.chunks_exact_mut(conv.outputs);
                rows.for_each(|row| row.iter_mut().zip(scale).for_each(|(w, s)| *w *= s));
            })?;
        }
        first += conv.outputs;
    }
    // The remaining batch norm has scale 1, mean 0 and deviation 1 (variance 1 − ε), and the shift as its offset.
    params.write(norm.scale, |scale| scale.fill(1.0))?;
    params.write(norm.offset, |offset| offset.copy_from_slice(&affine.shift))?;
    let channels = affine.shift.len();
    running.replace(index, vec![0.0; channels], vec![1.0 - enas_kernels::EPSILON; channels])
}
