//! The weights of a network: one of candle's tensors for each published name, and where its rows are.
//!
//! A [`Table`] is a named tensor as the published code has it. Shared weights are tables with one row per possible
//! input; every row is addressed by its own [`ParamId`], so that only the rows of the sampled edges get a gradient. A
//! tensor that is a variable of candle is trained; one from a file, say, is not.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;
use enas_kernels::candle::{Guards, NesterovConfig, NesterovSgd, write};
use enas_kernels::profile;
use rayon::prelude::*;

pub(crate) use crate::gradients::{Gradients, is_finite};
use crate::{Error, Named};

/// One row of a table: the unit of reading weights and of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParamId(pub(crate) usize);

/// How a table starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    /// Truncated normal numbers of variance `2/fan_in`, redrawn outside two deviations (He et al., 2015).
    He { fan_in: usize },
    /// One number everywhere.
    Constant(f32),
}

impl From<Init> for candle_nn::Init {
    fn from(init: Init) -> Self {
        match init {
            Init::He { fan_in } => Self::Randn { mean: 0.0, stdev: f64::from((2.0 / fan_in as f32).sqrt()) },
            Init::Constant(value) => Self::Const(f64::from(value)),
        }
    }
}

#[derive(Clone, Debug)]
struct Table {
    name: String,
    shape: Vec<usize>,
    /// Of all numbers, as they would lie one table after another.
    range: Range<usize>,
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

/// Makes [`Params`].
pub(crate) struct ParamsBuilder<'v> {
    builder: Option<VarBuilder<'v>>,
    params: Layout,
    /// What went wrong first: a tensor that is missing, or one of another shape.
    failure: Option<candle_core::Error>,
}

#[derive(Default)]
struct Layout {
    len: usize,
    tensors: Vec<Tensor>,
    tables: Vec<Table>,
    rows: Vec<Row>,
}

impl<'v> ParamsBuilder<'v> {
    /// With the tensors of a builder. Without one, for names, shapes and places alone: there will be no numbers, and nobody
    /// may ask for any.
    pub(crate) fn new(builder: Option<VarBuilder<'v>>) -> Self {
        Self { builder, params: Layout::default(), failure: None }
    }

    /// How many numbers there are, or would be.
    pub(crate) fn len(&self) -> usize {
        self.params.len
    }

    /// Adds a tensor.
    pub(crate) fn tensor(&mut self, name: String, shape: &[usize], init: Init, trained: bool) -> ParamId {
        self.table(name, shape, 1, init, trained)[0]
    }

    /// Adds a tensor whose first axis has `rows` independently addressed entries.
    pub(crate) fn table(
        &mut self,
        name: String,
        shape: &[usize],
        rows: usize,
        init: Init,
        trained: bool,
    ) -> Vec<ParamId> {
        let len: usize = shape.iter().product();
        let tensor = self.get(&name, shape, init);
        let params = &mut self.params;
        let trained = trained && tensor.as_ref().is_none_or(Tensor::is_variable);
        let (start, first_row, table) = (params.len, params.rows.len(), params.tables.len());
        params.len += len;
        params.tensors.extend(tensor);
        let (shape, range) = (shape.to_vec(), start..start + len);
        params.tables.push(Table { name, shape, range, first_row, rows, trained });
        let row = len / rows;
        params.rows.extend((0..rows).map(|r| Row { table, range: r * row..(r + 1) * row, trained }));
        (first_row..first_row + rows).map(ParamId).collect()
    }

