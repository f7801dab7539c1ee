//! The forward pass: operations that are computed by a backend and recorded on a tape.

use enas_kernels::Pool;

use super::{CellInputs, CheckpointedCell, ConvBlockNode, Grads, Node, Summand, TapeValue, values};
use crate::backend::{Forward, Statistics};
use crate::layer::{Conv, ConvLayer, GatherKind};

/// A forward pass in progress.
pub(crate) struct Tape<'a, B: Forward> {
    pub(crate) backend: &'a B,
    statistics: Statistics,
    /// `None` if nothing is recorded.
    pub(super) nodes: Option<Vec<Node<B>>>,
    /// The place of the next value.
    pub(super) next: usize,
    /// Number of [`relu_mean`](Self::relu_mean)s so far.
    means: usize,
    /// Batch statistics of every batch norm that keeps moving statistics, with its index.
    pub(crate) batch_stats: Vec<(usize, B::BatchStats)>,
    /// Multiply-adds per image so far.
    pub(crate) macs: u64,
}

impl<'a, B: Forward> Tape<'a, B> {
    /// A pass; `record` says whether it can be replayed backwards.
    pub(crate) fn new(backend: &'a B, statistics: Statistics, record: bool) -> Self {
        let nodes = record.then(Vec::new);
        Self { backend, statistics, nodes, next: 0, means: 0, batch_stats: Vec::new(), macs: 0 }
    }

    /// A pass that starts inside a network and uses batch statistics: its first value takes the place `first`.
    pub(crate) fn from(backend: &'a B, first: usize, record: bool) -> Self {
        Self { next: first, ..Self::new(backend, Statistics::Batch, record) }
    }

    /// A recording pass with batch statistics that continues after `nodes`, whose values have places below `next`.
    pub(super) fn resumed(backend: &'a B, nodes: Vec<Node<B>>, next: usize) -> Self {
        Self { nodes: Some(nodes), next, ..Self::new(backend, Statistics::Batch, false) }
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
        let first = self.next;
        let nodes = self.nodes.take();
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
        let (value, batch_stats) = self.backend.conv_block(&block, &values(inputs), self.statistics);
        let out = self.var(value);
        let (_, _, height, width) = self.shape(&out);
        self.macs += (self.weights(&block, inputs) * height * width) as u64;
        // With moving statistics there is nothing to propagate: only passes with batch statistics are recorded.
        if let Some(batch_stats) = batch_stats {
            if let Some(running) = block.norm.running {
                self.batch_stats.push((running, batch_stats.clone()));
            }
            self.record(|| {
                Node::ConvBlock(ConvBlockNode {
                    inputs: inputs.to_vec(),
                    block,
                    batch_stats,
                    out: out.clone(),
                })
            });
        }
        out
    }

    /// Number of values in a block's matrices and filters.
    fn weights(&self, block: &ConvLayer, inputs: &[TapeValue<B>]) -> usize {
        let channels: usize = inputs.iter().map(|input| self.shape(input).1).sum();
        let of_conv = |conv: &Conv| {
            let matrix: usize = conv.weight.iter().map(|id| self.backend.params().range(*id).len()).sum();
            let filter = if let GatherKind::Depthwise { k, .. } = conv.gather { k * k * channels } else { 0 };
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
}
