//! Reverse-mode differentiation of the network: a tape records the forward pass and is replayed backwards.
//!
//! Candle's own backward pass adds every gradient to a new map of zeros, which costs three passes over memory. This
//! tape knows the five operations of the network, and each kernel adds to its gradient in place. The tape knows
//! neither arcs nor where operations are computed. It knows cells only because they may be skipped and recomputed on
//! the way back (activation checkpointing).
//!
//! Method inference graph, backward:
//!
//! 1. Visit the recorded nodes last to first. A node takes the gradient of its output out of `grads`, which frees it.
//! 2. The kernel adds to the gradients of the node's inputs, or creates those that do not exist.
//! 3. A conv block whose input comes from the directly preceding conv block computes that block's batch-norm sums as it
//!    writes the gradient.
//! 4. A skipped cell is recomputed by the caller's closure, which replays a tape of its own.

use enas_kernels::Pool;

use crate::Error;
use crate::backend::{Backend, ConvLayer, Gather, Statistics};

/// A value of the network and its place on the tape.
pub(crate) struct TapeValue<B: Backend> {
    pub(crate) id: usize,
    pub(crate) value: B::Activation,
}

/// One side of the pair that a cell reads: one value, or several to be concatenated along channels.
pub(crate) type CellInput<B> = Vec<TapeValue<B>>;

/// The two inputs of a cell: the output of the cell before the last, and of the last cell.
pub(crate) type CellInputs<B> = (CellInput<B>, CellInput<B>);

/// The gradients that exist so far, indexed by the place of their value on the tape.
pub(crate) type Grads<B> = Vec<Option<<B as Backend>::FeatureMap>>;

/// A cell that was evaluated without recording: what it takes to evaluate it again.
pub(crate) struct CheckpointedCell<B: Backend> {
    /// Index of the cell.
    pub(crate) cell: usize,
    /// The place of the first value it made. A second evaluation starts there and gives its values the same places.
    pub(crate) first: usize,
    /// The values it read.
    pub(crate) inputs: CellInputs<B>,
}

/// Recomputes a skipped cell and propagates gradients through it.
pub(crate) type RecomputeCell<'f, B> =
    dyn Fn(CheckpointedCell<B>, &mut Grads<B>, &mut <B as Backend>::Gradients) -> Result<(), Error> + 'f;

impl<B: Backend> Clone for TapeValue<B> {
    fn clone(&self) -> Self {
        Self { id: self.id, value: self.value.clone() }
    }
}

/// One side of a sum: a value, and one factor per image (`[n]`) if drop-path is on.
pub(crate) type Summand<B> = (TapeValue<B>, Option<<B as Backend>::Vector>);

/// Propagates the gradient of a value to the values it was made of, and hands those of parameters over.
type Propagate<B> =
    Box<dyn FnOnce(&B, &<B as Backend>::FeatureMap, &mut Grads<B>, &mut <B as Backend>::Gradients) + Send>;

enum Node<B: Backend> {
    ConvBlock { inputs: Vec<TapeValue<B>>, block: ConvLayer, moments: B::BatchStats, out: TapeValue<B> },
    Pool { pool: Pool, input: TapeValue<B>, out: usize },
    Add { a: Summand<B>, b: Summand<B>, out: usize },
    Concat { inputs: Vec<TapeValue<B>>, out: usize },
    Mean { inputs: Vec<TapeValue<B>>, slot: usize },
    CheckpointedCell(CheckpointedCell<B>),
    Other { out: usize, propagate: Propagate<B> },
}

/// A forward pass in progress.
pub(crate) struct Tape<'a, B: Backend> {
    pub(crate) backend: &'a B,
    statistics: Statistics,
    nodes: Option<Vec<Node<B>>>,
    next: usize,
    means: usize,
    /// Batch statistics of every batch norm that keeps moving statistics, with its index.
    pub(crate) batch_stats: Vec<(usize, B::BatchStats)>,
    /// Multiply-adds per image so far.
    pub(crate) macs: u64,
}

impl<'a, B: Backend> Tape<'a, B> {
    /// A pass; `record` says whether it can be replayed backwards.
    pub(crate) fn new(backend: &'a B, statistics: Statistics, record: bool) -> Self {
        let nodes = record.then(Vec::new);
        Self { backend, statistics, nodes, next: 0, means: 0, batch_stats: Vec::new(), macs: 0 }
    }

    /// A pass that starts inside a network and uses batch statistics: its first value takes the place `first`.
    pub(crate) fn from(backend: &'a B, first: usize, record: bool) -> Self {
        Self { next: first, ..Self::new(backend, Statistics::Batch, record) }
    }

    /// The place of the next value.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// Skips the places before `next`: the values there were made on another tape.
    pub(crate) fn advance(&mut self, next: usize) {
        self.next = next;
    }

