//! The cell: a directed acyclic graph in which every node sums two branches. It is plain data without weights.

use crate::cell_kind::N_INPUTS;
use crate::entry::{ArcEntry, EntryPosition, Location, NodeField};
use crate::error::ArcError;
use crate::op::Op;

/// One of the two summands of a node: an operation applied to an earlier state.
///
/// Ordered by input, then by operation; [`Cell::canonical`] relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch {
    /// The state that is read: 0 and 1 are the cell's inputs, `i + 2` is the output of node `i`.
    pub input: usize,
    /// The operation.
    pub op: Op,
}

/// A node of a cell. Its output, a new state, is `x.op(state[x.input]) + y.op(state[y.input])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// The first branch.
    pub x: Branch,
    /// The second branch.
    pub y: Branch,
}

/// A cell: one or more nodes, each of which reads only the cell's two inputs and earlier nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    // Invariant: not empty, and node i reads only states 0..i + 2.
    nodes: Vec<Node>,
}

impl Cell {
    /// A cell of these nodes.
    ///
    /// # Errors
    ///
    /// [`ArcError::NoNodes`] if there are none, [`ArcError::InputOutOfRange`] if a node reads itself or a later one.
    pub fn new(nodes: Vec<Node>) -> Result<Cell, ArcError> {
        if nodes.is_empty() {
            return Err(ArcError::NoNodes);
        }
        for (i, node) in nodes.iter().enumerate() {
            for (field, input) in
                [(NodeField::FirstInput, node.x.input), (NodeField::SecondInput, node.y.input)]
            {
                let entry = ArcEntry { cell: None, node: i + N_INPUTS, field };
                EntryPosition { location: Location::Index(4 * i + field as usize), entry }
                    .check(input as u64)?;
            }
        }
        Ok(Cell { nodes })
    }

    /// The nodes in order; node `i` makes state `i + 2`.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The number of nodes, at least one. The cell has two more states.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The states that no node reads, in ascending order. The last state is always one of them.
    ///
    /// An input that no node reads is a loose end too and becomes a part of the output (`micro_child.py:659-665`).
    pub fn loose_ends(&self) -> Vec<usize> {
        let mut read = vec![false; self.n_nodes() + N_INPUTS];
        for node in &self.nodes {
            read[node.x.input] = true;
            read[node.y.input] = true;
        }
        (0..read.len()).filter(|&state| !read[state]).collect()
    }

    /// The same graph with the branches of every node in ascending order.
    ///
    /// A sum does not depend on the order of its terms, so both cells compute the same function with the same
    /// weights. In a search, however, shared weights belong to a side, so the two orders use different weights
    /// (`micro_child.py:641-653`).
    pub fn canonical(&self) -> Cell {
        let sorted = |node: &Node| Node { x: node.x.min(node.y), y: node.x.max(node.y) };
        Cell { nodes: self.nodes.iter().map(sorted).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(x: (usize, Op), y: (usize, Op)) -> Node {
        Node { x: Branch { input: x.0, op: x.1 }, y: Branch { input: y.0, op: y.1 } }
    }

    #[test]
    fn loose_ends_are_the_states_nobody_reads() {
        let cell = Cell::new(vec![
            node((0, Op::Identity), (0, Op::Identity)),
            node((0, Op::Identity), (2, Op::Identity)),
        ])
        .unwrap();
        assert_eq!(cell.loose_ends(), [1, 3]);
    }

    #[test]
    fn a_node_cannot_read_itself() {
        let cell = Cell::new(vec![
            node((0, Op::Identity), (1, Op::Identity)),
            node((0, Op::Identity), (3, Op::Identity)),
        ]);
        assert_eq!(
            cell.unwrap_err().to_string(),
            "position 6 (node 3, second input): 3 is out of range, allowed 0..=2"
        );
    }

    #[test]
    fn a_cell_has_at_least_one_node() {
        assert_eq!(Cell::new(vec![]), Err(ArcError::NoNodes));
    }

    #[test]
    fn canonical_orders_by_input_then_by_operation() {
        let cell = Cell::new(vec![
            node((1, Op::SepConv3x3), (0, Op::Identity)),
            node((2, Op::Identity), (2, Op::AvgPool3x3)),
        ]);
        let ordered = Cell::new(vec![
            node((0, Op::Identity), (1, Op::SepConv3x3)),
            node((2, Op::AvgPool3x3), (2, Op::Identity)),
        ]);
        assert_eq!(cell.unwrap().canonical(), ordered.unwrap());
    }
}
