//! Architectures in DOT, the language of Graphviz.

use std::fmt::Write;

use enas_arc::{Arc, Cell, CellKind, Node, Op};

use crate::describe;
use crate::theme::ColourRole;

/// Both cells of an arc as one graph in the DOT language, for Graphviz's `dot`.
pub fn cells_dot(arc: &Arc) -> String {
    let cells = [(CellKind::Normal, arc.normal()), (CellKind::Reduction, arc.reduction())];
    let mut dot = Dot::begin("cells");
    for (kind, cell) in cells {
        dot.line(1, &format!("subgraph cluster_{kind} {{"));
        dot.line(2, &format!("label=\"{}\";", describe::cell_title(kind)));
        dot.cell(cell, &format!("{kind}_"));
        dot.line(1, "}");
    }
    dot.end()
}

/// One cell as a graph in the DOT language, for Graphviz's `dot`.
pub fn cell_dot(cell: &Cell, kind: CellKind) -> String {
    let mut dot = Dot::begin(kind.name());
    dot.line(1, &format!("label=\"{}\";", describe::cell_title(kind)));
    dot.cell(cell, "");
    dot.end()
}

/// The text of a graph, while it is written.
pub(crate) struct Dot(String);

impl Dot {
    pub(crate) fn begin(name: &str) -> Dot {
        let mut dot = Dot(format!("digraph {name} {{\n"));
        dot.line(1, "rankdir=TB; labelloc=t; labeljust=l; fontname=\"sans-serif\";");
        dot.line(
            1,
            "node [shape=box, style=\"rounded,filled\", fillcolor=\"#e4e9f0\", fontname=\"sans-serif\"];",
        );
        dot.line(1, "edge [fontname=\"sans-serif\"];");
        dot
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    pub(crate) fn line(&mut self, depth: usize, text: &str) {
        writeln!(self.0, "{:1$}{text}", "", 2 * depth).expect("a string takes any text");
    }

    /// Writes the states and operations of a cell. The names of its vertices begin with `prefix`.
    fn cell(&mut self, cell: &Cell, prefix: &str) {
        let state = |state: usize| format!("{prefix}s{state}");
        for input in 0..2 {
            self.line(2, &format!("{} [label=\"{}\"];", state(input), describe::state(input)));
        }
        for (i, Node { x, y }) in cell.nodes().iter().enumerate() {
            let sum = state(i + 2);
            self.line(2, &format!("{sum} [label=\"node {}\\n+\"];", i + 2));
            for (side, branch) in [("x", x), ("y", y)] {
                let op = format!("{sum}{side}");
                self.line(2, &format!("{op} [label=\"{}\", {}];", branch.op, colours(branch.op)));
                self.line(2, &format!("{} -> {op} -> {sum};", state(branch.input)));
            }
        }
        self.line(2, &format!("{prefix}concat [label=\"concat\"];"));
        for end in cell.loose_ends() {
            self.line(2, &format!("{} -> {prefix}concat;", state(end)));
        }
        self.line(2, &format!("{prefix}out [label=\"h[i+1]\"];"));
        self.line(2, &format!("{prefix}concat -> {prefix}out;"));
    }
}

/// DOT attributes with the light colours of an operation.
fn colours(op: Op) -> String {
    let [fill, edge, text] = [ColourRole::Op(op), ColourRole::OpEdge(op), ColourRole::OpText(op)]
        .map(|colour| colour.colours()[0]);
    format!("fillcolor=\"#{fill:06x}\", color=\"#{edge:06x}\", fontcolor=\"#{text:06x}\"")
}
