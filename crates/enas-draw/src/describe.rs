//! Descriptions of drawings in words, for screen readers.

use enas_arc::{Cell, CellKind, Node};
use enas_child::{Child, Costs, InputShape, LayerCost, MacroChild};

/// The name of a state, as in the drawing.
pub(crate) fn state(state: usize) -> String {
    match state {
        0 => "h[i-1]".to_owned(),
        1 => "h[i]".to_owned(),
        node => format!("node {node}"),
    }
}

pub(crate) fn cell_title(kind: CellKind) -> String {
    match kind {
        CellKind::Normal => "Normal cell".to_owned(),
        CellKind::Reduction => "Reduction cell".to_owned(),
    }
}

/// Describes a cell, node by node.
pub(crate) fn cell(cell: &Cell, kind: CellKind) -> String {
    let nodes = cell.nodes().iter().enumerate().map(|(i, Node { x, y })| {
        format!(" Node {} adds {} of {} and {} of {}.", i + 2, x.op, state(x.input), y.op, state(y.input))
    });
    format!("A {kind} cell.{} {}", nodes.collect::<String>(), concat(cell))
}

/// Describes how the output is formed from the loose ends.
pub(crate) fn concat(cell: &Cell) -> String {
    match cell.loose_ends().as_slice() {
        [one] => format!("The output is {}, the one state that nothing reads.", state(*one)),
        several => {
            let names: Vec<String> = several.iter().map(|end| state(*end)).collect();
            let (last, first) = names.split_last().expect("a cell has a loose end");
            format!("The output joins the states that nothing reads: {} and {last}.", first.join(", "))
        }
    }
}

/// Describes a network in a few sentences.
pub(crate) fn network(child: &Child, costs: &Costs) -> String {
    let InputShape { channels, height, width } = child.input();
    let reductions = child.layout().cells.iter().filter(|cell| cell.reduction).count();
    let aux = match costs.aux_params {
        Some(params) => {
            format!(" In training, an auxiliary head of {} parameters is added.", grouped(params as u64))
        }
        None => String::new(),
    };
    format!(
        "A network for images of {channels} × {height} × {width} and {} classes: a stem, {} cells, {reductions} of \
         which halve height and width, and a classifier. Each cell reads the two layers before it. Together {} \
         parameters and {} multiply-adds per picture.{aux}",
        child.n_classes(),
        costs.cells.len(),
        grouped(child.n_params() as u64),
        grouped(costs.macs()),
    )
}

/// Describes a network of the macro search space in a few sentences.
pub(crate) fn macro_network(child: &MacroChild, costs: &Costs, skips: usize) -> String {
    let InputShape { channels, height, width } = child.input();
    format!(
        "A network for images of {channels} × {height} × {width} and {} classes: a stem, {} layers, {} of which are \
         followed by halving height and width, and a classifier. Each layer reads the one before it; {skips} skip \
         connections add outputs of earlier ones. Together {} parameters and {} multiply-adds per picture.",
        child.n_classes(),
        costs.cells.len(),
        child.config().reductions().len(),
        grouped(child.n_params() as u64),
        grouped(costs.macs()),
    )
}

/// The output shape of a layer: channels, height and width.
pub(crate) fn size(cost: &LayerCost) -> String {
    let LayerCost { channels, height, width, .. } = cost;
    format!("{channels} × {height} × {width}")
}

/// Formats an integer in groups of three digits, as in `1 234 567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }
}
