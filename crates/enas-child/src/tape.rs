//! Records a forward pass and replays it backwards.
//!
//! Candle's own backward pass adds every gradient into a fresh map of zeros, three passes over memory that these
//! networks cannot afford. This tape knows the five operations of the network and lets each kernel add into
//! place. It knows nothing of arcs, nor where the operations are computed; of cells only that they may be skipped, to
//! be evaluated again on the way back.

use enas_kernels::Pool;

use crate::Error;
use crate::backend::{Backend, ConvBlock, Gather, Statistics};

/// A value of the network and its place on the tape.
pub(crate) struct Var<B: Backend> {
    pub(crate) id: usize,
    pub(crate) value: B::Value,
}

/// What a cell reads: one value, or several whose channels follow each other.
pub(crate) type State<B> = Vec<Var<B>>;

/// The two inputs of a cell: the output of the cell before the last, and of the last.
pub(crate) type Pair<B> = (State<B>, State<B>);

/// The gradient of every value that has one so far, by the value's place on the tape.
pub(crate) type Grads<B> = Vec<Option<<B as Backend>::Map>>;

/// A cell that was evaluated without recording how: what it takes to evaluate it again.
pub(crate) struct Skipped<B: Backend> {
    /// Which cell.
    pub(crate) cell: usize,
    /// The place of the first value it made. Evaluated again from there, it gives its values the same places.
    pub(crate) first: usize,
    /// What it read.
    pub(crate) inputs: Pair<B>,
}

/// Propagates gradients through a cell that was skipped.
pub(crate) type Again<'f, B> =
    dyn Fn(Skipped<B>, &mut Grads<B>, &mut <B as Backend>::Gradients) -> Result<(), Error> + 'f;

impl<B: Backend> Clone for Var<B> {
    fn clone(&self) -> Self {
        Self { id: self.id, value: self.value.clone() }
    }
}

/// One side of a sum: a value, and a factor per image if drop-path is on.
pub(crate) type Side<B> = (Var<B>, Option<<B as Backend>::Vector>);

/// Propagates the gradient of a value to what it was made of, and hands those of parameters over.
type Propagate<B> =
    Box<dyn FnOnce(&B, &<B as Backend>::Map, &mut Grads<B>, &mut <B as Backend>::Gradients) + Send>;

enum Node<B: Backend> {
    Unit { inputs: Vec<Var<B>>, block: ConvBlock, moments: B::Moments, out: Var<B> },
    Pool { pool: Pool, input: Var<B>, out: usize },
    Add { a: Side<B>, b: Side<B>, out: usize },
    Concat { inputs: Vec<Var<B>>, out: usize },
    Mean { inputs: Vec<Var<B>>, slot: usize },
    Skipped(Skipped<B>),
    Other { out: usize, propagate: Propagate<B> },
}

/// A forward pass in progress.
pub(crate) struct Tape<'a, B: Backend> {
    pub(crate) backend: &'a B,
    statistics: Statistics,
    nodes: Option<Vec<Node<B>>>,
    next: usize,
    means: usize,
    /// Batch statistics of every batch norm that keeps moving ones.
    pub(crate) batch_moments: Vec<(usize, B::Moments)>,
    /// Multiply-adds per image so far.
    pub(crate) macs: u64,
}

impl<'a, B: Backend> Tape<'a, B> {
    /// A pass that can be replayed backwards if `record`.
    pub(crate) fn new(backend: &'a B, statistics: Statistics, record: bool) -> Self {
        let nodes = record.then(Vec::new);
        Self { backend, statistics, nodes, next: 0, means: 0, batch_moments: Vec::new(), macs: 0 }
    }

    /// A pass with the statistics of the batch that begins in the middle: its first value takes the place `first`.
    pub(crate) fn from(backend: &'a B, first: usize, record: bool) -> Self {
        Self { next: first, ..Self::new(backend, Statistics::Batch, record) }
    }

    /// The place of the next value.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// Leaves out the places before `next`: somebody else has made their values.
    pub(crate) fn advance(&mut self, next: usize) {
        self.next = next;
    }

    /// Lets `evaluate` compute a cell without recording how; only that it can be evaluated again.
    pub(crate) fn skip<R>(
        &mut self,
        cell: usize,
        inputs: &Pair<B>,
        evaluate: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let (first, nodes) = (self.next, self.nodes.take());
        let result = evaluate(self);
        self.nodes = nodes;
        self.record(|| Node::Skipped(Skipped { cell, first, inputs: inputs.clone() }));
        result
    }

    /// A value that comes from outside.
    pub(crate) fn input(&mut self, map: B::Map) -> Var<B> {
        self.plain(map)
    }

    fn plain(&mut self, map: B::Map) -> Var<B> {
        let value = self.backend.plain(map);
        self.var(value)
    }

