//! What can be wrong with a table.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::table::Table;

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this line of a CSV file, from 1.
    Line(u32),
    /// In this object of a JSON array, from 1.
    Object(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Object(number) => write!(f, "object {number}"),
        }
    }
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// No column of decisions.
    #[error("there is no column of decisions; write one column per decision, then valid and test")]
    NoDecisions,
    /// No row.
    #[error("there is no row below the header; write one row per architecture")]
    Empty,
    /// More columns than anybody decides about.
    #[error("{n} columns of decisions are too many; there may be {}", Table::MOST_COLUMNS)]
    Columns {
        /// Number of columns.
        n: usize,
    },
    /// More rows than are kept.
    #[error("there are more than {} rows; leave some out", Table::MOST_ROWS)]
    Rows,
    /// More different values than a policy can tell apart.
    #[error(
        "{place}: column {name} has {n} different values so far, and all columns together more than {}; a decision \
         is one of a few alternatives, so leave out columns that are measurements or numbers of rows",
        Table::MOST_VALUES
    )]
    Values {
        /// Where the limit was passed.
        place: Place,
        /// The column with the most values.
        name: String,
        /// Its different values.
        n: usize,
    },
    /// A row of another length.
    #[error("{place} has {got} decisions, the header names {expected}")]
    Decisions {
        /// The row.
        place: Place,
        /// Columns of decisions.
        expected: usize,
        /// Decisions of the row.
        got: usize,
    },
    /// A CSV line of another length than the header.
    #[error("{place} has {got} values, the header names {expected} columns")]
    Fields {
        /// The line.
        place: Place,
        /// Columns of the header.
        expected: usize,
        /// Values found.
        got: usize,
    },
    /// Two rows for the same architecture.
    #[error("{place} repeats the decisions of {first}; keep one of them, with the mean of their values")]
    Twice {
        /// The second.
        place: Place,
        /// The first.
        first: Place,
    },
    /// A value that is not a number.
    #[error(
        "{place}, column {name}: {value} is not finite; leave out the row, or write the value of a guess"
    )]
    NotFinite {
        /// The row.
        place: Place,
        /// `valid` or `test`.
        name: &'static str,
        /// The offending value.
        value: f64,
    },
    /// A field that is not what its column asks for.
    #[error("{place}, column {name}: `{text}` is not {expected}")]
    Field {
        /// The row.
        place: Place,
        /// The column.
        name: String,
        /// What was found.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The first line does not name the columns.
    #[error(
        "line 1: {0}; the first line names the columns: one per decision, then valid and test, as in `op1,op2,valid,test`"
    )]
    Header(String),
    /// A line that is too long to be one.
    #[error("{place} is longer than {most} bytes; this is not a table")]
    LongLine {
        /// The line.
        place: Place,
        /// Longest length in bytes.
        most: usize,
    },
    /// Objects with other keys, or no JSON at all.
    #[error("{0}; a table is an array of objects with the same keys: one per decision, then valid and test")]
    Json(#[source] serde_json::Error),
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Any of these, and in which file.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<TableError>,
    },
}