    /// A tensor of the builder, if there is one. After a failure there are none.
    pub(crate) fn get(&mut self, name: &str, shape: &[usize], init: Init) -> Option<Tensor> {
        let builder = self.builder.as_ref().filter(|_| self.failure.is_none())?;
        match builder.get_with_hints(shape, name, init.into()).and_then(|tensor| tensor.contiguous()) {
            Ok(tensor) => Some(tensor),
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    /// The weights, with an optimiser that has not done anything yet.
    pub(crate) fn build(self, config: NesterovConfig) -> Result<Params, Error> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        let Layout { len, tensors, tables, rows } = self.params;
        let optimizer = Mutex::new(optimizer(&tensors, &tables, config)?);
        Ok(Params { len, tensors, tables, rows, optimizer, averages: Mutex::default() })
    }

    /// Names, shapes and places.
    pub(crate) fn places(self) -> Params {
        self.build(NesterovConfig::default()).expect("nothing was asked of a builder")
    }
}

/// For the trained tables, whose rows have gradients of their own.
fn optimizer(tensors: &[Tensor], tables: &[Table], config: NesterovConfig) -> Result<NesterovSgd, Error> {
    let trained = tensors.iter().zip(tables).filter(|(_, table)| table.trained);
    let vars = trained.map(|(tensor, table)| Ok((table.name.clone(), Var::from_tensor(tensor)?, table.rows)));
    Ok(NesterovSgd::named(vars.collect::<Result<_, Error>>()?, config)?)
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
    pub(crate) fn export_gradients(&self, gradients: &Gradients, l2: f32) -> Vec<Named> {
        let tables = self.params.tables.iter().zip(self.slices).filter(|(t, _)| t.trained);
        let export = |(table, weights): (&Table, &&[f32])| {
            let mut data: Vec<f32> = weights.iter().map(|w| 2.0 * l2 * w).collect();
            for (row, place) in data.chunks_exact_mut(table.row_len().max(1)).zip(table.first_row..) {
                if let Some(gradient) = gradients.row(place) {
                    row.iter_mut().zip(gradient).for_each(|(f, g)| *f += g);
                }
            }
            Named { name: table.name.clone(), shape: table.shape.clone(), data }
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

    /// All rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (ParamId, &Row)> {
        self.rows.iter().enumerate().map(|(i, row)| (ParamId(i), row))
    }

    /// The runs of trained weights, `(first, length)`.
    pub(crate) fn trained_runs(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for table in self.tables.iter().filter(|t| t.trained) {
            let Range { start, end } = table.range;
            match runs.last_mut() {
                Some((first, len)) if *first + *len == start => *len += end - start,
                _ => runs.push((start, end - start)),
            }
        }
        runs
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

    /// An optimiser of the trained tensors, with no momentum yet.
    pub(crate) fn new_optimizer(&self, config: NesterovConfig) -> Result<NesterovSgd, Error> {
        optimizer(&self.tensors, &self.tables, config)
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

    /// Whether moving averages are kept.
    pub(crate) fn has_averages(&self) -> bool {
        !self.averages().is_empty()
    }

    /// Keeps moving averages that start with the present values.
    pub(crate) fn start_averages(&self) -> Result<(), Error> {
        let copies = self.tensors.iter().map(|tensor| tensor.detach().copy());
        *self.averages() = copies.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Moves every average towards its value by this share of the way.
    pub(crate) fn move_averages(&self, share: f32) -> Result<(), Error> {
        let averages = self.averages();
        self.read(|weights| {
            let all = averages.par_iter().zip(weights.slices);
            all.try_for_each(|(average, values)| {
                write(average, |average| {
                    average.iter_mut().zip(*values).for_each(|(a, v)| *a += share * (v - *a));
                })
            })?;
            Ok(())
        })
    }

    /// Takes the averages for values.
    pub(crate) fn use_averages(&self) -> Result<(), Error> {
        let averages = self.averages();
        let guards = Guards::new(averages.iter());
        for (tensor, average) in self.tensors.iter().zip(guards.slices()?) {
            write(tensor, |values| values.copy_from_slice(average))?;
        }
        Ok(())
    }

    /// The weights as named tensors.
    pub(crate) fn export(&self) -> Result<Vec<Named>, Error> {
        self.tables.iter().zip(&self.tensors).map(|(t, tensor)| t.named(&t.name, tensor)).collect()
    }

    /// The optimiser's state as named tensors: `momentum/<name>`.
    pub(crate) fn export_momentum(&self) -> Result<Vec<Named>, Error> {
        let (optimizer, trained) = (self.optimizer(), self.tables.iter().filter(|t| t.trained));
        optimizer.state().zip(trained).map(|((name, momentum), table)| table.named(&name, momentum)).collect()
    }

    /// The moving averages as named tensors: `average/<name>`.
    pub(crate) fn export_averages(&self) -> Result<Vec<Named>, Error> {
        let averages = self.averages();
        let tables = self.tables.iter().zip(averages.iter());
        tables.map(|(t, average)| t.named(&format!("{AVERAGE}{}", t.name), average)).collect()
    }

    /// Values, momentum and averages, each in one piece, table after table: how a GPU has them. Untrained tables have a
    /// momentum of zeros; there may be no averages.
    pub(crate) fn flat(&self) -> Result<[Vec<f32>; 3], Error> {
        let joined = |tensors: &mut dyn Iterator<Item = &Tensor>| -> Result<Vec<f32>, Error> {
            Ok(Guards::new(tensors).slices()?.concat())
        };
        let optimizer = self.optimizer();
        let mut momentum = vec![0.0; self.len];
        for ((_, state), table) in optimizer.state().zip(self.tables.iter().filter(|t| t.trained)) {
            let guards = Guards::new([state]);
            momentum[table.range.clone()].copy_from_slice(guards.slices()?[0]);
        }
        Ok([joined(&mut self.tensors.iter())?, momentum, joined(&mut self.averages().iter())?])
    }

    /// Takes over what [`flat`](Self::flat) gives.
    pub(crate) fn set_flat(&self, [values, momentum, averages]: &[Vec<f32>; 3]) -> Result<(), Error> {
        let optimizer = self.optimizer();
        for (table, tensor) in self.tables.iter().zip(&self.tensors) {
            write(tensor, |numbers| numbers.copy_from_slice(&values[table.range.clone()]))?;
            if table.trained {
                optimizer.load(&format!("{MOMENTUM}{}", table.name), &momentum[table.range.clone()])?;
            }
        }
        for (table, average) in self.tables.iter().zip(self.averages().iter()) {
            write(average, |numbers| numbers.copy_from_slice(&averages[table.range.clone()]))?;
        }
        Ok(())
    }

    /// Takes over a tensor by name, weights, momentum or averages. Returns whether the name is one of ours.
    pub(crate) fn import(&self, tensor: &Named) -> Result<bool, Error> {
        let of = |prefix: &str| tensor.name.strip_prefix(prefix);
        let averages = self.averages();
        let (name, target) = match (of(MOMENTUM), of(AVERAGE)) {
            (Some(name), _) => (name, None),
            (_, Some(_)) if averages.is_empty() => return Ok(false),
            (_, Some(name)) => (name, Some(&*averages)),
            _ => (tensor.name.as_str(), Some(&self.tensors)),
        };
        let Some(index) = self.tables.iter().position(|t| t.name == name) else { return Ok(false) };
        let table = &self.tables[index];
        if table.shape != tensor.shape || tensor.data.len() != table.range.len() {
            let (name, got, want) = (&tensor.name, &tensor.shape, &table.shape);
            return Err(Error::State(format!("{name} has shape {got:?}, the network needs {want:?}")));
        }
        match target {
            Some(target) => write(&target[index], |numbers| numbers.copy_from_slice(&tensor.data))?,
            // Momentum of what is not trained means nothing.
            None => self.optimizer().load(&tensor.name, &tensor.data).map(drop)?,
        }
        Ok(true)
    }

    /// Takes over a weight if there is one of its name and shape; returns whether there is.
    pub(crate) fn adopt(&self, tensor: &Named) -> Result<bool, Error> {
        let fits = |table: &Table| {
            table.name == tensor.name && table.shape == tensor.shape && table.range.len() == tensor.data.len()
        };
        let Some(index) = self.tables.iter().position(fits) else { return Ok(false) };
        write(&self.tensors[index], |numbers| numbers.copy_from_slice(&tensor.data))?;
        Ok(true)
    }
}

const MOMENTUM: &str = "momentum/";
pub(crate) const AVERAGE: &str = "average/";

impl Table {
    fn named(&self, name: &str, tensor: &Tensor) -> Result<Named, Error> {
        let data = enas_kernels::candle::read(tensor, <[f32]>::to_vec)?;
        Ok(Named { name: name.to_owned(), shape: self.shape.clone(), data })
    }

    fn row_len(&self) -> usize {
        self.range.len() / self.rows
    }
}
