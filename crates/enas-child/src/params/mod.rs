//! The weights of a network: one of candle's tensors for each published name, and where its rows are.
//!
//! A [`Table`] is a named tensor as the published code has it. Shared weights are tables with one row per possible
//! input; every row is addressed by its own [`ParamId`], so that only the rows of the sampled edges get a gradient. A
//! tensor that is a variable of candle is trained; one from a file, say, is not.

mod builder;
mod on_gpu;
mod state;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use enas_kernels::candle::{Guards, NesterovConfig, NesterovSgd, write};
use enas_kernels::profile;

pub(crate) use self::builder::{Init, ParamsBuilder};
pub(crate) use self::state::{AVERAGE, copied};
pub(crate) use crate::gradients::{Gradients, is_finite};
use crate::{Error, NamedTensor};

/// One row of a table: the unit of reading weights and of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamId(pub(crate) usize);

#[derive(Clone, Debug)]
struct Table {
    name: String,
    shape: Vec<usize>,
    /// Of all numbers, as they would lie one table after another.
    range: Range<usize>,
    /// Where it begins in buffers of a GPU that have a number for every weight.
    place: usize,
    /// Its first row, and how many there are.
    first_row: usize,
    rows: usize,
    trained: bool,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    table: usize,
    /// Within its table.
    range: Range<usize>,
    pub(crate) trained: bool,
}

/// The weights of a network, and what its optimiser keeps of them.
pub(crate) struct Params {
    /// How many numbers there are, or would be.
    len: usize,
    /// How many a buffer of a GPU has for all of them.
    device_len: usize,
    /// One per table; none where there are only places.
    tensors: Vec<Tensor>,
    tables: Vec<Table>,
    rows: Vec<Row>,
    /// Momentum of the trained tables.
    optimizer: Mutex<NesterovSgd>,
    /// Moving averages of the tables; none if they are not kept.
    averages: Mutex<Vec<Tensor>>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Params").field("tables", &self.tables.len()).field("numbers", &self.len).finish()
    }
}

/// The numbers of all weights, lent for one pass.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) params: &'a Params,
    slices: &'a [&'a [f32]],
}

impl<'a> Weights<'a> {
    /// The values of one row.
    pub(crate) fn get(&self, id: ParamId) -> &'a [f32] {
        let row = &self.params.rows[id.0];
        &self.slices[row.table][row.range.clone()]
    }

    /// `Σ w²` over the trained weights.
    pub(crate) fn squares(&self) -> f64 {
        let trained = self.params.tables.iter().zip(self.slices).filter(|(t, _)| t.trained);
        trained.flat_map(|(_, numbers)| *numbers).map(|w| f64::from(*w).powi(2)).sum()
    }

    /// The name of the first tensor with a number that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<&'a str> {
        let mut tables = self.params.tables.iter().zip(self.slices);
        tables.find(|(_, numbers)| !is_finite(numbers)).map(|(table, _)| table.name.as_str())
    }

    /// The gradient of the loss with its L2 penalty `λ·Σ w²`, for every trained tensor.
    pub(crate) fn export_gradients(&self, gradients: &Gradients, l2: f32) -> Result<Vec<NamedTensor>, Error> {
        let tables = self.params.tables.iter().zip(self.slices).filter(|(t, _)| t.trained);
        let export = |(table, weights): (&Table, &&[f32])| {
            let mut data: Vec<f32> = weights.iter().map(|w| 2.0 * l2 * w).collect();
            for (row, place) in data.chunks_exact_mut(table.row_len().max(1)).zip(table.first_row..) {
                if let Some(gradient) = gradients.row(place) {
                    row.iter_mut().zip(gradient).for_each(|(f, g)| *f += g);
                }
            }
            Ok((table.name.clone(), Tensor::from_vec(data, table.shape.as_slice(), &Device::Cpu)?))
        };
        tables.map(export).collect()
    }
}

