//! Optimiser updates: the launches.

use super::cost::Cost;
use super::lanes::THREADS;
use super::memory::{Buffer, Span};
use crate::optim::{Nesterov, TfAdam};

/// Numbers that a thread treats at once.
const QUAD: usize = 4;
/// Most blocks that add up the squares of one run of weights.
const NORM_BLOCKS: usize = 512;

impl Nesterov {
    /// One update of the weights in `ranges` (first, length) on a GPU; the twin of [`step`](Self::step).
    ///
    /// `norm` receives the norm of the whole gradient before scaling, penalty included. With `clip_norm` above 0 the
    /// gradient is scaled to at most this norm; otherwise by [`scale`](Self::scale). Where the norm is not finite nothing
    /// else is written. Reads weights and gradient twice and the momentum once, writes weights and momentum once.
    ///
    /// # Panics
    /// If a range leaves a buffer, or `norm` is not one number.
    pub fn step_gpu(
        &self,
        weights: &Buffer,
        momentum: &Buffer,
        gradient: &Buffer,
        ranges: &[(usize, usize)],
        clip_norm: f32,
        norm: Span<'_>,
    ) {
        assert_eq!(norm.len, 1, "a norm is one number");
        check(&[weights, momentum, gradient], ranges);
        self.norm(weights, gradient, ranges, norm);
        for &(first, len) in ranges {
            let mut args = vec![weights.into(), momentum.into(), gradient.into(), norm.into()];
            args.extend([first.into(), len.into(), self.lr.into(), self.momentum.into()]);
            args.extend([(2.0 * self.l2).into(), self.scale.into(), clip_norm.into()]);
            let cost = Cost::new(5 * len, 9 * len);
            weights.gpu().launch("optim_nesterov", blocks(first, len), [THREADS, 1, 1], &args, cost);
        }
    }

    /// Writes the norm of the gradient with its penalty to `norm`.
    fn norm(&self, weights: &Buffer, gradient: &Buffer, ranges: &[(usize, usize)], norm: Span<'_>) {
        let gpu = weights.gpu();
        let parts = |&(first, len): &(usize, usize)| blocks(first, len)[0].min(NORM_BLOCKS);
        let total: usize = ranges.iter().map(parts).sum();
        let partials = gpu.buffer(total);
        let mut at = 0;
        for range in ranges {
            let (count, (first, len)) = (parts(range), *range);
            let mut args = vec![weights.into(), gradient.into(), partials.span(at, count).into()];
            args.extend([first.into(), len.into(), (2.0 * self.l2).into()]);
            let cost = Cost::new(2 * len + count, 4 * len);
            gpu.launch("optim_squares", [count, 1, 1], [THREADS, 1, 1], &args, cost);
            at += count;
        }
        let args = [(&partials).into(), norm.into(), total.into()];
        gpu.launch("optim_norm", [1, 1, 1], [THREADS, 1, 1], &args, Cost::new(total + 1, total));
    }
}

impl TfAdam {
    /// One update of the weights in `ranges` (first, length) and their second moments `v` on a GPU; the twin of
    /// [`step`](Self::step). `t` counts updates from 1. Reads weights, moments and gradient once, writes weights and
    /// moments.
    ///
    /// # Panics
    /// If a range leaves a buffer.
    pub fn step_gpu(
        &self,
        weights: &Buffer,
        v: &Buffer,
        gradient: &Buffer,
        ranges: &[(usize, usize)],
        t: u64,
    ) {
        check(&[weights, v, gradient], ranges);
        let lr = self.corrected_lr(t);
        for &(first, len) in ranges {
            let mut args = vec![weights.into(), v.into(), gradient.into(), first.into(), len.into()];
            args.extend([lr.into(), self.beta2.into(), self.epsilon.into()]);
            let cost = Cost::new(5 * len, 9 * len);
            weights.gpu().launch("optim_adam", blocks(first, len), [THREADS, 1, 1], &args, cost);
        }
    }
}

/// Moves `len` averages towards their weights by this share of the way. Reads both once, writes the averages.
///
/// # Panics
/// If either buffer is shorter.
pub fn move_averages(averages: &Buffer, weights: &Buffer, len: usize, share: f32) {
    check(&[averages, weights], &[(0, len)]);
    let args = [averages.into(), weights.into(), len.into(), share.into()];
    let grid = [len.div_ceil(THREADS), 1, 1];
    averages.gpu().launch("optim_average", grid, [THREADS, 1, 1], &args, Cost::new(3 * len, 3 * len));
}

/// Kernels do not look at lengths: every range must lie inside every buffer.
fn check(buffers: &[&Buffer], ranges: &[(usize, usize)]) {
    for buffer in buffers {
        ranges.iter().for_each(|(first, len)| _ = buffer.span(*first, *len));
    }
}

/// Blocks for one thread per aligned quad that a run of weights touches.
fn blocks(first: usize, len: usize) -> [usize; 3] {
    let quads = if len == 0 { 0 } else { (first + len).div_ceil(QUAD) - first / QUAD };
    [quads.div_ceil(THREADS), 1, 1]
}
