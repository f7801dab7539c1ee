//! The order in which the policy takes the decisions of an arc, the same for every arc of a size.

/// What the LSTM's output is used for at one of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It becomes the attention key of a state (0 and 1: the cell's inputs; i + 2: node i).
    Key {
        /// The state.
        state: usize,
    },
    /// It chooses the state that one side of a node reads.
    Index {
        /// The node, from 0.
        node: usize,
        /// 0 or 1.
        side: usize,
    },
    /// It chooses the operation on one side of a node.
    Op {
        /// The node, from 0.
        node: usize,
        /// 0 or 1.
        side: usize,
    },
}

/// One LSTM step and the cell it belongs to (0 normal, 1 reduction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) cell: usize,
    pub(crate) step: Step,
}

/// All LSTM steps of a walk: 2 + 5·`n_nodes` for each of the two cells.
///
/// Both states a node reads are chosen before both operations, although an arc lists them alternately.
pub(crate) fn moments(n_nodes: usize) -> Vec<Moment> {
    let mut steps = vec![Step::Key { state: 0 }, Step::Key { state: 1 }];
    for node in 0..n_nodes {
        steps.extend([0, 1].map(|side| Step::Index { node, side }));
        steps.extend([0, 1].map(|side| Step::Op { node, side }));
        steps.push(Step::Key { state: node + 2 });
    }
    let cell = |cell| steps.iter().map(move |&step| Moment { cell, step });
    cell(0).chain(cell(1)).collect()
}

/// Sizes of everything that a walk writes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Width of the LSTM state.
    pub(crate) hidden: usize,
    /// Number of LSTM layers.
    pub(crate) layers: usize,
    /// Nodes per cell.
    pub(crate) nodes: usize,
    /// Arcs that are walked in lockstep.
    pub(crate) batch: usize,
}

impl Shape {
    /// LSTM steps in a walk.
    pub(crate) fn steps(self) -> usize {
        2 * (2 + 5 * self.nodes)
    }

    /// States that a later node can read, in both cells; the last node's output is not among them.
    pub(crate) fn states(self) -> usize {
        2 * (self.nodes + 1)
    }

    /// Position of a readable state among [`states`](Self::states).
    pub(crate) fn state(self, cell: usize, state: usize) -> usize {
        cell * (self.nodes + 1) + state
    }

    /// Whether some node can read `state`.
    pub(crate) fn is_readable(self, state: usize) -> bool {
        state <= self.nodes
    }

    /// Index decisions in a walk.
    pub(crate) fn queries(self) -> usize {
        4 * self.nodes
    }

    /// Position of an index decision among [`queries`](Self::queries).
    pub(crate) fn query(self, cell: usize, node: usize, side: usize) -> usize {
        2 * (cell * self.nodes + node) + side
    }

    /// Pairs of an index decision and a state it can choose.
    pub(crate) fn pairs(self) -> usize {
        2 * self.pairs_per_cell()
    }

    /// Position of an index decision's pair with state 0; the others follow.
    pub(crate) fn pair(self, cell: usize, node: usize, side: usize) -> usize {
        // Node m has m + 2 choices on either side, so n(n + 3) pairs belong to the nodes before n.
        cell * self.pairs_per_cell() + node * (node + 3) + side * (node + 2)
    }

    fn pairs_per_cell(self) -> usize {
        self.nodes * (self.nodes + 3)
    }

    /// Decisions in a walk, which is also the number of integers in an arc.
    pub(crate) fn decisions(self) -> usize {
        8 * self.nodes
    }

    /// Position in an arc's integers of the state that a side of a node reads; its operation follows.
    pub(crate) fn decision(self, cell: usize, node: usize, side: usize) -> usize {
        4 * (cell * self.nodes + node) + 2 * side
    }

    /// Where the numbers of a decision's choices lie, `[batch, width]`.
    pub(crate) fn row(self, decision: usize) -> std::ops::Range<usize> {
        let size = self.batch * self.width();
        decision * size..(decision + 1) * size
    }

    /// Most choices that any decision has.
    pub(crate) fn width(self) -> usize {
        (self.nodes + 1).max(crate::weights::N_OPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_nodes_take_27_steps_per_cell() {
        let moments = moments(5);
        assert_eq!(moments.len(), 54);
        assert_eq!(moments[2], Moment { cell: 0, step: Step::Index { node: 0, side: 0 } });
        assert_eq!(moments[53], Moment { cell: 1, step: Step::Key { state: 6 } });
    }

    #[test]
    fn positions_fill_their_ranges_without_gaps() {
        for nodes in 1..7 {
            let shape = Shape { hidden: 1, layers: 1, nodes, batch: 1 };
            let (mut decisions, mut queries, mut pairs, mut states) = (vec![], vec![], vec![], vec![]);
            for Moment { cell, step } in moments(nodes) {
                match step {
                    Step::Key { state } if shape.is_readable(state) => states.push(shape.state(cell, state)),
                    Step::Key { .. } => {}
                    Step::Index { node, side } => {
                        decisions.push(shape.decision(cell, node, side));
                        queries.push(shape.query(cell, node, side));
                        pairs.extend((0..node + 2).map(|state| shape.pair(cell, node, side) + state));
                    }
                    Step::Op { node, side } => decisions.push(shape.decision(cell, node, side) + 1),
                }
            }
            decisions.sort_unstable();
            assert_eq!(decisions, (0..shape.decisions()).collect::<Vec<_>>());
            assert_eq!(queries, (0..shape.queries()).collect::<Vec<_>>());
            assert_eq!(pairs, (0..shape.pairs()).collect::<Vec<_>>());
            assert_eq!(states, (0..shape.states()).collect::<Vec<_>>());
            assert_eq!(moments(nodes).len(), shape.steps());
        }
    }
}
