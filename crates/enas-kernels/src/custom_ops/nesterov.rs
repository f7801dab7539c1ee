//! The update of candle variables with Nesterov momentum, in place.

use candle_core::{Result, Tensor, bail};

use super::tensors;
use crate::candle::{distinct, write};
use crate::gpu::{Buffer, Gpu, TensorList};
use crate::ops::optim::Nesterov;

const OP: &str = "nesterov";

/// Updates `weights` and their `momentum` in place, both contiguous and of one shape. A missing gradient counts as
/// zeros. Returns `Σ g²` before scaling, as [`Nesterov::step`].
///
/// # Errors
/// If shapes or devices differ, a tensor is not `f32`, or one that is updated is not contiguous.
pub fn nesterov_step(
    rule: &Nesterov,
    weights: &Tensor,
    momentum: &Tensor,
    gradient: Option<&Tensor>,
) -> Result<f64> {
    if weights.device().is_cuda() {
        return step_on_gpu(rule, weights, momentum, gradient);
    }
    for (name, tensor) in [("weights", weights), ("momentum", momentum)] {
        if !tensor.is_contiguous() {
            bail!("{OP}: {name} {:?} is not contiguous, so it cannot be updated in place", tensor.shape());
        }
        tensors::with(OP, name, tensor, |tensor| tensor.numbers_of(weights.dims()).map(drop))?;
    }
    let lent: Vec<&Tensor> = [weights, momentum].into_iter().chain(gradient).collect();
    distinct(&lent)?;
    let step = |gradient: Option<&[f32]>| {
        write(weights, |weights| write(momentum, |momentum| rule.step(weights, momentum, gradient)))?
    };
    match gradient {
        Some(gradient) => tensors::with(OP, "gradient", gradient, |gradient| {
            step(Some(&gradient.numbers_of(weights.dims())?))
        }),
        None => step(None),
    }
}

fn step_on_gpu(
    rule: &Nesterov,
    weights: &Tensor,
    momentum: &Tensor,
    gradient: Option<&Tensor>,
) -> Result<f64> {
    for other in [Some(momentum), gradient].into_iter().flatten() {
        if other.shape() != weights.shape() {
            bail!("{OP}: {:?} beside weights {:?}", other.shape(), weights.shape());
        }
    }
    let weights = Buffer::of(weights)?;
    let momentum = Buffer::of(momentum)?;
    let gpu: Gpu = weights.gpu().clone();
    let len = weights.len();
    let gradient = match gradient {
        Some(gradient) => Buffer::of(&gradient.contiguous()?)?,
        None => gpu.zeros(len),
    };
    let norm = gpu.buffer(1);
    let weights = TensorList::new(&gpu, [(weights, 0, len)]);
    rule.step_gpu(&weights, &momentum, &gradient, 0.0, norm.span(0, 1));
    Ok(f64::from(norm.download(0, 1)?[0]).powi(2))
}
