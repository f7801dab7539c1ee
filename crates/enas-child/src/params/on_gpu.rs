//! Weights on a GPU, and the buffers there that hold one value for every weight: momentum, averages, gradients.

use candle_core::Tensor;
use enas_kernels::candle::{Guards, write};
use enas_kernels::gpu::{self, Buffer, Gpu, TensorList};

use super::table::{ParamId, Row, Table};
use super::{Gradients, Params};
use crate::error::Error;

impl Params {
    /// Whether the tensors are on a GPU, so that no copies are needed.
    pub(crate) fn are_on_gpu(&self) -> bool {
        self.tensors.first().is_some_and(|tensor| tensor.device().is_cuda())
    }

    /// The values of every table on a GPU: the tensors' own memory if they are there, otherwise copies.
    pub(crate) fn values_on(&self, gpu: &Gpu) -> Result<Vec<Buffer>, Error> {
        if self.are_on_gpu() {
            return Ok(self.tensors.iter().map(Buffer::of).collect::<Result<_, _>>()?);
        }
        self.read(|weights| Ok(weights.slices.iter().map(|numbers| gpu.upload(numbers)).collect()))
    }

    /// Copies the values of every table to their copies on a GPU.
    pub(crate) fn write_values(&self, copies: &[Buffer]) -> Result<(), Error> {
        self.read(|weights| {
            copies.iter().zip(weights.slices).for_each(|(copy, numbers)| copy.upload(0, numbers));
            Ok(())
        })
    }

    /// Copies values from a GPU back into the tensors.
    pub(crate) fn set_values(&self, values: &[Buffer]) -> Result<(), Error> {
        for ((table, tensor), values) in self.tables.iter().zip(&self.tensors).zip(values) {
            let values = values.download(0, table.range.len())?;
            write(tensor, |numbers| numbers.copy_from_slice(&values))?;
        }
        Ok(())
    }

    /// All tables, or the trained ones, for kernels that update them.
    pub(crate) fn apart(&self, gpu: &Gpu, values: &[Buffer], trained: bool) -> TensorList {
        let tables = self.tables.iter().zip(values).filter(|(table, _)| table.trained || !trained);
        TensorList::new(gpu, tables.map(|(table, values)| (values.clone(), table.place, table.range.len())))
    }

    /// A copy of the momentum on a GPU. Untrained tables have zeros.
    pub(crate) fn momentum_on(&self, gpu: &Gpu) -> Result<Buffer, Error> {
        let optimizer = self.optimizer();
        let mut momentum = vec![0.0; self.device_len];
        for ((_, state), table) in optimizer.state().zip(self.tables.iter().filter(|t| t.trained)) {
            table.write_to(&mut momentum, state)?;
        }
        Ok(gpu.upload(&momentum))
    }

    /// Replaces the momentum by a copy from a GPU.
    pub(crate) fn set_momentum(&self, momentum: &Buffer) -> Result<(), Error> {
        let optimizer = self.optimizer();
        let momentum = momentum.download(0, self.device_len)?;
        for table in self.tables.iter().filter(|table| table.trained) {
            optimizer.load(&format!("{}{}", super::state::MOMENTUM, table.name), table.slice(&momentum))?;
        }
        Ok(())
    }

    /// A copy of the moving averages on a GPU, if they are kept.
    pub(crate) fn averages_on(&self, gpu: &Gpu) -> Result<Option<Buffer>, Error> {
        let averages = self.averages();
        let mut numbers = vec![0.0; self.device_len];
        for (average, table) in averages.iter().zip(&self.tables) {
            table.write_to(&mut numbers, average)?;
        }
        Ok((!averages.is_empty()).then(|| gpu.upload(&numbers)))
    }

    /// Replaces the moving averages by a copy from a GPU.
    pub(crate) fn set_averages(&self, copy: &Buffer) -> Result<(), Error> {
        let averages = self.averages();
        let numbers = copy.download(0, self.device_len)?;
        for (average, table) in averages.iter().zip(&self.tables) {
            write(average, |average| average.copy_from_slice(table.slice(&numbers)))?;
        }
        Ok(())
    }

    /// The gradients of all parameters, from their values in the order of a GPU buffer.
    pub(crate) fn gradients_from(&self, values: &[f32]) -> Gradients {
        let row = |(id, row): (ParamId, &Row)| row.trained.then(|| values[self.device_range(id)].to_vec());
        Gradients::from_rows(self.rows().map(row).collect())
    }

    /// Gradients on a GPU as tensors, one per table; `None` for tables without a visited row.
    pub(crate) fn gradient_tensors_on(
        &self,
        all: &Buffer,
        visited: &[bool],
    ) -> candle_core::Result<Vec<Option<Tensor>>> {
        let of_table = |(table, visited): (&Table, &bool)| {
            let gradient = |table: &Table| {
                let len = table.range.len();
                let own = all.gpu().buffer(len);
                gpu::copy_numbers(all.span(table.place, len), own.span(0, len));
                own.into_tensor(table.shape.as_slice())
            };
            (*visited && table.trained).then(|| gradient(table)).transpose()
        };
        self.tables.iter().zip(visited).map(of_table).collect()
    }
}

impl Table {
    /// The table's part of a GPU buffer.
    fn slice<'n>(&self, all: &'n [f32]) -> &'n [f32] {
        &all[self.place..][..self.range.len()]
    }

    /// Writes a tensor's values to the table's part of a GPU buffer.
    fn write_to(&self, all: &mut [f32], tensor: &Tensor) -> Result<(), Error> {
        let guards = Guards::new([tensor]);
        all[self.place..][..self.range.len()].copy_from_slice(guards.slices()?[0]);
        Ok(())
    }
}
