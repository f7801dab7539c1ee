//! Comparison of runs: the result of each with its confidence interval, its cost, and the settings in which runs
//! differ.
//!
//! [`Board::read`] finds the runs below some directories. Of each run it reads a few small files and the end of the
//! log. Runs that cannot be read are listed with the reason. Accuracies are compared only between runs on the same
//! images.

mod auto;
mod board;
mod entry;
mod find;
mod order;
mod page;
mod read;
mod seeds;
mod tail;
#[cfg(test)]
mod tests;

pub use self::board::Board;
pub use self::entry::{Accuracy, Entry, EntryKind, RunImages, RunSplit, RunState, Seeds};
pub use self::find::{Found, MOST as MOST_RUNS, folders, is_automatic, is_run, runs};
pub use self::order::{Difference, RunGroup, RunRow, Sort};
pub use self::page::{STYLE, page, search_notes, summary, table};