    /// Lets `evaluate` compute a cell without recording its inside. The tape records only how to evaluate the cell
    /// again.
    pub(crate) fn skip<R>(
        &mut self,
        cell: usize,
        inputs: &CellInputs<B>,
        evaluate: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let (first, nodes) = (self.next, self.nodes.take());
        let result = evaluate(self);
        self.nodes = nodes;
        self.record(|| Node::CheckpointedCell(CheckpointedCell { cell, first, inputs: inputs.clone() }));
        result
    }

    /// A value that the caller provides.
    pub(crate) fn input(&mut self, map: B::FeatureMap) -> TapeValue<B> {
        self.plain(map)
    }

    fn plain(&mut self, map: B::FeatureMap) -> TapeValue<B> {
        let value = self.backend.plain(map);
        self.var(value)
    }

    fn var(&mut self, value: B::Activation) -> TapeValue<B> {
        self.next += 1;
        TapeValue { id: self.next - 1, value }
    }

    /// The shape `(n, c, h, w)` of a value.
    pub(crate) fn shape(&self, var: &TapeValue<B>) -> (usize, usize, usize, usize) {
        self.backend.shape(&var.value)
    }

    /// A conv block: gather rows, multiply by the weights, normalise.
    pub(crate) fn conv_block(&mut self, inputs: &[TapeValue<B>], block: ConvLayer) -> TapeValue<B> {
        let (value, moments) = self.backend.conv_block(&block, &values(inputs), self.statistics);
        let out = self.var(value);
        let (_, _, height, width) = self.shape(&out);
        self.macs += (self.weights(&block, inputs) * height * width) as u64;
        // With moving statistics there is nothing to propagate: only passes with batch statistics are recorded.
        if let Some(moments) = moments {
            if let Some(running) = block.norm.running {
                self.batch_stats.push((running, moments.clone()));
            }
            self.record(|| Node::ConvBlock { inputs: inputs.to_vec(), block, moments, out: out.clone() });
        }
        out
    }

    /// Number of values in a block's matrices and filters.
    fn weights(&self, block: &ConvLayer, inputs: &[TapeValue<B>]) -> usize {
        let channels: usize = inputs.iter().map(|input| self.shape(input).1).sum();
        let of_conv = |conv: &crate::backend::Conv| {
            let matrix: usize = conv.weight.iter().map(|id| self.backend.params().range(*id).len()).sum();
            let filter = if let Gather::Depthwise { k, .. } = conv.gather { k * k * channels } else { 0 };
            matrix + filter
        };
        block.convs.iter().map(of_conv).sum()
    }

    /// A pooling operation.
    pub(crate) fn pool(&mut self, pool: Pool, input: &TapeValue<B>) -> TapeValue<B> {
        let out = self.plain(self.backend.pool(&pool, &input.value));
        self.record(|| Node::Pool { pool, input: input.clone(), out: out.id });
        out
    }

    /// The sum of two values, each with an optional factor per image.
    pub(crate) fn add(&mut self, a: Summand<B>, b: Summand<B>) -> TapeValue<B> {
        let sum = self.backend.add((&a.0.value, a.1.as_ref()), (&b.0.value, b.1.as_ref()));
        let out = self.plain(sum);
        self.record(|| Node::Add { a, b, out: out.id });
        out
    }

    /// Several values concatenated along channels.
    pub(crate) fn concat(&mut self, inputs: &[TapeValue<B>]) -> TapeValue<B> {
        let out = self.plain(self.backend.concat(&values(inputs)));
        self.record(|| Node::Concat { inputs: inputs.to_vec(), out: out.id });
        out
    }

    /// A value of an operation that the tape does not know. `propagate` receives its gradient and adds to those of
    /// the operation's inputs.
    pub(crate) fn other(
        &mut self,
        value: B::Activation,
        propagate: impl FnOnce(&B, &B::FeatureMap, &mut Grads<B>, &mut B::Gradients) + Send + 'static,
    ) -> TapeValue<B> {
        let out = self.var(value);
        self.record(|| Node::Other { out: out.id, propagate: Box::new(propagate) });
        out
    }

