//! Optimiser updates of candle variables, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};

use super::tensors;
use crate::optim::{Nesterov, TfAdam};

/// Updates `weights` and their `momentum` in place, both contiguous and of one shape; no gradient means zero.
/// Returns `Σ g²` before scaling, as [`Nesterov::step`].
///
/// # Errors
/// If shapes differ, or a tensor is not `f32`, on the CPU and, to be written to, contiguous.
pub fn nesterov_step(
    rule: &Nesterov,
    weights: &Tensor,
    momentum: &Tensor,
    gradient: Option<&Tensor>,
) -> Result<f64> {
    let mut squares = 0.0;
    update("nesterov", (weights, momentum, "momentum"), gradient, |weights, momentum, gradient| {
        squares = rule.step(weights, momentum, gradient);
    })?;
    Ok(squares)
}

/// Updates `weights` and their second `moment` in place, both contiguous and of one shape; `t` counts updates
/// from 1.
///
/// # Errors
/// If shapes differ, `t` is 0, or a tensor is not `f32`, on the CPU and, to be written to, contiguous.
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
    update("adam", (weights, moment, "moment"), Some(gradient), |weights, moment, gradient| {
        rule.step(weights, moment, gradient.unwrap_or_default(), t);
    })
}

/// Lets `step` change copies of the weights and the state itself, then writes the weights back: candle lends one
/// tensor at a time for writing.
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
    }
    let dims = weights.dims();
    let mut updated = tensors::with(op, "weights", weights, |w| w.numbers_of(dims))?;
    tensors::with(op, state_name, state, |s| s.numbers_of(dims))?;
    let gradient = gradient.map(|g| tensors::with(op, "gradient", g, |g| g.numbers_of(dims))).transpose()?;
    write(op, state, |state| step(&mut updated, state, gradient.as_deref()))?;
    write(op, weights, |weights| weights.copy_from_slice(&updated))
}

/// Lends `body` the numbers of a contiguous tensor for writing.
fn write(op: &'static str, tensor: &Tensor, body: impl FnOnce(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Write { op, body: RefCell::new(Some(body)) })
}

struct Write<F> {
    op: &'static str,
    body: RefCell<Option<F>>,
}

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Write<F> {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(data), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            bail!("{}: {:?} is not a contiguous F32 tensor", self.op, layout.shape());
        };
        if let Some(body) = self.body.borrow_mut().take() {
            body(&mut data[from..to]);
        }
        Ok(())
    }
}
