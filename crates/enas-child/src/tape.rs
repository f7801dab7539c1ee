//! Records a forward pass and replays it backwards.
//!
//! Candle's own backward pass adds every gradient into a fresh map of zeros, three passes over memory that these
//! networks cannot afford. This tape knows the five operations of the network and lets each kernel add into
//! place. It knows nothing of cells or arcs.

use std::borrow::Cow;

use enas_kernels::{Branch, Map, Moments, Pool, Rows, RunningMoments, Term, Unit, UnitGradient, Value};

use crate::params::{Gradients, ParamId, Params};

/// A value of the network and its place on the tape.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    id: usize,
    pub(crate) value: Value,
}

impl Var {
    pub(crate) fn channels(&self) -> usize {
        self.value.map.c()
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.value.map.h(), self.value.map.w())
    }
}

/// Total channels of values that count as one.
pub(crate) fn channels(parts: &[Var]) -> usize {
    parts.iter().map(Var::channels).sum()
}

/// The parameters of a batch norm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) scale: ParamId,
    pub(crate) offset: ParamId,
    /// Index of its moving statistics; the batch norms of shared edges have none.
    pub(crate) running: Option<usize>,
}

/// How the rows of a convolution are gathered; [`Rows`] with parameters by name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gather {
    Pixels,
    EverySecond { offset: usize },
    Depthwise { filter: ParamId, k: usize, stride: usize },
    Patches { k: usize },
}

/// One matrix product of a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub(crate) gather: Gather,
    /// The rows of the matrix, in pieces that follow each other.
    pub(crate) weight: Vec<ParamId>,
    pub(crate) outputs: usize,
}

/// Which statistics batch norms use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    Batch,
    Running,
}

enum Node {
    Unit { inputs: Vec<Var>, relu: bool, convs: Vec<Conv>, norm: Norm, z: Map, moments: Moments, out: usize },
    Pool { pool: Pool, input: Var, out: usize },
    Add { a: (Var, Option<Vec<f32>>), b: (Var, Option<Vec<f32>>), out: usize },
    Concat { inputs: Vec<Var>, out: usize },
    Mean { inputs: Vec<Var>, slot: usize },
}

/// A forward pass in progress.
pub(crate) struct Tape<'a> {
    params: &'a Params,
    running: &'a [RunningMoments],
    statistics: Statistics,
    nodes: Option<Vec<Node>>,
    next: usize,
    means: usize,
    /// Batch statistics of every batch norm that keeps moving ones.
    pub(crate) batch_moments: Vec<(usize, Moments)>,
    /// Multiply-adds per image so far.
    pub(crate) macs: u64,
}

impl<'a> Tape<'a> {
    /// A pass that can be replayed backwards if `record`.
    pub(crate) fn new(
        params: &'a Params,
        running: &'a [RunningMoments],
        statistics: Statistics,
        record: bool,
    ) -> Self {
        let nodes = record.then(Vec::new);
        Self { params, running, statistics, nodes, next: 0, means: 0, batch_moments: Vec::new(), macs: 0 }
    }

    /// A value that comes from outside.
    pub(crate) fn input(&mut self, map: Map) -> Var {
        self.var(Value::plain(map))
    }

    fn var(&mut self, value: Value) -> Var {
        self.next += 1;
        Var { id: self.next - 1, value }
    }

    /// A convolution unit with its batch norm: gather, multiply, normalise.
    pub(crate) fn unit(&mut self, inputs: &[Var], relu: bool, convs: Vec<Conv>, norm: Norm) -> Var {
        let params = self.params;
        let values = values(inputs);
        let weights = assemble(params, &convs);
        let batch = self.statistics == Statistics::Batch;
        let (z, moments) = with_unit(params, &values, relu, &convs, &weights, |unit| unit.forward(batch));
        for (conv, weight) in convs.iter().zip(&weights) {
            let filter =
                if let Gather::Depthwise { k, .. } = conv.gather { k * k * channels(inputs) } else { 0 };
            self.macs += ((weight.len() + filter) * z.h() * z.w()) as u64;
        }
        let (scale, offset) = (params.get(norm.scale), params.get(norm.offset));
        let affine = match (&moments, norm.running) {
            (Some(moments), _) => moments.affine(scale, offset),
            (None, Some(running)) => self.running[running].affine(scale, offset),
            (None, None) => {
                unreachable!("shared networks are only run with batch statistics; checked by the child")
            }
        };
        let out = self.var(Value { map: z.clone(), affine: Some(affine.into()) });
        if let Some(moments) = moments {
            if let Some(running) = norm.running {
                self.batch_moments.push((running, moments.clone()));
            }
            self.record(|| Node::Unit {
                inputs: inputs.to_vec(),
                relu,
                convs,
                norm,
                z,
                moments,
                out: out.id,
            });
        }
        out
    }

    /// A pooling operation.
    pub(crate) fn pool(&mut self, pool: Pool, input: &Var) -> Var {
        let out = pool.forward(&input.value);
        let out = self.var(Value::plain(out));
        self.record(|| Node::Pool { pool, input: input.clone(), out: out.id });
        out
    }

    /// The sum of two values, each with an optional factor per image.
    pub(crate) fn add(&mut self, a: (Var, Option<Vec<f32>>), b: (Var, Option<Vec<f32>>)) -> Var {
        let sum = enas_kernels::add(
            Term { value: &a.0.value, factors: a.1.as_deref() },
            Term { value: &b.0.value, factors: b.1.as_deref() },
        );
        let out = self.var(Value::plain(sum));
        self.record(|| Node::Add { a, b, out: out.id });
        out
    }

