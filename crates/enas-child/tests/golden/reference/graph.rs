//! The operations of the reference, forward: each computes its value when it is added to the graph.

use std::collections::BTreeMap;
use std::ops::Range;

use super::tensor::{Tensor, Windows};

/// What TensorFlow's fused batch norm adds to the variance.
const EPSILON: f64 = 1.001e-5;

/// The place of a node in its graph.
pub(crate) type Id = usize;

/// A part of a weight tensor: all of it, or one row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub(crate) name: String,
    pub(crate) range: Range<usize>,
}

/// An operation and what it needs on the way back.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Input,
    Relu(Id),
    /// A dense convolution of stride 1, kernel `[k, k, inputs, outputs]` in pieces that follow each other.
    Conv {
        x: Id,
        kernel: Vec<Slice>,
        k: usize,
    },
    /// Kernel `[k, k, channels]`.
    Depthwise {
        x: Id,
        kernel: Slice,
        k: usize,
        stride: usize,
    },
    /// Batch norm with the statistics of the batch.
    Norm {
        x: Id,
        gamma: Slice,
        beta: Slice,
        mean: Vec<f64>,
        inverse_deviation: Vec<f64>,
    },
    /// 3×3; per output the indices of the largest input, the first of several, and of the next largest.
    MaxPool {
        x: Id,
        winners: Vec<(usize, usize)>,
    },
    AveragePool {
        x: Id,
        y_axis: Windows,
        x_axis: Windows,
    },
    Add(Id, Id),
    /// Each image, or each channel of each image, times a factor.
    Scale {
        x: Id,
        factors: Vec<f64>,
    },
    Concat(Vec<Id>),
    /// Every second pixel, from `offset` on; zero where there is none.
    EverySecond {
        x: Id,
        offset: usize,
    },
    /// Means over pixels.
    Mean(Id),
}

pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) value: Tensor,
    /// What the node is, for messages.
    pub(crate) label: String,
}

