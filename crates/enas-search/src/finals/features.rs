//! Numbers that describe an architecture, from which its result in a short training is predicted.

use enas_arc::{Arc, Cell, Op};

/// Inputs of a cell.
const N_INPUTS: usize = 2;

/// Per cell: branches per operation, branches per operation that read one of the cell's inputs, branches that read
/// each input, loose ends, and the length of the longest path in nodes.
///
/// Operations and topology explain most of the differences between short trainings (see `docs/search-quality.md`).
/// Neither parameters nor multiply-adds are features, so size alone is not rewarded.
pub(super) fn features(arc: &Arc) -> Vec<f64> {
    [arc.normal(), arc.reduction()].into_iter().flat_map(of_cell).collect()
}

fn of_cell(cell: &Cell) -> Vec<f64> {
    let mut per_op = vec![0.0; Op::ALL.len()];
    let mut per_op_on_inputs = per_op.clone();
    let mut per_input = vec![0.0; N_INPUTS];
    for branch in cell.nodes().iter().flat_map(|node| [node.x, node.y]) {
        per_op[branch.op.id()] += 1.0;
        if branch.input < N_INPUTS {
            per_op_on_inputs[branch.op.id()] += 1.0;
            per_input[branch.input] += 1.0;
        }
    }
    let shape = [cell.loose_ends().len() as f64, depth(cell) as f64];
    [per_op, per_op_on_inputs, per_input, shape.to_vec()].concat()
}

/// The number of nodes on the longest path through the cell.
fn depth(cell: &Cell) -> usize {
    let mut of_states = vec![0; N_INPUTS];
    for node in cell.nodes() {
        of_states.push(1 + of_states[node.x.input].max(of_states[node.y.input]));
    }
    of_states.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_inputs_loose_ends_and_depth_are_counted() {
        // Node 0 reads both inputs with 3x3 convolutions; node 1 reads node 0 (average pool) and input 1 (identity).
        let cell = "0 0 1 0 2 2 1 4";
        let arc = Arc::parse_any(&format!("{cell} {cell}")).unwrap();
        let of_cell: Vec<f64> = [
            &[2.0, 0.0, 1.0, 0.0, 1.0][..], // all branches per operation
            &[2.0, 0.0, 0.0, 0.0, 1.0],     // those on inputs
            &[1.0, 2.0],                    // branches per input
            &[1.0, 2.0],                    // loose ends: the last node; depth
        ]
        .concat();
        assert_eq!(features(&arc), [of_cell.clone(), of_cell].concat());
    }
}
