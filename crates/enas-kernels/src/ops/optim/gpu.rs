//! Optimiser updates: the launches of `optim.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use crate::ops::optim::tensor_list::TensorList;
use crate::ops::optim::{AdamFactors, Nesterov};

/// Numbers that a thread handles at once.
const QUAD: usize = 4;

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
        let gpu = gradient.gpu();
        let total = weights.blocks();
        let partials = gpu.buffer(total);
        let flat = [gradient.into(), (&partials).into()];
        let tail = [(2.0 * self.l2).into()];
        weights.launch("optim_squares", &flat, &tail, 2, 4);
        let args = [(&partials).into(), norm.into(), total.into()];
        gpu.launch("optim_norm", [1, 1, 1], [THREADS, 1, 1], &args, Cost::new(total + 1, total));
    }
}

impl AdamFactors {
    /// One update of the weights in `ranges` (first, length) and their second moments `v`, on a GPU. Reads weights,
    /// moments and gradient once, writes weights and moments.
    ///
    /// # Panics
    /// If a range leaves a buffer.
    pub(crate) fn step_gpu(
        &self,
        weights: &Buffer,
        v: &Buffer,
        gradient: &Buffer,
        ranges: &[(usize, usize)],
    ) {
        check(&[weights, v, gradient], ranges);
        for &(first, len) in ranges {
            let mut args = vec![weights.into(), v.into(), gradient.into(), first.into(), len.into()];
            args.extend([self.rate, self.keep, self.take, self.epsilon].map(Param::from));
            let cost = Cost::new(5 * len, 9 * len);
            weights.gpu().launch("optim_adam", blocks(first, len), [THREADS, 1, 1], &args, cost);
        }
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

/// Checks that every range lies inside every buffer: kernels do not check lengths.
fn check(buffers: &[&Buffer], ranges: &[(usize, usize)]) {
    for buffer in buffers {
        ranges.iter().for_each(|(first, len)| _ = buffer.span(*first, *len));
    }
}

/// The grid for one thread per aligned quad that a run of weights touches.
fn blocks(first: usize, len: usize) -> [usize; 3] {
    let quads = if len == 0 { 0 } else { (first + len).div_ceil(QUAD) - first / QUAD };
    [quads.div_ceil(THREADS), 1, 1]
}
