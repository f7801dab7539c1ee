//! Optimiser updates: the launches of `optim.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use crate::ops::optim::Nesterov;
use crate::ops::optim::tensor_list::TensorList;

impl Nesterov {
    /// One update of weights that lie apart, on a GPU; the counterpart of [`step`](Self::step). In `momentum` and
    /// `gradient` each array has the place that `weights` gives it.
    ///
    /// `norm`, one number, receives the norm of the whole gradient before scaling, penalty included. With `clip_norm`
    /// above 0 the gradient is scaled to at most this norm; otherwise by [`scale`](Self::scale). If the norm is not
    /// finite, nothing else is written. Reads weights and gradient twice and the momentum once, writes weights and
    /// momentum once.
    ///
    /// # Panics
    /// If a place leaves a buffer, or `norm` is not one number.
    pub fn step_gpu(
        &self,
        weights: &TensorList,
        momentum: &Buffer,
        gradient: &Buffer,
        clip_norm: f32,
        norm: Span<'_>,
    ) {
        assert_eq!(norm.len, 1, "a norm is one number");
        weights.check(&[momentum, gradient]);
        self.norm(weights, gradient, norm);
        let tail = [self.lr, self.momentum, 2.0 * self.l2, self.scale, clip_norm].map(Param::from);
        weights.launch("optim_nesterov", &[momentum.into(), gradient.into(), norm.into()], &tail, 5, 9);
    }

    /// Writes the norm of the gradient with its penalty to `norm`.
    fn norm(&self, weights: &TensorList, gradient: &Buffer, norm: Span<'_>) {
        let (gpu, total) = (gradient.gpu(), weights.blocks());
        let partials = gpu.buffer(total);
        let flat = [gradient.into(), (&partials).into()];
        let tail = [(2.0 * self.l2).into()];
        weights.launch("optim_squares", &flat, &tail, 2, 4);
        let args = [(&partials).into(), norm.into(), total.into()];
        gpu.launch("optim_norm", [1, 1, 1], [THREADS, 1, 1], &args, Cost::new(total + 1, total));
    }
}

/// Updates an exponential moving average (EMA) of weights that lie apart: `averages += share·(weights − averages)`. In
/// `averages` each array has the place that `weights` gives it. Reads both once, writes the averages.
///
/// # Panics
/// If a place leaves the buffer.
pub fn move_averages(averages: &Buffer, weights: &TensorList, share: f32) {
    weights.check(&[averages]);
    weights.launch("optim_average", &[averages.into()], &[share.into()], 3, 3);
}
