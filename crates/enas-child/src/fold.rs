//! Folds batch norms into the convolutions before them, for inference.

use enas_kernels::RunningStats;

use crate::Error;
use crate::backend::ConvLayer;
use crate::params::Params;
use crate::running::Running;

/// Folds the batch norm of one conv block: multiplies the weights by γ/σ, and keeps the shift β − μ·γ/σ as the offset.
///
/// Here γ and β are scale and offset of the batch norm, μ and σ its moving mean and deviation. `moments` are the moving
/// statistics of all batch norms of the network, from before the first one was folded.
///
/// # Errors
/// Errors of candle when it gives access to the tensors.
pub(crate) fn fold(
    params: &Params,
    running: &Running,
    block: &ConvLayer,
    moments: &[RunningStats],
) -> Result<(), Error> {
    let norm = block.norm;
    let Some(index) = norm.running else { return Ok(()) };
    let affine = params
        .read(|weights| Ok(moments[index].affine(weights.get(norm.scale), weights.get(norm.offset))))?;
    // A factorized reduction has two convolutions, whose concatenated outputs share the batch norm.
    let mut first = 0;
    for conv in &block.convs {
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
