//! The weights of a network: one candle tensor for each name of the authors' code, and the positions of its rows.
//!
//! A [`Table`] is a named tensor with the shape it has in the authors' code. Shared weights are tables with one row
//! per possible input state. Each row has its own [`ParamId`], so only the rows of the sampled edges get a gradient.
//! A tensor that is a candle variable is trained; a plain tensor, for instance from a file, is not.

mod builder;
mod gradients;
mod init;
mod on_gpu;
mod running_stats;
mod saved;
mod state;
mod table;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor, Var};
use enas_kernels::candle::{Guards, NesterovConfig, NesterovSgd, write};
use enas_kernels::profile;

pub(crate) use self::builder::{Init, ParamsBuilder};
pub(crate) use self::gradients::{Gradients, is_finite};
pub use self::init::{InitialWeights, seeded};
pub(crate) use self::running_stats::{NetworkRunningStats, NormRunningStats};
pub(crate) use self::saved::{export_state, export_weights, import_all, named_tensors, require_all};
pub(crate) use self::state::AVERAGE;
pub use self::table::NamedTensor;
pub(crate) use self::table::ParamId;
use self::table::{Row, Table};
use crate::error::Error;

/// The weights of a network, with the optimiser's state.
pub(crate) struct Params {
    /// Number of values, whether or not there are tensors.
    len: usize,
    /// Length of a GPU buffer for all of them, with padding for alignment.
    device_len: usize,
    /// One per table; empty if there are only sizes.
    tensors: Vec<Tensor>,
    tables: Vec<Table>,
    rows: Vec<Row>,
    /// Momentum of the trained tables.
    optimizer: Mutex<NesterovSgd>,
    /// Moving averages (EMA) of the tables; empty if they are not kept.
    averages: Mutex<Vec<Tensor>>,
}

/// Largest allowed number of weights: 4 GB of weights, and as much again for their momentum.
pub(crate) const MAX_WEIGHTS: usize = 1 << 30;

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Params").field("tables", &self.tables.len()).field("numbers", &self.len).finish()
    }
}

/// The values of all weights, borrowed for one pass.
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

    /// The name of the first tensor with a value that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<&'a str> {
        let mut tables = self.params.tables.iter().zip(self.slices);
        tables.find(|(_, numbers)| !is_finite(numbers)).map(|(table, _)| table.name.as_str())
    }

    /// The gradient of the loss plus L2 penalty `λ·Σ w²`, for every trained tensor.
    pub(crate) fn export_gradients(&self, gradients: &Gradients, l2: f32) -> Result<Vec<NamedTensor>, Error> {
        let tables = self.params.tables.iter().zip(self.slices).filter(|(t, _)| t.trained);
        let export = |(table, weights): (&Table, &&[f32])| {
            // The penalty has no factor 1/2 (`utils.py:121-123`), so its gradient is 2·λ·w.
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
    /// Number of values, whether or not there are tensors.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lends all weights to `body`, with one lock per tensor. Nothing may write to them meanwhile.
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

    /// Position of one row among all values.
    pub(crate) fn range(&self, id: ParamId) -> Range<usize> {
        let Row { table, range, .. } = &self.rows[id.0];
        let start = self.tables[*table].range.start;
        start + range.start..start + range.end
    }

    /// The index of a row's table, and the row's position in it.
    pub(crate) fn in_table(&self, id: ParamId) -> (usize, Range<usize>) {
        let Row { table, range, .. } = &self.rows[id.0];
        (*table, range.clone())
    }

    /// Length of GPU buffers for all weights. Tables begin at multiples of
    /// [`TensorList::ALIGNMENT`](enas_kernels::gpu::TensorList).
    pub(crate) fn device_len(&self) -> usize {
        self.device_len
    }

    /// Position of one row in such a buffer.
    pub(crate) fn device_range(&self, id: ParamId) -> Range<usize> {
        let (table, range) = self.in_table(id);
        let place = self.tables[table].place;
        place + range.start..place + range.end
    }

    /// All rows in order.
    fn rows(&self) -> impl Iterator<Item = (ParamId, &Row)> {
        self.rows.iter().enumerate().map(|(i, row)| (ParamId(i), row))
    }

    /// Whether the optimiser updates the row.
    pub(crate) fn is_trained(&self, id: ParamId) -> bool {
        self.rows[id.0].trained
    }

    /// Number of weights, trained or not, in the tensors below `scope`.
    pub(crate) fn count_in(&self, scope: &str) -> usize {
        self.count(|name| name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Number of weights, trained or not, in the tensors whose name passes `filter`.
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

    /// Gradients as tensors, one per table; `None` for tables without a visited row.
    pub(crate) fn gradient_tensors(
        &self,
        mut gradients: Gradients,
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let of_table = |table: &Table| {
            let dense = match table.rows {
                1 => gradients.take(table.first_row),
                rows => {
                    let mut all = vec![0.0; table.range.len()];
                    let mut visited = false;
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

    /// A new optimiser of the trained tensors.
    pub(crate) fn new_optimizer(&self, config: NesterovConfig) -> Result<NesterovSgd, Error> {
        optimizer(&self.tensors, &self.tables, config)
    }

    fn optimizer(&self) -> MutexGuard<'_, NesterovSgd> {
        self.optimizer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn averages(&self) -> MutexGuard<'_, Vec<Tensor>> {
        self.averages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One update of every trained weight by the network's own optimiser. Returns the norm of the whole gradient,
    /// with L2 penalty.
    ///
    /// Rows that the arc did not use are updated too: weight decay and momentum act on them, as in the authors' code
    /// (`utils.py:118-125`, dense gradients).
    pub(crate) fn step(&self, lr: f32, gradients: &Gradients) -> Result<f32, Error> {
        self.step_with(&mut self.optimizer(), lr, gradients)
    }

    /// One update by another optimiser of these weights.
    pub(crate) fn step_with(
        &self,
        optimizer: &mut NesterovSgd,
        lr: f32,
        gradients: &Gradients,
    ) -> Result<f32, Error> {
        let start = profile::start();
        let len = self.len as f64;
        let first_rows: Vec<usize> =
            self.tables.iter().filter(|t| t.trained).map(|table| table.first_row).collect();
        candle_nn::Optimizer::set_learning_rate(optimizer, f64::from(lr));
        let norm = optimizer.step_rows(|table, row| gradients.row(first_rows[table] + row))?;
        profile::stop(start, ("optimiser", "step"), 7.0 * len, 16.0 * len);
        Ok(norm)
    }

    /// Gradients with nothing added yet.
    pub(crate) fn gradients(&self) -> Gradients {
        Gradients::new(self.rows.len())
    }
}

/// An optimiser of the trained tables, whose rows have gradients of their own.
fn optimizer(tensors: &[Tensor], tables: &[Table], config: NesterovConfig) -> Result<NesterovSgd, Error> {
    let trained = tensors.iter().zip(tables).filter(|(_, table)| table.trained);
    let vars = trained.map(|(tensor, table)| Ok((table.name.clone(), Var::from_tensor(tensor)?, table.rows)));
    Ok(NesterovSgd::named(vars.collect::<Result<_, Error>>()?, config)?)
}
