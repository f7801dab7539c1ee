//! The numbers of an arc: what each means, where it is written and which values are allowed.

use std::fmt;

use crate::cell_kind::{CellKind, N_INPUTS};
use crate::op::Op;

/// The location and meaning of one number of an arc, such as `position 6 (normal cell, node 3, second input)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryPosition {
    /// Where it is written.
    pub location: Location,
    /// What it means.
    pub entry: ArcEntry,
}

/// A location in a list or in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// Entry of a list of integers, counted from 0.
    Index(usize),
    /// Line and column of the readable form in characters, both counted from 1.
    Text {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
}

/// The meaning of one number of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArcEntry {
    /// The cell; `None` if a cell is checked on its own.
    pub cell: Option<CellKind>,
    /// The state that the node makes: 2 for the first node.
    pub node: usize,
    /// The number within the node.
    pub field: NodeField,
}

/// The four numbers of a node, in the order of the integer form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeField {
    /// The state that the first branch reads.
    FirstInput = 0,
    /// The operation of the first branch.
    FirstOp = 1,
    /// The state that the second branch reads.
    SecondInput = 2,
    /// The operation of the second branch.
    SecondOp = 3,
}

impl ArcEntry {
    /// The largest number allowed here: the node before this one, or the last operation.
    pub fn max(self) -> usize {
        if self.field.is_input() { self.node - 1 } else { Op::ALL.len() - 1 }
    }

    /// The entry of the number at `offset` among the numbers of a cell.
    pub(crate) fn in_cell(cell: CellKind, offset: usize) -> ArcEntry {
        const FIELDS: [NodeField; 4] =
            [NodeField::FirstInput, NodeField::FirstOp, NodeField::SecondInput, NodeField::SecondOp];
        ArcEntry {
            cell: Some(cell),
            node: offset / FIELDS.len() + N_INPUTS,
            field: FIELDS[offset % FIELDS.len()],
        }
    }
}

impl NodeField {
    pub(crate) fn is_input(self) -> bool {
        matches!(self, NodeField::FirstInput | NodeField::SecondInput)
    }
}

impl fmt::Display for EntryPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.location, self.entry)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Index(index) => write!(f, "position {index}"),
            Location::Text { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

impl fmt::Display for ArcEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cell) = self.cell {
            write!(f, "{cell} cell, ")?;
        }
        write!(f, "node {}, {}", self.node, self.field)
    }
}

impl fmt::Display for NodeField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeField::FirstInput => "first input",
            NodeField::FirstOp => "first operation",
            NodeField::SecondInput => "second input",
            NodeField::SecondOp => "second operation",
        })
    }
}

/// Whether `text` is an integer of any size, with or without a sign.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `text` in a form that fits into a one-line message: escaped and shortened.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 30;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
