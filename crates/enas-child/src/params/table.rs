//! Where the values of a parameter stand: named tables, and their rows.

use std::ops::Range;

/// A tensor with its name in the authors' code, such as `layer_0/cell_1/x/conv_3x3/stack_0/w_depth`.
pub type NamedTensor = (String, candle_core::Tensor);

/// One row of a table: the unit in which weights are read and gradients are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamId(pub(crate) usize);

/// A named tensor.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Its position among all values, table after table.
    pub(super) range: Range<usize>,
    /// Its offset in GPU buffers that hold one value for every weight.
    pub(super) place: usize,
    /// Index of its first row, and number of rows.
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) trained: bool,
}

/// One row of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) table: usize,
    /// Its position within the table.
    pub(super) range: Range<usize>,
    pub(super) trained: bool,
}

impl Table {
    /// Number of values of a row.
    pub(super) fn row_len(&self) -> usize {
        self.range.len() / self.rows
    }
}
