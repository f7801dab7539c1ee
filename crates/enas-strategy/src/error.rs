//! Errors in a table.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::limits::{MOST_COLUMNS, MOST_ROWS, MOST_VALUES};

/// The location of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLocation {
    /// A line of a CSV file, from 1.
    Line(u32),
    /// An object of a JSON array, from 1.
    Object(u32),
}

impl fmt::Display for RowLocation {
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
    /// There is no column of decisions.
    #[error("there is no column of decisions; write one column per decision, then valid and test")]
    NoDecisions,
    /// There is no row.
    #[error("there is no row below the header; write one row per architecture")]
    Empty,
    /// There are too many columns.
    #[error("{n} columns of decisions are too many; there may be {}", MOST_COLUMNS)]
    Columns {
        /// Number of columns.
        n: usize,
    },
    /// There are too many rows.
    #[error("there are more than {} rows; leave some out", MOST_ROWS)]
    Rows,
    /// The columns have too many different values.
    #[error(
        "{location}: column {name} has {n} different values so far, and all columns together more than {}. A decision \
         is one of a few alternatives; leave out columns that are measurements or numbers of rows",
        MOST_VALUES
    )]
    Values {
        /// The row that exceeds the limit.
        location: RowLocation,
        /// The column with the most values.
        name: String,
        /// Its number of different values.
        n: usize,
    },
    /// A row has the wrong number of decisions.
    #[error("{location} has {got} decisions, the header names {expected}")]
    Decisions {
        /// The row.
        location: RowLocation,
        /// Number of columns of decisions.
        expected: usize,
        /// Number of decisions of the row.
        got: usize,
    },
    /// A CSV line has the wrong number of values.
    #[error("{location} has {got} values, the header names {expected} columns")]
    Fields {
        /// The line.
        location: RowLocation,
        /// Number of columns of the header.
        expected: usize,
        /// Number of values found.
        got: usize,
    },
    /// Two rows have the same decisions.
    #[error("{location} repeats the decisions of {first}; keep one of them, with the mean of their values")]
    Twice {
        /// The second row.
        location: RowLocation,
        /// The first row.
        first: RowLocation,
    },
    /// A value is not finite.
    #[error(
        "{location}, column {name}: {value} is not finite; leave out the row, or write the value of a guess"
    )]
    NotFinite {
        /// The row.
        location: RowLocation,
        /// `valid` or `test`.
        name: &'static str,
        /// The invalid value.
        value: f64,
    },
    /// A field has the wrong type.
    #[error("{location}, column {name}: `{text}` is not {expected}")]
    Field {
        /// The row.
        location: RowLocation,
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
    /// A line is too long.
    #[error("{location} is longer than {most} bytes; this is not a table")]
    LongLine {
        /// The line.
        location: RowLocation,
        /// Largest allowed length in bytes.
        most: usize,
    },
    /// The input is not JSON, or its objects have different keys.
    #[error("{0}; a table is an array of objects with the same keys: one per decision, then valid and test")]
    Json(#[source] serde_json::Error),
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An error with the file that it is in.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error.
        error: Box<TableError>,
    },
}