/// A forward pass.
pub(crate) struct Graph<'a> {
    pub(crate) weights: &'a BTreeMap<String, Vec<f64>>,
    pub(crate) nodes: Vec<Node>,
    /// Nodes that several readers share: a decision about a value is made once.
    shared: BTreeMap<(Id, &'static str), Id>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(weights: &'a BTreeMap<String, Vec<f64>>) -> Self {
        Self { weights, nodes: Vec::new(), shared: BTreeMap::new() }
    }

    pub(crate) fn value(&self, id: Id) -> &Tensor {
        &self.nodes[id].value
    }

    /// A whole weight tensor.
    pub(crate) fn weight(&self, name: String) -> Slice {
        let range = 0..self.get(&name).len();
        Slice { name, range }
    }

    /// Row `row` of a weight tensor of `rows` rows.
    pub(crate) fn row(&self, name: String, row: usize, rows: usize) -> Slice {
        let len = self.get(&name).len() / rows;
        Slice { name, range: row * len..(row + 1) * len }
    }

    fn get(&self, name: &str) -> &'a [f64] {
        self.weights.get(name).unwrap_or_else(|| panic!("no weights {name}"))
    }

    pub(crate) fn numbers(&self, slice: &Slice) -> &'a [f64] {
        &self.get(&slice.name)[slice.range.clone()]
    }

    fn push(&mut self, op: Op, value: Tensor, label: String) -> Id {
        self.nodes.push(Node { op, value, label });
        self.nodes.len() - 1
    }

    pub(crate) fn input(&mut self, value: Tensor) -> Id {
        self.push(Op::Input, value, "images".to_owned())
    }

    pub(crate) fn relu(&mut self, x: Id) -> Id {
        if let Some(id) = self.shared.get(&(x, "relu")) {
            return *id;
        }
        let id = match self.nodes[x].op.clone() {
            Op::Concat(parts) => {
                let parts: Vec<Id> = parts.into_iter().map(|part| self.relu(part)).collect();
                self.concat(&parts)
            }
            _ => {
                let mut value = self.value(x).clone();
                value.data.iter_mut().for_each(|v| *v = v.max(0.0));
                let label = format!("ReLU of {}", self.nodes[x].label);
                self.push(Op::Relu(x), value, label)
            }
        };
        self.shared.insert((x, "relu"), id);
        id
    }

    pub(crate) fn conv(&mut self, x: Id, kernel: Vec<Slice>, k: usize) -> Id {
        let numbers = self.joined(&kernel);
        let input = self.value(x);
        let outputs = numbers.len() / (k * k * input.c);
        let ys = Windows::same(input.h, k, 1);
        let xs = Windows::same(input.w, k, 1);
        let mut out = Tensor::zeros(input.n, ys.out, xs.out, outputs);
        for_each_tap(input.n, ys, xs, |n, (oy, ty, iy), (ox, tx, ix)| {
            let from = input.at(n, iy, ix);
            let to = out.at(n, oy, ox);
            for ci in 0..input.c {
                let row = &numbers[((ty * k + tx) * input.c + ci) * outputs..][..outputs];
                let value = input.data[from + ci];
                out.data[to..][..outputs].iter_mut().zip(row).for_each(|(o, w)| *o += value * w);
            }
        });
        let label = kernel[0].name.clone();
        self.push(Op::Conv { x, kernel, k }, out, label)
    }

    /// The pieces of a kernel in one.
    pub(crate) fn joined(&self, kernel: &[Slice]) -> Vec<f64> {
        kernel.iter().flat_map(|piece| self.numbers(piece)).copied().collect()
    }

    pub(crate) fn depthwise(&mut self, x: Id, kernel: Slice, k: usize, stride: usize) -> Id {
        let numbers = self.numbers(&kernel);
        let input = self.value(x);
        let ys = Windows::same(input.h, k, stride);
        let xs = Windows::same(input.w, k, stride);
        let mut out = Tensor::zeros(input.n, ys.out, xs.out, input.c);
        for_each_tap(input.n, ys, xs, |n, (oy, ty, iy), (ox, tx, ix)| {
            let from = input.at(n, iy, ix);
            let to = out.at(n, oy, ox);
            for c in 0..input.c {
                out.data[to + c] += input.data[from + c] * numbers[(ty * k + tx) * input.c + c];
            }
        });
        let label = kernel.name.clone();
        self.push(Op::Depthwise { x, kernel, k, stride }, out, label)
    }

    /// Batch norm with the parameters `gamma` and `beta`.
    pub(crate) fn norm(&mut self, x: Id, gamma: Slice, beta: Slice) -> Id {
        let input = self.value(x);
        let count = input.pixels() as f64;
        let mut mean = vec![0.0; input.c];
        let mut variance = vec![0.0; input.c];
        for pixel in input.data.chunks_exact(input.c) {
            mean.iter_mut().zip(pixel).for_each(|(m, v)| *m += v / count);
        }
        for pixel in input.data.chunks_exact(input.c) {
            variance.iter_mut().zip(pixel).zip(&mean).for_each(|((s, v), m)| *s += (v - m).powi(2) / count);
        }
        let inverse_deviation: Vec<f64> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
        let scale = self.numbers(&gamma);
        let offset = self.numbers(&beta);
        let mut out = input.clone();
        for pixel in out.data.chunks_exact_mut(input.c) {
            for (c, v) in pixel.iter_mut().enumerate() {
                *v = (*v - mean[c]) * inverse_deviation[c] * scale[c] + offset[c];
            }
        }
        let label = gamma.name.trim_end_matches("/scale").to_owned();
        self.push(Op::Norm { x, gamma, beta, mean, inverse_deviation }, out, label)
    }

    pub(crate) fn max_pool(&mut self, x: Id, stride: usize) -> Id {
        let kind = if stride == 1 { "max" } else { "max, stride 2" };
        if let Some(id) = self.shared.get(&(x, kind)) {
            return *id;
        }
        let input = self.value(x);
        let ys = Windows::same(input.h, 3, stride);
        let xs = Windows::same(input.w, 3, stride);
        let mut out = Tensor::zeros(input.n, ys.out, xs.out, input.c);
        let mut winners = Vec::with_capacity(out.data.len());
        for i in 0..out.data.len() {
            let pixel = i / out.c;
            let c = i % out.c;
            let n = pixel / (out.h * out.w);
            let oy = pixel / out.w % out.h;
            let ox = pixel % out.w;
            let taps = ys.taps(oy).flat_map(|(_, y)| xs.taps(ox).map(move |(_, x)| (y, x)));
            let pair = two_largest(&input.data, taps.map(|(y, x)| input.at(n, y, x) + c));
            out.data[i] = input.data[pair.0];
            winners.push(pair);
        }
        let label = format!("max-pool of {}", self.nodes[x].label);
        let id = self.push(Op::MaxPool { x, winners }, out, label);
        self.shared.insert((x, kind), id);
        id
    }

    /// Padding does not count.
    pub(crate) fn average_pool(&mut self, x: Id, y_axis: Windows, x_axis: Windows) -> Id {
        let input = self.value(x);
        let mut out = Tensor::zeros(input.n, y_axis.out, x_axis.out, input.c);
        for_each_tap(input.n, y_axis, x_axis, |n, (oy, _, iy), (ox, _, ix)| {
            let count = (y_axis.taps(oy).count() * x_axis.taps(ox).count()) as f64;
            let from = input.at(n, iy, ix);
            let to = out.at(n, oy, ox);
            (0..input.c).for_each(|c| out.data[to + c] += input.data[from + c] / count);
        });
        let label = format!("average pool of {}", self.nodes[x].label);
        self.push(Op::AveragePool { x, y_axis, x_axis }, out, label)
    }

    pub(crate) fn add(&mut self, a: Id, b: Id, label: String) -> Id {
        let mut value = self.value(a).clone();
        value.data.iter_mut().zip(&self.nodes[b].value.data).for_each(|(a, b)| *a += b);
        self.push(Op::Add(a, b), value, label)
    }

    /// `factors` per image, or per image and channel.
    pub(crate) fn scale(&mut self, x: Id, factors: Vec<f64>) -> Id {
        let mut value = self.value(x).clone();
        let each = value.data.len() / factors.len();
        value.data.iter_mut().enumerate().for_each(|(i, v)| *v *= factors[i / each]);
        let label = self.nodes[x].label.clone();
        self.push(Op::Scale { x, factors }, value, label)
    }

    pub(crate) fn concat(&mut self, parts: &[Id]) -> Id {
        let first = self.value(parts[0]);
        let channels = parts.iter().map(|part| self.value(*part).c).sum();
        let mut out = Tensor::zeros(first.n, first.h, first.w, channels);
        for (pixel, to) in out.data.chunks_exact_mut(channels).enumerate() {
            let from = parts.iter().map(|part| self.value(*part)).flat_map(|t| &t.data[pixel * t.c..][..t.c]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        self.push(Op::Concat(parts.to_vec()), out, "concatenation".to_owned())
    }

    pub(crate) fn every_second(&mut self, x: Id, offset: usize) -> Id {
        let input = self.value(x);
        let mut out = Tensor::zeros(input.n, input.h.div_ceil(2), input.w.div_ceil(2), input.c);
        for_each_second(input, offset, |from, to| {
            out.data[to..][..input.c].copy_from_slice(&input.data[from..][..input.c]);
        });
        let label = self.nodes[x].label.clone();
        self.push(Op::EverySecond { x, offset }, out, label)
    }

    pub(crate) fn mean(&mut self, x: Id) -> Id {
        let input = self.value(x);
        let plane = input.h * input.w;
        let mut out = Tensor::zeros(input.n, 1, 1, input.c);
        for (pixel, values) in input.data.chunks_exact(input.c).enumerate() {
            let to = &mut out.data[pixel / plane * input.c..][..input.c];
            to.iter_mut().zip(values).for_each(|(to, v)| *to += v / plane as f64);
        }
        self.push(Op::Mean(x), out, "mean".to_owned())
    }
}

/// The indices of the largest and of the next largest number, the earlier ones of equal ones first.
fn two_largest(data: &[f64], indices: impl Iterator<Item = usize>) -> (usize, usize) {
    let mut pair: Option<(usize, usize)> = None;
    for i in indices {
        pair = Some(match pair {
            None => (i, i),
            Some((best, _)) if data[i] > data[best] => (i, best),
            Some((best, next)) if next == best || data[i] > data[next] => (best, i),
            Some(pair) => pair,
        });
    }
    pair.expect("every window holds a pixel")
}

/// Calls `body` with `(output, tap, input)` along both axes for every tap of every window of every image.
pub(super) fn for_each_tap(
    images: usize,
    ys: Windows,
    xs: Windows,
    mut body: impl FnMut(usize, (usize, usize, usize), (usize, usize, usize)),
) {
    for n in 0..images {
        for oy in 0..ys.out {
            for (ty, iy) in ys.taps(oy) {
                for ox in 0..xs.out {
                    for (tx, ix) in xs.taps(ox) {
                        body(n, (oy, ty, iy), (ox, tx, ix));
                    }
                }
            }
        }
    }
}

/// Calls `body` with the places of every second pixel of `input` and of its copy.
pub(super) fn for_each_second(input: &Tensor, offset: usize, mut body: impl FnMut(usize, usize)) {
    let h = input.h.div_ceil(2);
    let w = input.w.div_ceil(2);
    for n in 0..input.n {
        for y in (0..h).filter(|y| 2 * y + offset < input.h) {
            for x in (0..w).filter(|x| 2 * x + offset < input.w) {
                let from = input.at(n, 2 * y + offset, 2 * x + offset);
                body(from, ((n * h + y) * w + x) * input.c);
            }
        }
    }
}
