//! A recorded forward pass that outlives the borrow of its backend.

use super::{CheckpointedCell, ConvBlockNode, Node, Tape, TapeValue};
use crate::backend::Forward;

/// A backend of the same kind: its values have the same types, so it can continue a pass of `B`.
pub(crate) trait SameValues<B: Forward>:
    Forward<
        FeatureMap = B::FeatureMap,
        Activation = B::Activation,
        BatchStats = B::BatchStats,
        Vector = B::Vector,
    >
{
}

impl<B, C> SameValues<B> for C
where
    B: Forward,
    C: Forward<
            FeatureMap = B::FeatureMap,
            Activation = B::Activation,
            BatchStats = B::BatchStats,
            Vector = B::Vector,
        >,
{
}

impl<B: Forward> Tape<'_, B> {
    /// The recorded nodes, for another backend of the same kind to continue with.
    pub(crate) fn into_recorded<C: SameValues<B>>(self) -> Recorded<C> {
        Recorded {
            nodes: self.nodes.unwrap_or_default().into_iter().map(with_backend).collect(),
            next: self.next,
        }
    }
}

/// The nodes of a pass without the backend that computed them. They can be kept until the gradients are asked for.
pub(crate) struct Recorded<B: Forward> {
    nodes: Vec<Node<B>>,
    next: usize,
}

impl<B: Forward> Recorded<B> {
    /// Continues with a backend of the same kind that has the same parameters.
    pub(crate) fn resume<C: SameValues<B>>(self, backend: &C) -> Tape<'_, C> {
        Tape::resumed(backend, self.nodes.into_iter().map(with_backend).collect(), self.next)
    }
}

/// The same node for another backend of the same kind: a node holds nothing that belongs to its backend.
fn with_backend<B: Forward, C: SameValues<B>>(node: Node<B>) -> Node<C> {
    let var = |TapeValue { id, value }: TapeValue<B>| TapeValue { id, value };
    let state = |vars: Vec<TapeValue<B>>| vars.into_iter().map(var).collect::<Vec<TapeValue<C>>>();
    match node {
        Node::ConvBlock(ConvBlockNode { inputs, block, batch_stats, out }) => {
            Node::ConvBlock(ConvBlockNode { inputs: state(inputs), block, batch_stats, out: var(out) })
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
