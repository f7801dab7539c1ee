//! Optimiser updates of candle variables, in place.

use candle_core::{Result, Tensor, bail};

use super::tensors;
use crate::candle::{distinct, write};
use crate::ops::optim::{Nesterov, TfAdam};

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
        return on_gpu::nesterov(rule, weights, momentum, gradient);
    }
    let mut squares = 0.0;
    update("nesterov", (weights, momentum, "momentum"), gradient, |weights, momentum, gradient| {
        squares = rule.step(weights, momentum, gradient);
    })?;
    Ok(squares)
}

/// Updates `weights` and their second `moment` in place, both contiguous and of one shape. `t` counts updates from 1.
///
/// # Errors
/// If shapes or devices differ, `t` is 0, a tensor is not `f32`, or one that is updated is not contiguous.
pub fn tf_adam_step(
    rule: &TfAdam,
    weights: &Tensor,
    moment: &Tensor,
    gradient: &Tensor,
    t: u64,
) -> Result<()> {
    if t == 0 {
        bail!("adam: update 0; updates are counted from 1");
    }
    if weights.device().is_cuda() {
        return on_gpu::adam(rule, weights, moment, gradient, t);
    }
    update("adam", (weights, moment, "moment"), Some(gradient), |weights, moment, gradient| {
        rule.step(weights, moment, gradient.unwrap_or_default(), t);
    })
}

/// Calls `step` with the numbers of the weights and the state, for writing in place.
fn update(
    op: &'static str,
    (weights, state, state_name): (&Tensor, &Tensor, &'static str),
    gradient: Option<&Tensor>,
    step: impl FnOnce(&mut [f32], &mut [f32], Option<&[f32]>),
) -> Result<()> {
    for (name, tensor) in [("weights", weights), (state_name, state)] {
        if !tensor.is_contiguous() {
            bail!("{op}: {name} {:?} is not contiguous, so it cannot be updated in place", tensor.shape());
        }
        tensors::with(op, name, tensor, |tensor| tensor.numbers_of(weights.dims()).map(drop))?;
    }
    let lent: Vec<&Tensor> = [weights, state].into_iter().chain(gradient).collect();
    distinct(&lent)?;
    let write_both = |gradient: Option<&[f32]>| {
        write(weights, |weights| write(state, |state| step(weights, state, gradient)))?
    };
    match gradient {
        Some(gradient) => tensors::with(op, "gradient", gradient, |gradient| {
            write_both(Some(&gradient.numbers_of(weights.dims())?))
        }),
        None => write_both(None),
    }
}

/// The same for tensors on a GPU.
mod on_gpu {
    use candle_core::{Result, Tensor, bail};

    use crate::gpu::{Buffer, Gpu, TensorList};
    use crate::ops::optim::{Nesterov, TfAdam};

    pub(super) fn nesterov(
        rule: &Nesterov,
        weights: &Tensor,
        momentum: &Tensor,
        gradient: Option<&Tensor>,
    ) -> Result<f64> {
        let (weights, momentum, gradient) = lent("nesterov", weights, momentum, gradient)?;
        let (gpu, len) = (weights.gpu().clone(), weights.len());
        let norm = gpu.buffer(1);
        let weights = TensorList::new(&gpu, [(weights, 0, len)]);
        rule.step_gpu(&weights, &momentum, &gradient, 0.0, norm.span(0, 1));
        Ok(f64::from(norm.download(0, 1)?[0]).powi(2))
    }

    pub(super) fn adam(
        rule: &TfAdam,
        weights: &Tensor,
        moment: &Tensor,
        gradient: &Tensor,
        t: u64,
    ) -> Result<()> {
        let (weights, moment, gradient) = lent("adam", weights, moment, Some(gradient))?;
        rule.step_gpu(&weights, &moment, &gradient, &[(0, weights.len())], t);
        Ok(weights.gpu().finish()?)
    }

    /// Weights, state and gradient as buffers; the gradient is zeros if there is none.
    fn lent(
        op: &str,
        weights: &Tensor,
        state: &Tensor,
        gradient: Option<&Tensor>,
    ) -> Result<(Buffer, Buffer, Buffer)> {
        for other in [Some(state), gradient].into_iter().flatten() {
            if other.shape() != weights.shape() {
                bail!("{op}: {:?} beside weights {:?}", other.shape(), weights.shape());
            }
        }
        let (weights, state) = (Buffer::of(weights)?, Buffer::of(state)?);
        let zeros = |gpu: &Gpu| Ok(gpu.zeros(weights.len()));
        let gradient = match gradient {
            Some(gradient) => Buffer::of(&gradient.contiguous()?),
            None => zeros(weights.gpu()),
        };
        Ok((weights, state, gradient?))
    }
}