    /// Several values as one, their channels one after another.
    pub(crate) fn concat(&mut self, inputs: &[Var]) -> Var {
        let out = enas_kernels::concat(&values(inputs));
        let out = self.var(Value::plain(out));
        self.record(|| Node::Concat { inputs: inputs.to_vec(), out: out.id });
        out
    }

    /// Means over pixels of the positive parts, `[n, Σ c]`. The tape's user brings the gradient of the `i`-th call
    /// to [`backward`](Self::backward).
    pub(crate) fn relu_mean(&mut self, inputs: &[Var]) -> Vec<f32> {
        let slot = self.means;
        self.means += 1;
        self.record(|| Node::Mean { inputs: inputs.to_vec(), slot });
        enas_kernels::relu_mean(&values(inputs))
    }

    fn record(&mut self, node: impl FnOnce() -> Node) {
        if let Some(nodes) = &mut self.nodes {
            nodes.push(node());
        }
    }

    /// Propagates the gradients of the [`relu_mean`](Self::relu_mean)s back through everything recorded; memory is
    /// released on the way. `into` receives the gradients of all parameters that took part.
    pub(crate) fn backward(self, means: &[Vec<f32>], into: &mut Gradients) {
        let params = self.params;
        let mut grads: Vec<Option<Map>> = vec![None; self.next];
        let mut nodes = self.nodes.unwrap_or_default();
        while let Some(node) = nodes.pop() {
            match node {
                Node::Mean { inputs, slot } => {
                    let values = values(&inputs);
                    let mut gradients = take(&mut grads, &inputs);
                    enas_kernels::relu_mean_backward(&values, &means[slot], &mut gradients);
                    put_back(&mut grads, &inputs, gradients);
                }
                Node::Concat { inputs, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    let mut gradients = take(&mut grads, &inputs);
                    enas_kernels::concat_backward(&grad, &values(&inputs), &mut gradients);
                    put_back(&mut grads, &inputs, gradients);
                }
                Node::Add { a, b, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    for (var, factors) in [a, b] {
                        enas_kernels::add_backward(&grad, factors.as_deref(), &mut grads[var.id]);
                    }
                }
                Node::Pool { pool, input, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    pool.backward(&input.value, &grad, &mut grads[input.id]);
                }
                Node::Unit { inputs, relu, convs, norm, z, moments, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    let values = values(&inputs);
                    let weights = assemble(params, &convs);
                    // Nothing asks for the gradient of the pictures themselves.
                    let from_pictures = inputs.iter().any(|v| v.id == 0);
                    let mut gradients = take(&mut grads, &inputs);
                    let targets = (!from_pictures).then_some(gradients.as_mut_slice());
                    let gradient = with_unit(params, &values, relu, &convs, &weights, |unit| {
                        unit.backward(&z, &moments, params.get(norm.scale), &grad, targets)
                    });
                    put_back(&mut grads, &inputs, gradients);
                    collect(params, &convs, norm, gradient, into);
                }
            }
        }
    }
}

/// The matrices of convolutions, joined from their pieces.
fn assemble<'p>(params: &'p Params, convs: &[Conv]) -> Vec<Cow<'p, [f32]>> {
    let join = |conv: &Conv| match conv.weight.as_slice() {
        [one] => Cow::Borrowed(params.get(*one)),
        many => Cow::Owned(many.iter().flat_map(|id| params.get(*id)).copied().collect()),
    };
    convs.iter().map(join).collect()
}

fn with_unit<R>(
    params: &Params,
    values: &[Value],
    relu: bool,
    convs: &[Conv],
    weights: &[Cow<'_, [f32]>],
    body: impl FnOnce(&Unit<'_>) -> R,
) -> R {
    let branches: Vec<Branch<'_>> = convs
        .iter()
        .zip(weights)
        .map(|(conv, weight)| {
            let rows = match conv.gather {
                Gather::Pixels => Rows::Pixels,
                Gather::EverySecond { offset } => Rows::EverySecond { offset },
                Gather::Patches { k } => Rows::Patches { k },
                Gather::Depthwise { filter, k, stride } => {
                    Rows::Depthwise { filter: params.get(filter), k, stride }
                }
            };
            Branch { rows, weight, outputs: conv.outputs }
        })
        .collect();
    body(&Unit { inputs: values, relu, branches: &branches })
}

/// Hands a unit's parameter gradients to their owners.
fn collect(params: &Params, convs: &[Conv], norm: Norm, gradient: UnitGradient, into: &mut Gradients) {
    let mut add = |id: ParamId, values: Vec<f32>| {
        if params.is_trained(id) {
            into.add(id, values);
        }
    };
    add(norm.scale, gradient.gamma);
    add(norm.offset, gradient.beta);
    for ((conv, weight), filters) in convs.iter().zip(gradient.weights).zip(gradient.filters) {
        if let Gather::Depthwise { filter, .. } = conv.gather {
            add(filter, filters);
        }
        let mut rest = weight.as_slice();
        for id in &conv.weight {
            let (piece, after) = rest.split_at(params.get(*id).len());
            add(*id, piece.to_vec());
            rest = after;
        }
    }
}

fn values(vars: &[Var]) -> Vec<Value> {
    vars.iter().map(|v| v.value.clone()).collect()
}

fn take(grads: &mut [Option<Map>], vars: &[Var]) -> Vec<Option<Map>> {
    vars.iter().map(|v| grads[v.id].take()).collect()
}

/// Returns gradients to their places; a value that was taken twice adds up.
fn put_back(grads: &mut [Option<Map>], vars: &[Var], gradients: Vec<Option<Map>>) {
    for (var, gradient) in vars.iter().zip(gradients) {
        if let Some(gradient) = gradient {
            enas_kernels::add_backward(&gradient, None, &mut grads[var.id]);
        }
    }
}
