//! The operations of the reference, backward: the gradient by every weight, given the decisions of ReLUs and pools.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Graph, Id, Op, Slice, for_each_second, for_each_tap};
use super::tensor::{Tensor, Windows};

/// A gradient for every weight tensor, by name.
pub(crate) type Gradients = BTreeMap<String, Vec<f64>>;

/// Decisions that go the other way than in the forward pass: the node of a ReLU and one of its numbers, or that of a
/// max-pool and one of its outputs.
pub(crate) type Flips = BTreeSet<(Id, usize)>;

impl Graph<'_> {
    /// Propagates the gradients `seeds` of some nodes to the weights.
    pub(crate) fn backward(&self, seeds: &[(Id, Tensor)], flips: &Flips) -> Gradients {
        let zeros = |(name, values): (&String, &Vec<f64>)| (name.clone(), vec![0.0; values.len()]);
        let mut into: Gradients = self.weights.iter().map(zeros).collect();
        let mut grads: Vec<Option<Tensor>> = vec![None; self.nodes.len()];
        for (id, seed) in seeds {
            add(&mut grads, *id, seed.clone());
        }
        for id in (0..self.nodes.len()).rev() {
            if let Some(grad) = grads[id].take() {
                self.node_backward(id, &grad, flips, &mut grads, &mut into);
            }
        }
        into
    }

    fn node_backward(
        &self,
        id: Id,
        grad: &Tensor,
        flips: &Flips,
        grads: &mut [Option<Tensor>],
        into: &mut Gradients,
    ) {
        match &self.nodes[id].op {
            Op::Input => {}
            Op::Relu(x) => {
                let value = self.value(*x);
                let passes = |i: usize| (value.data[i] > 0.0) != flips.contains(&(id, i));
                let pass = |(i, g): (usize, &f64)| if passes(i) { *g } else { 0.0 };
                let data = grad.data.iter().enumerate().map(pass).collect();
                add(grads, *x, Tensor { data, ..value.clone() });
            }
            Op::Conv { x, kernel, k } => self.conv_backward(*x, kernel, *k, grad, grads, into),
            Op::Depthwise { x, kernel, k, stride } => {
                self.depthwise_backward(*x, kernel, (*k, *stride), grad, grads, into);
            }
            Op::Norm { .. } => self.norm_backward(id, grad, grads, into),
            Op::MaxPool { x, winners } => {
                let mut out = self.value(*x).zeros_like();
                for (i, ((first, second), g)) in winners.iter().zip(&grad.data).enumerate() {
                    out.data[if flips.contains(&(id, i)) { *second } else { *first }] += g;
                }
                add(grads, *x, out);
            }
            Op::AveragePool { x, y_axis, x_axis } => {
                let mut out = self.value(*x).zeros_like();
                for_each_tap(grad.n, *y_axis, *x_axis, |n, (oy, _, iy), (ox, _, ix)| {
                    let count = (y_axis.taps(oy).count() * x_axis.taps(ox).count()) as f64;
                    let from = grad.at(n, oy, ox);
                    let to = out.at(n, iy, ix);
                    (0..grad.c).for_each(|c| out.data[to + c] += grad.data[from + c] / count);
                });
                add(grads, *x, out);
            }
            Op::Add(a, b) => [a, b].into_iter().for_each(|x| add(grads, *x, grad.clone())),
            Op::Scale { x, factors } => {
                let mut out = grad.clone();
                let each = out.data.len() / factors.len();
                out.data.iter_mut().enumerate().for_each(|(i, g)| *g *= factors[i / each]);
                add(grads, *x, out);
            }
            Op::Concat(parts) => {
                let mut first = 0;
                for part in parts {
                    let mut out = self.value(*part).zeros_like();
                    for (to, from) in out.data.chunks_exact_mut(out.c).zip(grad.data.chunks_exact(grad.c)) {
                        to.copy_from_slice(&from[first..][..to.len()]);
                    }
                    first += out.c;
                    add(grads, *part, out);
                }
            }
            Op::EverySecond { x, offset } => {
                let input = self.value(*x);
                let mut out = input.zeros_like();
                for_each_second(input, *offset, |from, to| {
                    out.data[from..][..grad.c].copy_from_slice(&grad.data[to..][..grad.c]);
                });
                add(grads, *x, out);
            }
            Op::Mean(x) => {
                let mut out = self.value(*x).zeros_like();
                let plane = out.h * out.w;
                let c = out.c;
                for (pixel, to) in out.data.chunks_exact_mut(c).enumerate() {
                    let from = &grad.data[pixel / plane * c..][..c];
                    to.iter_mut().zip(from).for_each(|(to, g)| *to = g / plane as f64);
                }
                add(grads, *x, out);
            }
        }
    }

    fn conv_backward(
        &self,
        x: Id,
        kernel: &[Slice],
        k: usize,
        grad: &Tensor,
        grads: &mut [Option<Tensor>],
        into: &mut Gradients,
    ) {
        let input = self.value(x);
        let numbers = self.joined(kernel);
        let mut by_input = input.zeros_like();
        let mut by_kernel = vec![0.0; numbers.len()];
        let ys = Windows::same(input.h, k, 1);
        let xs = Windows::same(input.w, k, 1);
        for_each_tap(input.n, ys, xs, |n, (oy, ty, iy), (ox, tx, ix)| {
            let from = input.at(n, iy, ix);
            let g = &grad.data[grad.at(n, oy, ox)..][..grad.c];
            for ci in 0..input.c {
                let at = ((ty * k + tx) * input.c + ci) * grad.c;
                let value = input.data[from + ci];
                let row = &numbers[at..][..grad.c];
                let row_grad = &mut by_kernel[at..][..grad.c];
                by_input.data[from + ci] += row.iter().zip(g).map(|(w, g)| w * g).sum::<f64>();
                row_grad.iter_mut().zip(g).for_each(|(r, g)| *r += value * g);
            }
        });
        let mut rest = by_kernel.as_slice();
        for piece in kernel {
            let (of_piece, after) = rest.split_at(piece.range.len());
            collect(into, piece, of_piece);
            rest = after;
        }
        add(grads, x, by_input);
    }

    fn depthwise_backward(
        &self,
        x: Id,
        kernel: &Slice,
        (k, stride): (usize, usize),
        grad: &Tensor,
        grads: &mut [Option<Tensor>],
        into: &mut Gradients,
    ) {
        let input = self.value(x);
        let numbers = self.numbers(kernel);
        let mut by_input = input.zeros_like();
        let mut by_kernel = vec![0.0; numbers.len()];
        let ys = Windows::same(input.h, k, stride);
        let xs = Windows::same(input.w, k, stride);
        for_each_tap(input.n, ys, xs, |n, (oy, ty, iy), (ox, tx, ix)| {
            let from = input.at(n, iy, ix);
            let g = grad.at(n, oy, ox);
            for c in 0..input.c {
                let at = (ty * k + tx) * input.c + c;
                by_input.data[from + c] += numbers[at] * grad.data[g + c];
                by_kernel[at] += input.data[from + c] * grad.data[g + c];
            }
        });
        collect(into, kernel, &by_kernel);
        add(grads, x, by_input);
    }

    fn norm_backward(&self, id: Id, grad: &Tensor, grads: &mut [Option<Tensor>], into: &mut Gradients) {
        let Op::Norm { x, gamma, beta, mean, inverse_deviation } = &self.nodes[id].op else {
            unreachable!("called for batch norms alone")
        };
        let input = self.value(*x);
        let scale = self.numbers(gamma);
        let c = input.c;
        let count = input.pixels() as f64;
        let normalised = |i: usize| (input.data[i] - mean[i % c]) * inverse_deviation[i % c];
        let mut sum = vec![0.0; c];
        let mut product = vec![0.0; c];
        for (i, g) in grad.data.iter().enumerate() {
            sum[i % c] += g;
            product[i % c] += g * normalised(i);
        }
        collect(into, gamma, &product);
        collect(into, beta, &sum);
        let by_input = |(i, g): (usize, &f64)| {
            let centred = g - sum[i % c] / count - normalised(i) * product[i % c] / count;
            scale[i % c] * inverse_deviation[i % c] * centred
        };
        let data = grad.data.iter().enumerate().map(by_input).collect();
        add(grads, *x, Tensor { data, ..input.clone() });
    }
}

fn add(grads: &mut [Option<Tensor>], id: Id, grad: Tensor) {
    match &mut grads[id] {
        Some(total) => total.data.iter_mut().zip(&grad.data).for_each(|(t, g)| *t += g),
        empty => *empty = Some(grad),
    }
}

fn collect(into: &mut Gradients, slice: &Slice, gradient: &[f64]) {
    let total = into.get_mut(&slice.name).expect("there is a gradient for every weight");
    total[slice.range.clone()].iter_mut().zip(gradient).for_each(|(t, g)| *t += g);
}
