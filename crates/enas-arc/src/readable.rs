//! The readable form of an arc: printing and parsing.
//!
//! ```text
//! arc    = cell("normal") cell("reduction")
//! cell   = name ":" node+
//! node   = number "=" branch "+" branch ";"*
//! branch = operation "(" number ")"
//! ```
//!
//! Space and line breaks may stand between any two tokens. The numbers of the nodes are redundant but required. If a
//! person moves a line, the parser reports it instead of returning another graph.

use std::fmt::Write;

use crate::arc::Arc;
use crate::cell::{Branch, Cell, Node};
use crate::cell_kind::{CellKind, N_INPUTS};
use crate::entry::{ArcEntry, EntryPosition, NodeField, is_integer};
use crate::error::ArcError;
use crate::lexer::{Lexer, Token};
use crate::op::Op;

impl Arc {
    /// Reads either written form: the readable one if `text` has a `:` or a `=`, otherwise the integers.
    ///
    /// # Errors
    ///
    /// The first problem, with its position, in the form that was recognised.
    pub fn parse_any(text: &str) -> Result<Arc, ArcError> {
        if text.contains([':', '=']) { parse(text) } else { text.parse() }
    }

    /// The readable form: one line per node, with operations by name and states as numbers.
    ///
    /// ```text
    /// normal:
    ///   2 = sep-conv-5x5(1) + avg-pool-3x3(0)
    ///   3 = identity(2) + max-pool-3x3(1)
    /// reduction:
    ///   2 = ...
    /// ```
    ///
    /// The parser ignores case and space. Nodes may be separated by `;` instead of line breaks, so an arc can stand
    /// on one line.
    pub fn readable(&self) -> String {
        print(self)
    }
}

/// Writes `arc`, one line per node.
fn print(arc: &Arc) -> String {
    let mut text = String::new();
    for (kind, cell) in [(CellKind::Normal, arc.normal()), (CellKind::Reduction, arc.reduction())] {
        writeln!(text, "{kind}:").expect("a string takes any text");
        for (i, Node { x, y }) in cell.nodes().iter().enumerate() {
            writeln!(text, "  {} = {}({}) + {}({})", i + N_INPUTS, x.op, x.input, y.op, y.input)
                .expect("a string takes any text");
        }
    }
    text
}

/// Reads an arc.
fn parse(text: &str) -> Result<Arc, ArcError> {
    if text.trim().is_empty() {
        return Err(ArcError::Empty);
    }
    let mut lexer = Lexer::new(text);
    let normal = lexer.cell(CellKind::Normal, "`normal:`")?;
    let next = format!("node {} or `reduction:`", normal.n_nodes() + N_INPUTS);
    let reduction = lexer.cell(CellKind::Reduction, &next)?;
    lexer.end()?;
    Arc::new(normal, reduction)
}

impl Lexer<'_> {
    fn cell(&mut self, kind: CellKind, expected: &str) -> Result<Cell, ArcError> {
        self.take(expected, |text| text.eq_ignore_ascii_case(kind.name()).then_some(()))?;
        self.symbol(":")?;
        let mut nodes = Vec::new();
        while nodes.is_empty() || is_integer(self.peek().text) {
            nodes.push(self.node(kind, nodes.len() + N_INPUTS)?);
        }
        Cell::new(nodes)
    }

    fn node(&mut self, cell: CellKind, node: usize) -> Result<Node, ArcError> {
        self.take(&format!("node {node}"), |text| (text.parse() == Ok(node)).then_some(()))?;
        self.symbol("=")?;
        let entry = |field| ArcEntry { cell: Some(cell), node, field };
        let x = self.branch(entry(NodeField::FirstInput))?;
        self.symbol("+")?;
        let y = self.branch(entry(NodeField::SecondInput))?;
        self.skip_semicolons();
        Ok(Node { x, y })
    }

    fn branch(&mut self, entry: ArcEntry) -> Result<Branch, ArcError> {
        let names = Op::ALL.map(Op::name).join(", ");
        let op = self.take(&format!("an operation ({names})"), Op::from_name)?;
        self.symbol("(")?;
        let Token { text, location } = self.integer(&format!("a state, 0..={}", entry.max()))?;
        let input = EntryPosition { location, entry }.check_text(text)?;
        self.symbol(")")?;
        Ok(Branch { input, op })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_NODE: &str =
        "normal: 2 = identity(0) + identity(1); reduction: 2 = max-pool-3x3(1) + identity(1)";

    fn message(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn space_case_and_separators_are_free() {
        let arc: Arc = "0 4 1 4 1 3 1 4".parse().unwrap();
        for text in [
            ONE_NODE,
            &ONE_NODE.replace(';', "\r\n"),
            &ONE_NODE.replace('(', "\n("),
            &ONE_NODE.replace(' ', ""),
            &ONE_NODE.to_uppercase(),
            &format!("\n {ONE_NODE} ;\n"),
        ] {
            assert_eq!(parse(text), Ok(arc.clone()), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_input_is_named_by_line_column_and_meaning() {
        assert_eq!(
            message("normal:\n  2 = identity(0) + identity(2)"),
            "line 2, column 30 (normal cell, node 2, second input): 2 is out of range, allowed 0..=1"
        );
        assert_eq!(
            message("normal: 2 = identity(-1)"),
            "line 1, column 22 (normal cell, node 2, first input): -1 is negative, allowed 0..=1"
        );
        assert_eq!(
            message("normal: 2 = identity(99999999999999999999)"),
            "line 1, column 22 (normal cell, node 2, first input): 99999999999999999999 is far out of range, \
             allowed 0..=1"
        );
    }

    #[test]
    fn an_unknown_operation_gets_the_list_of_operations() {
        assert_eq!(
            message("normal:\n  2 = conv(0)"),
            "line 2, column 7: expected an operation (sep-conv-3x3, sep-conv-5x5, avg-pool-3x3, max-pool-3x3, \
             identity), found `conv`"
        );
    }

    #[test]
    fn every_gap_says_what_was_expected() {
        for (text, expected) in [
            ("reduction:", "line 1, column 1: expected `normal:`, found `reduction`"),
            ("normal 2 =", "line 1, column 8: expected `:`, found `2`"),
            ("normal: reduction:", "line 1, column 9: expected node 2, found `reduction`"),
            ("normal: 3 = ", "line 1, column 9: expected node 2, found `3`"),
            ("normal: 2 = identity()", "line 1, column 22: expected a state, 0..=1, found `)`"),
            ("normal: 2 = identity(0)", "line 1, column 24: expected `+`, found the end"),
            (
                "normal: 2 = identity(0) + identity(1)",
                "line 1, column 38: expected node 3 or `reduction:`, found the end",
            ),
            (&format!("{ONE_NODE} é"), "line 1, column 85: expected the end, found `é`"),
        ] {
            assert_eq!(message(text), expected);
        }
    }

    #[test]
    fn cells_must_be_equally_long() {
        assert_eq!(
            parse(&ONE_NODE.replace(';', "; 3 = identity(0) + identity(2);")),
            Err(ArcError::NodeCounts { normal: 2, reduction: 1 })
        );
    }

    #[test]
    fn either_form_is_recognised() {
        let text = "1 2 0 0 2 4 1 0 0 1 1 3 0 0 0 4";
        let arc: Arc = text.parse().unwrap();
        assert_eq!(Arc::parse_any(text), Ok(arc.clone()));
        assert_eq!(Arc::parse_any(&arc.readable()), Ok(arc));
    }
}
