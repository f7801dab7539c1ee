//! The two kinds of cells.

use std::fmt;

/// Number of states that a cell receives: the outputs of the two layers before it.
pub(crate) const N_INPUTS: usize = 2;

/// One of the two cells of an arc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CellKind {
    /// The cell of the layers that keep height and width.
    Normal,
    /// The cell of the layers that halve height and width.
    Reduction,
}

impl CellKind {
    /// `normal` or `reduction`.
    pub fn name(self) -> &'static str {
        match self {
            CellKind::Normal => "normal",
            CellKind::Reduction => "reduction",
        }
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