    fn var(&mut self, value: B::Value) -> Var<B> {
        self.next += 1;
        Var { id: self.next - 1, value }
    }

    /// `(n, c, h, w)`.
    pub(crate) fn shape(&self, var: &Var<B>) -> (usize, usize, usize, usize) {
        self.backend.shape(&var.value)
    }

    /// A convolution unit with its batch norm: gather, multiply, normalise.
    pub(crate) fn unit(&mut self, inputs: &[Var<B>], block: ConvBlock) -> Var<B> {
        let (value, moments) = self.backend.unit(&block, &values(inputs), self.statistics);
        let out = self.var(value);
        let (_, _, height, width) = self.shape(&out);
        self.macs += (self.weights(&block, inputs) * height * width) as u64;
        if let Some(moments) = moments {
            if let Some(running) = block.norm.running {
                self.batch_moments.push((running, moments.clone()));
            }
            self.record(|| Node::Unit { inputs: inputs.to_vec(), block, moments, out: out.clone() });
        }
        out
    }

    /// Numbers in a block's matrices and filters.
    fn weights(&self, block: &ConvBlock, inputs: &[Var<B>]) -> usize {
        let channels: usize = inputs.iter().map(|input| self.shape(input).1).sum();
        let of_conv = |conv: &crate::backend::Conv| {
            let matrix: usize = conv.weight.iter().map(|id| self.backend.params().range(*id).len()).sum();
            let filter = if let Gather::Depthwise { k, .. } = conv.gather { k * k * channels } else { 0 };
            matrix + filter
        };
        block.convs.iter().map(of_conv).sum()
    }

    /// A pooling operation.
    pub(crate) fn pool(&mut self, pool: Pool, input: &Var<B>) -> Var<B> {
        let out = self.plain(self.backend.pool(&pool, &input.value));
        self.record(|| Node::Pool { pool, input: input.clone(), out: out.id });
        out
    }

    /// The sum of two values, each with an optional factor per image.
    pub(crate) fn add(&mut self, a: Side<B>, b: Side<B>) -> Var<B> {
        let sum = self.backend.add((&a.0.value, a.1.as_ref()), (&b.0.value, b.1.as_ref()));
        let out = self.plain(sum);
        self.record(|| Node::Add { a, b, out: out.id });
        out
    }

    /// Several values as one, their channels one after another.
    pub(crate) fn concat(&mut self, inputs: &[Var<B>]) -> Var<B> {
        let out = self.plain(self.backend.concat(&values(inputs)));
        self.record(|| Node::Concat { inputs: inputs.to_vec(), out: out.id });
        out
    }

    /// A value that an operation made which the tape does not know. `propagate` adds its gradient to those of what it was
    /// made of.
    pub(crate) fn other(
        &mut self,
        value: B::Value,
        propagate: impl FnOnce(&B, &B::Map, &mut Grads<B>, &mut B::Gradients) + Send + 'static,
    ) -> Var<B> {
        let out = self.var(value);
        self.record(|| Node::Other { out: out.id, propagate: Box::new(propagate) });
        out
    }

    /// Which statistics batch norms use.
    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Means over pixels of the positive parts, `[n, Σ c]`. The tape's user brings the gradient of the `i`-th call
    /// to [`backward`](Self::backward).
    pub(crate) fn relu_mean(&mut self, inputs: &[Var<B>]) -> B::Vector {
        let slot = self.means;
        self.means += 1;
        self.record(|| Node::Mean { inputs: inputs.to_vec(), slot });
        self.backend.relu_mean(&values(inputs))
    }

    fn record(&mut self, node: impl FnOnce() -> Node<B>) {
        if let Some(nodes) = &mut self.nodes {
            nodes.push(node());
        }
    }

    /// What was recorded, for a backend of the same kind to go on with.
    pub(crate) fn into_recorded<C>(self) -> Recorded<C>
    where
        C: Backend<Map = B::Map, Value = B::Value, Moments = B::Moments, Vector = B::Vector>,
    {
        Recorded { nodes: self.nodes.unwrap_or_default().into_iter().map(of_kind).collect(), next: self.next }
    }

