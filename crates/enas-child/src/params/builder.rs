//! Makes weights, or only their names and sizes.

use std::sync::Mutex;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use enas_kernels::candle::NesterovConfig;
use enas_kernels::gpu::TensorList;

use super::table::{ParamId, Row, Table};
use super::{Params, optimizer};
use crate::error::Error;

/// The initial values of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    /// He initialisation: normal with variance `2/fan_in`, truncated at two standard deviations by drawing again (He
    /// et al., 2015; `common_ops.py:29`).
    He { fan_in: usize },
    /// The same value everywhere.
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

/// Builds [`Params`].
pub(crate) struct ParamsBuilder<'v> {
    builder: Option<VarBuilder<'v>>,
    collected: Collected,
    /// The first error: a missing tensor, or one of another shape.
    failure: Option<candle_core::Error>,
}

/// What the built parts have asked for so far.
#[derive(Default)]
struct Collected {
    len: usize,
    device_len: usize,
    tensors: Vec<Tensor>,
    tables: Vec<Table>,
    rows: Vec<Row>,
}

impl<'v> ParamsBuilder<'v> {
    /// With the tensors of a builder. Without one, only names, shapes and offsets are collected; the values must not
    /// be read.
    pub(crate) fn new(builder: Option<VarBuilder<'v>>) -> Self {
        Self { builder, collected: Collected::default(), failure: None }
    }

    /// Number of values, whether or not there are tensors.
    pub(crate) fn len(&self) -> usize {
        self.collected.len
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
        let params = &mut self.collected;
        let trained = trained && tensor.as_ref().is_none_or(Tensor::is_variable);
        let start = params.len;
        let first_row = params.rows.len();
        let table = params.tables.len();
        let place = params.device_len.next_multiple_of(TensorList::ALIGNMENT);
        params.len += len;
        params.device_len = place + len;
        params.tensors.extend(tensor);
        let shape = shape.to_vec();
        let range = start..start + len;
        params.tables.push(Table { name, shape, range, place, first_row, rows, trained });
        let row = len / rows;
        params.rows.extend((0..rows).map(|r| Row { table, range: r * row..(r + 1) * row, trained }));
        (first_row..first_row + rows).map(ParamId).collect()
    }

    /// The builder's tensor of this name; `None` without a builder or after a failure.
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

    /// The weights, with a new optimiser.
    pub(crate) fn build(self, config: NesterovConfig) -> Result<Params, Error> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        let Collected { len, device_len, tensors, tables, rows } = self.collected;
        let optimizer = Mutex::new(optimizer(&tensors, &tables, config)?);
        Ok(Params { len, device_len, tensors, tables, rows, optimizer, averages: Mutex::default() })
    }

    /// Names, shapes and offsets without values.
    pub(crate) fn sizes_only(self) -> Params {
        self.build(NesterovConfig::default()).expect("nothing was asked of a builder")
    }
}
