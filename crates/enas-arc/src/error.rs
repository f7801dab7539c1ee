//! Why a text or a list of numbers is not an arc: the position, the value, and what is allowed there.

use crate::entry::{ArcEntry, EntryPosition, Location, shorten};
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
    #[error("{location}{}: `{text}` is not an integer{}", in_brackets(*entry), allowed(*entry))]
    NotAnInteger {
        /// Its location.
        location: Location,
        /// What belongs there; `None` if the number of entries is not a multiple of 8.
        entry: Option<ArcEntry>,
        /// The entry, shortened if long.
        text: String,
    },
    /// A number is below zero.
    #[error("{at}: {value} is negative, allowed 0..={max}")]
    Negative {
        /// Its position.
        at: EntryPosition,
        /// The number.
        value: i64,
        /// The largest number allowed there.
        max: usize,
    },
    /// A number has more digits than any number of an arc.
    #[error("{at}: {text} is far out of range, allowed 0..={max}")]
    TooLarge {
        /// Its position.
        at: EntryPosition,
        /// The number as written, shortened if long.
        text: String,
        /// The largest number allowed there.
        max: usize,
    },
    /// A branch reads its own node or a later one.
    #[error("{at}: {value} is out of range, allowed 0..={max}")]
    InputOutOfRange {
        /// Its position.
        at: EntryPosition,
        /// The number.
        value: u64,
        /// The largest number allowed there.
        max: usize,
    },
    /// There is no operation with this number.
    #[error("{at}: {value} is out of range, allowed 0..={max} ({})", op_table())]
    OpOutOfRange {
        /// Its position.
        at: EntryPosition,
        /// The number.
        value: u64,
        /// The largest number allowed there.
        max: usize,
    },
    /// The readable form has a syntax error.
    #[error("{location}: expected {expected}, found {found}")]
    Syntax {
        /// Its location.
        location: Location,
        /// What is allowed there.
        expected: String,
        /// What was found, shortened if long.
        found: String,
    },
}

impl EntryPosition {
    /// `value`, if it is allowed here.
    pub(crate) fn check(self, value: u64) -> Result<usize, ArcError> {
        let at = self;
        let max = self.entry.max();
        match usize::try_from(value) {
            Ok(value) if value <= max => Ok(value),
            _ if self.entry.field.is_input() => Err(ArcError::InputOutOfRange { at, value, max }),
            _ => Err(ArcError::OpOutOfRange { at, value, max }),
        }
    }

    /// `value`, if it is allowed here.
    pub(crate) fn check_signed(self, value: i64) -> Result<usize, ArcError> {
        match u64::try_from(value) {
            Ok(value) => self.check(value),
            Err(_) => Err(ArcError::Negative { at: self, value, max: self.entry.max() }),
        }
    }

    /// The number that `digits` spells, if it is allowed here. [`is_integer`](crate::entry::is_integer) must hold for
    /// `digits`.
    pub(crate) fn check_text(self, digits: &str) -> Result<usize, ArcError> {
        match digits.parse() {
            Ok(value) => self.check_signed(value),
            Err(_) => Err(ArcError::TooLarge { at: self, text: shorten(digits), max: self.entry.max() }),
        }
    }
}

fn nearest(len: usize) -> String {
    match len / 8 * 8 {
        0 => "at least 8".to_owned(),
        below => format!("such as {below} or {}", below + 8),
    }
}

fn in_brackets(entry: Option<ArcEntry>) -> String {
    entry.map(|entry| format!(" ({entry})")).unwrap_or_default()
}

fn allowed(entry: Option<ArcEntry>) -> String {
    entry.map(|entry| format!(", allowed 0..={}", entry.max())).unwrap_or_default()
}

fn op_table() -> String {
    Op::ALL.map(|op| format!("{} {op}", op.id())).join(", ")
}