    /// Propagates the gradients of the [`relu_mean`](Self::relu_mean)s, and those in `grads`, back through everything
    /// recorded; memory is released on the way. `into` receives the gradients of all parameters that took part, `again`
    /// the cells that were skipped.
    ///
    /// # Errors
    /// Those of `again`.
    pub(crate) fn backward(
        self,
        means: &[B::Vector],
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
        again: &Again<'_, B>,
    ) -> Result<(), Error> {
        let backend = self.backend;
        grads.resize(grads.len().max(self.next), None);
        let mut nodes = self.nodes.unwrap_or_default();
        while let Some(node) = nodes.pop() {
            match node {
                Node::Mean { inputs, slot } => {
                    let mut targets = take(grads, &inputs);
                    backend.relu_mean_backward(&values(&inputs), &means[slot], &mut targets);
                    put_back(backend, grads, &inputs, targets);
                }
                Node::Concat { inputs, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    let mut targets = take(grads, &inputs);
                    backend.concat_backward(&grad, &values(&inputs), &mut targets);
                    put_back(backend, grads, &inputs, targets);
                }
                Node::Add { a, b, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    for (var, factors) in [a, b] {
                        backend.add_backward(&grad, factors.as_ref(), &mut grads[var.id]);
                    }
                }
                Node::Pool { pool, input, out } => {
                    let Some(grad) = grads[out].take() else { continue };
                    backend.pool_backward(&pool, &input.value, &grad, &mut grads[input.id]);
                }
                Node::Unit { inputs, block, moments, out } => {
                    let Some(grad) = grads[out.id].take() else { continue };
                    if let ([input], Some(Node::Unit { out: before, moments: statistics, .. })) =
                        (inputs.as_slice(), nodes.last())
                        && input.id == before.id
                    {
                        // The first reader of a value is the last to add to its gradient.
                        let (value, target) = (&input.value, &mut grads[input.id]);
                        backend.unit_backward_onto(
                            statistics, &block, value, &out.value, &moments, &grad, target, into,
                        );
                        continue;
                    }
                    // Nothing asks for the gradient of the pictures themselves.
                    let from_pictures = inputs.iter().any(|v| v.id == 0);
                    let mut targets = take(grads, &inputs);
                    let wanted = (!from_pictures).then_some(targets.as_mut_slice());
                    let values = values(&inputs);
                    backend.unit_backward(&block, &values, &out.value, &moments, &grad, wanted, into);
                    put_back(backend, grads, &inputs, targets);
                }
                Node::Skipped(skipped) => again(skipped, grads, into)?,
                Node::Other { out, propagate } => {
                    let Some(grad) = grads[out].take() else { continue };
                    propagate(backend, &grad, grads, into);
                }
            }
        }
        Ok(())
    }
}

/// What a pass recorded, without the backend that computed it: it can wait until its gradients are asked for.
pub(crate) struct Recorded<B: Backend> {
    nodes: Vec<Node<B>>,
    next: usize,
}

impl<B: Backend> Recorded<B> {
    /// Goes on with a backend of the same kind that has the same parameters.
    pub(crate) fn resume<C>(self, backend: &C) -> Tape<'_, C>
    where
        C: Backend<Map = B::Map, Value = B::Value, Moments = B::Moments, Vector = B::Vector>,
    {
        let nodes = Some(self.nodes.into_iter().map(of_kind).collect());
        Tape { nodes, next: self.next, ..Tape::new(backend, Statistics::Batch, false) }
    }
}

/// The same record for another backend of one kind: none of what it holds is the backend's own.
fn of_kind<B, C>(node: Node<B>) -> Node<C>
where
    B: Backend,
    C: Backend<Map = B::Map, Value = B::Value, Moments = B::Moments, Vector = B::Vector>,
{
    let var = |Var { id, value }: Var<B>| Var { id, value };
    let state = |vars: Vec<Var<B>>| vars.into_iter().map(var).collect::<Vec<Var<C>>>();
    match node {
        Node::Unit { inputs, block, moments, out } => {
            Node::Unit { inputs: state(inputs), block, moments, out: var(out) }
        }
        Node::Pool { pool, input, out } => Node::Pool { pool, input: var(input), out },
        Node::Add { a, b, out } => Node::Add { a: (var(a.0), a.1), b: (var(b.0), b.1), out },
        Node::Concat { inputs, out } => Node::Concat { inputs: state(inputs), out },
        Node::Mean { inputs, slot } => Node::Mean { inputs: state(inputs), slot },
        Node::Skipped(Skipped { cell, first, inputs: (before, last) }) => {
            Node::Skipped(Skipped { cell, first, inputs: (state(before), state(last)) })
        }
        Node::Other { .. } => unreachable!("the cells of a network are made of known operations"),
    }
}

fn values<B: Backend>(vars: &[Var<B>]) -> Vec<B::Value> {
    vars.iter().map(|v| v.value.clone()).collect()
}

fn take<B: Backend>(grads: &mut [Option<B::Map>], vars: &[Var<B>]) -> Vec<Option<B::Map>> {
    vars.iter().map(|v| grads[v.id].take()).collect()
}

/// Returns gradients to their places; a value that was taken twice adds up.
fn put_back<B: Backend>(
    backend: &B,
    grads: &mut [Option<B::Map>],
    vars: &[Var<B>],
    gradients: Vec<Option<B::Map>>,
) {
    for (var, gradient) in vars.iter().zip(gradients) {
        if let Some(gradient) = gradient {
            backend.add_backward(&gradient, None, &mut grads[var.id]);
        }
    }
}
