//! Weights, momentum and averages as named tensors.

use std::collections::BTreeSet;

use candle_core::Tensor;
use enas_kernels::candle::{Guards, read, write};
use rayon::prelude::*;

use super::Params;
use super::table::{NamedTensor, Table};
use crate::error::Error;

pub(super) const MOMENTUM: &str = "momentum/";
pub(crate) const AVERAGE: &str = "average/";

impl Params {
    /// Whether moving averages (EMA) are kept.
    pub(crate) fn has_averages(&self) -> bool {
        !self.averages().is_empty()
    }

    /// Starts moving averages at the current values.
    pub(crate) fn start_averages(&self) -> Result<(), Error> {
        let copies = self.tensors.iter().map(|tensor| tensor.detach().copy());
        *self.averages() = copies.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Updates every average: `average += share·(value − average)`.
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

    /// Replaces the values by their averages.
    pub(crate) fn use_averages(&self) -> Result<(), Error> {
        let averages = self.averages();
        let guards = Guards::new(averages.iter());
        for (tensor, average) in self.tensors.iter().zip(guards.slices()?) {
            write(tensor, |values| values.copy_from_slice(average))?;
        }
        Ok(())
    }

    /// Copies of the weights with their names.
    pub(crate) fn export(&self) -> Result<Vec<NamedTensor>, Error> {
        self.tensors().map(|(name, tensor)| copied(name.to_owned(), tensor)).collect()
    }

    /// Copies of the optimiser's state: `momentum/<name>`.
    pub(crate) fn export_momentum(&self) -> Result<Vec<NamedTensor>, Error> {
        self.optimizer().state().map(|(name, momentum)| copied(name, momentum)).collect()
    }

    /// Copies of the moving averages: `average/<name>`.
    pub(crate) fn export_averages(&self) -> Result<Vec<NamedTensor>, Error> {
        let averages = self.averages();
        let named = self.names().zip(averages.iter());
        named.map(|(name, average)| copied(format!("{AVERAGE}{name}"), average)).collect()
    }

    /// Loads a tensor by name: weights, momentum or averages. Returns whether the name is known.
    pub(crate) fn import(&self, (full_name, tensor): &NamedTensor) -> Result<bool, Error> {
        let of = |prefix: &str| full_name.strip_prefix(prefix);
        let averages = self.averages();
        let (name, target) = match (of(MOMENTUM), of(AVERAGE)) {
            (Some(name), _) => (name, None),
            (_, Some(_)) if averages.is_empty() => return Ok(false),
            (_, Some(name)) => (name, Some(&*averages)),
            _ => (full_name.as_str(), Some(&self.tensors)),
        };
        let Some(index) = self.tables.iter().position(|t| t.name == name) else { return Ok(false) };
        let want = &self.tables[index].shape;
        if want.as_slice() != tensor.dims() {
            let got = tensor.dims();
            return Err(Error::State(format!("{full_name} has shape {got:?}, the network needs {want:?}")));
        }
        match target {
            Some(target) => overwrite(&target[index], tensor)?,
            // Momentum of untrained tensors is ignored.
            None => read(tensor, |numbers| self.optimizer().load(full_name, numbers).map(drop))??,
        }
        Ok(true)
    }

    /// Loads a weight if name and shape match; returns whether they do.
    pub(crate) fn load_matching(&self, (name, tensor): &NamedTensor) -> Result<bool, Error> {
        let fits = |table: &Table| table.name == *name && table.shape == tensor.dims();
        let Some(index) = self.tables.iter().position(fits) else { return Ok(false) };
        overwrite(&self.tensors[index], tensor)?;
        Ok(true)
    }
}

/// A copy of a tensor, without gradient tracking.
pub(super) fn copied(name: String, tensor: &Tensor) -> Result<NamedTensor, Error> {
    Ok((name, tensor.detach().copy()?))
}

/// Writes the values of one tensor into another of the same shape.
fn overwrite(target: &Tensor, tensor: &Tensor) -> Result<(), Error> {
    Ok(read(tensor, |numbers| write(target, |target| target.copy_from_slice(numbers)))??)
}

/// The first of the names `wanted` that `tensors` do not have.
pub(super) fn missing_tensor<'n>(
    wanted: impl IntoIterator<Item = &'n str>,
    tensors: &[NamedTensor],
) -> Option<&'n str> {
    let names: BTreeSet<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    wanted.into_iter().find(|name| !names.contains(name))
}