    /// Which statistics batch norms use.
    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Global average pooling after a ReLU: means over pixels of the positive parts, `[n, Σ c]`. The `i`-th call's
    /// gradient is `means[i]` of [`backward`](Self::backward).
    pub(crate) fn relu_mean(&mut self, inputs: &[TapeValue<B>]) -> B::Vector {
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

    /// The recorded nodes, for another backend of the same kind to continue with.
    pub(crate) fn into_recorded<C>(self) -> Recorded<C>
    where
        C: Backend<
                FeatureMap = B::FeatureMap,
                Activation = B::Activation,
                BatchStats = B::BatchStats,
                Vector = B::Vector,
            >,
    {
        Recorded { nodes: self.nodes.unwrap_or_default().into_iter().map(of_kind).collect(), next: self.next }
    }

    /// Replays the tape: propagates the gradients of the [`relu_mean`](Self::relu_mean)s, and those in `grads`, back
    /// through all nodes. Each node's memory is released once it is done. `into` receives the parameters' gradients;
    /// `again` handles skipped cells.
    ///
    /// # Errors
    /// The errors of `again`.
    pub(crate) fn backward(
        self,
        means: &[B::Vector],
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
        again: &RecomputeCell<'_, B>,
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
                // A value without a gradient has no reader that leads to the loss; its node is skipped.
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
                Node::ConvBlock { inputs, block, moments, out } => {
                    let Some(grad) = grads[out.id].take() else { continue };
                    if let ([input], Some(Node::ConvBlock { out: before, moments: statistics, .. })) =
                        (inputs.as_slice(), nodes.last())
                        && input.id == before.id
                    {
                        // The tape runs backwards, so the first reader of a value adds to its gradient last. The
                        // gradient is complete after this call, and the kernel may take the batch-norm sums of the
                        // preceding block from it.
                        let (value, target) = (&input.value, &mut grads[input.id]);
                        backend.conv_block_backward_fused(
                            statistics, &block, value, &out.value, &moments, &grad, target, into,
                        );
                        continue;
                    }
                    // The network's input has id 0. The gradient of the images is never needed.
                    let from_pictures = inputs.iter().any(|v| v.id == 0);
                    let mut targets = take(grads, &inputs);
                    let wanted = (!from_pictures).then_some(targets.as_mut_slice());
                    let values = values(&inputs);
                    backend.conv_block_backward(&block, &values, &out.value, &moments, &grad, wanted, into);
                    put_back(backend, grads, &inputs, targets);
                }
                Node::CheckpointedCell(skipped) => again(skipped, grads, into)?,
                Node::Other { out, propagate } => {
                    let Some(grad) = grads[out].take() else { continue };
                    propagate(backend, &grad, grads, into);
                }
            }
        }
        Ok(())
    }
}

/// The nodes of a pass without the backend that computed them. They can be kept until the gradients are asked for.
pub(crate) struct Recorded<B: Backend> {
    nodes: Vec<Node<B>>,
    next: usize,
}

impl<B: Backend> Recorded<B> {
    /// Continues with a backend of the same kind that has the same parameters.
    pub(crate) fn resume<C>(self, backend: &C) -> Tape<'_, C>
    where
        C: Backend<
                FeatureMap = B::FeatureMap,
                Activation = B::Activation,
                BatchStats = B::BatchStats,
                Vector = B::Vector,
            >,
    {
        let nodes = Some(self.nodes.into_iter().map(of_kind).collect());
        Tape { nodes, next: self.next, ..Tape::new(backend, Statistics::Batch, false) }
    }
}

/// The same node for another backend of the same kind: a node holds nothing that belongs to its backend.
fn of_kind<B, C>(node: Node<B>) -> Node<C>
where
    B: Backend,
    C: Backend<
            FeatureMap = B::FeatureMap,
            Activation = B::Activation,
            BatchStats = B::BatchStats,
            Vector = B::Vector,
        >,
{
    let var = |TapeValue { id, value }: TapeValue<B>| TapeValue { id, value };
    let state = |vars: Vec<TapeValue<B>>| vars.into_iter().map(var).collect::<Vec<TapeValue<C>>>();
    match node {
        Node::ConvBlock { inputs, block, moments, out } => {
            Node::ConvBlock { inputs: state(inputs), block, moments, out: var(out) }
        }
        Node::Pool { pool, input, out } => Node::Pool { pool, input: var(input), out },
        Node::Add { a, b, out } => Node::Add { a: (var(a.0), a.1), b: (var(b.0), b.1), out },
        Node::Concat { inputs, out } => Node::Concat { inputs: state(inputs), out },
        Node::Mean { inputs, slot } => Node::Mean { inputs: state(inputs), slot },
        Node::CheckpointedCell(CheckpointedCell { cell, first, inputs: (before, last) }) => {
            Node::CheckpointedCell(CheckpointedCell { cell, first, inputs: (state(before), state(last)) })
        }
        Node::Other { .. } => unreachable!("the cells of a network are made of known operations"),
    }
}

fn values<B: Backend>(vars: &[TapeValue<B>]) -> Vec<B::Activation> {
    vars.iter().map(|v| v.value.clone()).collect()
}

fn take<B: Backend>(
    grads: &mut [Option<B::FeatureMap>],
    vars: &[TapeValue<B>],
) -> Vec<Option<B::FeatureMap>> {
    vars.iter().map(|v| grads[v.id].take()).collect()
}

/// Returns gradients to their places. If a value occurs twice among `vars`, its gradients are added.
fn put_back<B: Backend>(
    backend: &B,
    grads: &mut [Option<B::FeatureMap>],
    vars: &[TapeValue<B>],
    gradients: Vec<Option<B::FeatureMap>>,
) {
    for (var, gradient) in vars.iter().zip(gradients) {
        if let Some(gradient) = gradient {
            backend.add_backward(&gradient, None, &mut grads[var.id]);
        }
    }
}
