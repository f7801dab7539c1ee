//! Networks in DOT, the language of Graphviz.

use enas_arc::{Arc, MacroArc};
use enas_child::{Child, Error, MacroChild};

use crate::describe::{self, grouped};
use crate::diagram::{Diagram, LayerKind, micro_op};
use crate::dot::Dot;
use crate::theme::ColourRole;

/// A whole network as a graph in the DOT language, for Graphviz's `dot`.
///
/// # Errors
/// If the arc does not fit the network.
pub fn network_dot(child: &Child, arc: &Arc) -> Result<String, Error> {
    Ok(dot(&Diagram::of_cells(child, arc)?))
}

/// A network of the macro search space as a graph in the DOT language, for Graphviz's `dot`.
///
/// # Errors
/// If the arc does not fit the network.
pub fn macro_network_dot(child: &MacroChild, arc: &MacroArc) -> Result<String, Error> {
    Ok(dot(&Diagram::of_layers(child, arc)?))
}

fn dot(Diagram { layers, skips, .. }: &Diagram) -> String {
    let mut dot = Dot::begin("network");
    let mut last = None;
    for (i, layer) in layers.iter().enumerate() {
        let numbers = match (layer.cost, layer.kind) {
            (Some(cost), _) => format!(
                "\\n{}\\n{} parameters\\n{} multiply-adds",
                describe::size(&cost),
                grouped(cost.params as u64),
                grouped(cost.macs)
            ),
            (None, LayerKind::Aux(params)) => {
                format!("\\n{} parameters\\nin training only", grouped(params as u64))
            }
            (None, _) => String::new(),
        };
        dot.line(1, &format!("l{i} [label=\"{}{numbers}\"{}];", layer.name, colours(layer.kind)));
        if let Some(last) = last {
            dot.line(1, &format!("l{last} -> l{i};"));
        }
        for (from, _) in skips.iter().filter(|(_, to)| *to == i) {
            dot.line(1, &format!("l{from} -> l{i} [constraint=false];"));
        }
        if !matches!(layer.kind, LayerKind::Aux(_)) {
            last = Some(i);
        }
    }
    dot.end()
}

/// DOT attributes with the light colours of a layer, where they differ from the default.
fn colours(kind: LayerKind) -> String {
    let filled = |roles: [ColourRole; 3]| {
        let [fill, edge, text] = roles.map(|colour| colour.colours()[0]);
        format!(", fillcolor=\"#{fill:06x}\", color=\"#{edge:06x}\", fontcolor=\"#{text:06x}\"")
    };
    match kind {
        LayerKind::Cell(cell) => {
            filled([ColourRole::Layer(cell), ColourRole::LayerEdge(cell), ColourRole::LayerText(cell)])
        }
        LayerKind::Operation(op) => {
            let op = micro_op(op);
            filled([ColourRole::Op(op), ColourRole::OpEdge(op), ColourRole::OpText(op)])
        }
        LayerKind::Aux(_) => ", style=\"rounded,dashed\"".to_owned(),
        LayerKind::End | LayerKind::Plain => String::new(),
    }
}
