//! Limits of a table.

/// Largest number of rows.
pub(crate) const MOST_ROWS: usize = 10_000_000;
/// Largest number of columns of decisions.
pub(crate) const MOST_COLUMNS: usize = 256;
/// Largest number of different values of all columns together.
pub(crate) const MOST_VALUES: usize = 4096;
