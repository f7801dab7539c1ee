//! Why a text or a list of numbers is not an arc: the position, the value, and what is allowed there.

use std::fmt;

use crate::cell::{CellKind, N_INPUTS};
use crate::op::Op;

/// Why something is not an arc.
///
/// Every message can be shown to the person who typed the arc.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArcError {
    /// The input is empty.
    #[error("the arc is empty; expected 8 integers per node (40 for 5 nodes) or the readable form")]
    Empty,
    /// A cell was built from no nodes.
    #[error("the cell has no nodes; it needs at least one")]
    NoNodes,
    /// The number of integers is not a multiple of 8.
    #[error("{len} integers do not make an arc: two cells with 4 per node need a multiple of 8, {}", nearest(*len))]
    Length {
        /// Number of integers.
        len: usize,
    },
    /// The two cells have different numbers of nodes.
    #[error(
        "the normal cell has {normal} nodes and the reduction cell {reduction}; they must have equally many"
    )]
    NodeCounts {
        /// Number of nodes of the normal cell.
        normal: usize,
        /// Number of nodes of the reduction cell.
        reduction: usize,
    },
    /// An entry of the integer form is not an integer.
    #[error("{place}{}: `{text}` is not an integer{}", in_brackets(*slot), allowed(*slot))]
    NotAnInteger {
        /// Its place.
        place: Place,
        /// What belongs there; `None` if the number of entries is not a multiple of 8.
        slot: Option<Slot>,
        /// The entry, shortened if long.
        text: String,
    },
    /// A number is below zero.
    #[error("{at}: {value} is negative, allowed 0..={max}")]
    Negative {
        /// Its position.
        at: Position,
        /// The number.
        value: i64,
        /// The largest number allowed there.
        max: usize,
    },
    /// A number has more digits than any number of an arc.
    #[error("{at}: {text} is far out of range, allowed 0..={max}")]
    TooLarge {
        /// Its position.
        at: Position,
        /// The number as written, shortened if long.
        text: String,
        /// The largest number allowed there.
        max: usize,
    },
    /// A branch reads its own node or a later one.
    #[error("{at}: {value} is out of range, allowed 0..={max}")]
    InputOutOfRange {
        /// Its position.
        at: Position,
        /// The number.
        value: u64,
        /// The largest number allowed there.
        max: usize,
    },
    /// There is no operation with this number.
    #[error("{at}: {value} is out of range, allowed 0..={max} ({})", op_table())]
    OpOutOfRange {
        /// Its position.
        at: Position,
        /// The number.
        value: u64,
        /// The largest number allowed there.
        max: usize,
    },
    /// The readable form has a syntax error.
    #[error("{place}: expected {expected}, found {found}")]
    Syntax {
        /// Its place.
        place: Place,
        /// What is allowed there.
        expected: String,
        /// What was found, shortened if long.
        found: String,
    },
}

/// The place and meaning of one number of an arc, such as `position 6 (normal cell, node 3, second input)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Where it is written.
    pub place: Place,
    /// What it means.
    pub slot: Slot,
}

/// A place in a list or in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
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
pub struct Slot {
    /// The cell; `None` if a cell is checked on its own.
    pub cell: Option<CellKind>,
    /// The state that the node makes: 2 for the first node.
    pub node: usize,
    /// The number within the node.
    pub field: Field,
}

/// The four numbers of a node, in the order of the integer form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The state that the first branch reads.
    FirstInput = 0,
    /// The operation of the first branch.
    FirstOp = 1,
    /// The state that the second branch reads.
    SecondInput = 2,
    /// The operation of the second branch.
    SecondOp = 3,
}

impl Position {
    /// `value`, if it is allowed here.
    pub(crate) fn check(self, value: u64) -> Result<usize, ArcError> {
        let (at, max) = (self, self.slot.max());
        match usize::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ if self.slot.field.is_input() => Err(ArcError::InputOutOfRange { at, value, max }),
            _ => Err(ArcError::OpOutOfRange { at, value, max }),
        }
    }

    /// `value`, if it is allowed here.
    pub(crate) fn check_signed(self, value: i64) -> Result<usize, ArcError> {
        match u64::try_from(value) {
            Ok(value) => self.check(value),
            Err(_) => Err(ArcError::Negative { at: self, value, max: self.slot.max() }),
        }
    }

    /// The number that `digits` spells, if it is allowed here. [`is_integer`] must hold for `digits`.
    pub(crate) fn check_text(self, digits: &str) -> Result<usize, ArcError> {
        match digits.parse() {
            Ok(value) => self.check_signed(value),
            Err(_) => Err(ArcError::TooLarge { at: self, text: shorten(digits), max: self.slot.max() }),
        }
    }
}

impl Slot {
    /// The largest number allowed here: the node before this one, or the last operation.
    pub fn max(self) -> usize {
        if self.field.is_input() { self.node - 1 } else { Op::ALL.len() - 1 }
    }

    /// The slot of the number at `offset` among the numbers of a cell.
    pub(crate) fn in_cell(cell: CellKind, offset: usize) -> Slot {
        const FIELDS: [Field; 4] = [Field::FirstInput, Field::FirstOp, Field::SecondInput, Field::SecondOp];
        Slot {
            cell: Some(cell),
            node: offset / FIELDS.len() + N_INPUTS,
            field: FIELDS[offset % FIELDS.len()],
        }
    }
}

impl Field {
    fn is_input(self) -> bool {
        matches!(self, Field::FirstInput | Field::SecondInput)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.slot)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Index(index) => write!(f, "position {index}"),
            Place::Text { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cell) = self.cell {
            write!(f, "{cell} cell, ")?;
        }
        write!(f, "node {}, {}", self.node, self.field)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::FirstInput => "first input",
            Field::FirstOp => "first operation",
            Field::SecondInput => "second input",
            Field::SecondOp => "second operation",
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

fn nearest(len: usize) -> String {
    match len / 8 * 8 {
        0 => "at least 8".to_owned(),
        below => format!("such as {below} or {}", below + 8),
    }
}

fn in_brackets(slot: Option<Slot>) -> String {
    slot.map(|slot| format!(" ({slot})")).unwrap_or_default()
}

fn allowed(slot: Option<Slot>) -> String {
    slot.map(|slot| format!(", allowed 0..={}", slot.max())).unwrap_or_default()
}

fn op_table() -> String {
    Op::ALL.map(|op| format!("{} {op}", op.id())).join(", ")
}