impl Params {
    /// How many numbers there are, or would be.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lends all weights to `body`; locks are taken once. Nothing may be written meanwhile.
    pub(crate) fn read<R>(&self, body: impl FnOnce(Weights<'_>) -> Result<R, Error>) -> Result<R, Error> {
        let guards = Guards::new(&self.tensors);
        let slices = guards.slices()?;
        body(Weights { params: self, slices: &slices })
    }

    /// Calls `body` with the values of one row, for writing.
    pub(crate) fn write<R>(&self, id: ParamId, body: impl FnOnce(&mut [f32]) -> R) -> Result<R, Error> {
        let Row { table, range, .. } = &self.rows[id.0];
        Ok(write(&self.tensors[*table], |numbers| body(&mut numbers[range.clone()]))?)
    }

    /// The name of the table that a row belongs to.
    pub(crate) fn name(&self, id: ParamId) -> &str {
        &self.tables[self.rows[id.0].table].name
    }

    /// Where the values of one row are among all of them.
    pub(crate) fn range(&self, id: ParamId) -> Range<usize> {
        let Row { table, range, .. } = &self.rows[id.0];
        let start = self.tables[*table].range.start;
        start + range.start..start + range.end
    }

    /// The table that a row belongs to, by its number, and where the row is in it.
    pub(crate) fn in_table(&self, id: ParamId) -> (usize, Range<usize>) {
        let Row { table, range, .. } = &self.rows[id.0];
        (*table, range.clone())
    }

    /// How many numbers buffers of a GPU have for all weights. Tables begin where kernels for arrays that lie apart want it.
    pub(crate) fn device_len(&self) -> usize {
        self.device_len
    }

    /// Where the values of one row are in such a buffer.
    pub(crate) fn device_range(&self, id: ParamId) -> Range<usize> {
        let (table, range) = self.in_table(id);
        let place = self.tables[table].place;
        place + range.start..place + range.end
    }

    /// All rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (ParamId, &Row)> {
        self.rows.iter().enumerate().map(|(i, row)| (ParamId(i), row))
    }

    /// Whether the optimiser updates the row.
    pub(crate) fn is_trained(&self, id: ParamId) -> bool {
        self.rows[id.0].trained
    }

    /// Number of trained or untrained weights.
    pub(crate) fn count(&self, filter: impl Fn(&str) -> bool) -> usize {
        self.tables.iter().filter(|t| filter(&t.name)).map(|t| t.range.len()).sum()
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|t| t.name.as_str())
    }

    /// The tensors with their names.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names().zip(&self.tensors)
    }

    /// The trained tensors.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().zip(&self.tables).filter(|(_, table)| table.trained).map(|(tensor, _)| tensor)
    }

    /// Gradients as tensors, one per table; none for tables of which no row was visited.
    pub(crate) fn gradient_tensors(
        &self,
        mut gradients: Gradients,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let of_table = |table: &Table| {
            let dense = match table.rows {
                1 => gradients.take(table.first_row),
                rows => {
                    let (mut all, mut visited) = (vec![0.0; table.range.len()], false);
                    for (row, place) in all.chunks_exact_mut(table.row_len().max(1)).zip(table.first_row..) {
                        if let Some(gradient) = gradients.row(place) {
                            row.copy_from_slice(gradient);
                            visited = true;
                        }
                    }
                    debug_assert!(rows > 1);
                    visited.then_some(all)
                }
            };
            dense.map(|all| Tensor::from_vec(all, table.shape.as_slice(), &Device::Cpu)).transpose()
        };
        self.tables.iter().map(of_table).collect()
    }

    /// An optimiser of the trained tensors, with no momentum yet.
    pub(crate) fn new_optimizer(&self, config: NesterovConfig) -> Result<NesterovSgd, Error> {
        builder::optimizer(&self.tensors, &self.tables, config)
    }

    fn optimizer(&self) -> MutexGuard<'_, NesterovSgd> {
        self.optimizer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn averages(&self) -> MutexGuard<'_, Vec<Tensor>> {
        self.averages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One update of every trained weight, visited or not, by the network's own optimiser. Returns the norm of the whole
    /// gradient, penalty included.
    pub(crate) fn step(&self, lr: f32, gradients: &Gradients) -> Result<f32, Error> {
        self.step_with(&mut self.optimizer(), lr, gradients)
    }

    /// The same by another optimiser of these weights.
    pub(crate) fn step_with(
        &self,
        optimizer: &mut NesterovSgd,
        lr: f32,
        gradients: &Gradients,
    ) -> Result<f32, Error> {
        let (start, len) = (profile::start(), self.len as f64);
        let first_rows: Vec<usize> =
            self.tables.iter().filter(|t| t.trained).map(|table| table.first_row).collect();
        candle_nn::Optimizer::set_learning_rate(optimizer, f64::from(lr));
        let norm = optimizer.step_rows(|table, row| gradients.row(first_rows[table] + row))?;
        profile::stop(start, ("optimiser", "step"), 7.0 * len, 16.0 * len);
        Ok(norm)
    }

    /// Empty gradients for these weights.
    pub(crate) fn gradients(&self) -> Gradients {
        Gradients::new(self.rows.len())
    }
}

impl Table {
    fn row_len(&self) -> usize {
        self.range.len() / self.rows
    }
}
