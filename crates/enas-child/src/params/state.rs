//! Weights, momentum and averages as named tensors, and in one piece each.

use candle_core::Tensor;
use enas_kernels::candle::{Guards, write};
use rayon::prelude::*;

use super::{Params, Table};
use crate::{Error, Named};

pub(super) const MOMENTUM: &str = "momentum/";
pub(crate) const AVERAGE: &str = "average/";

impl Params {
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

impl Table {
    fn named(&self, name: &str, tensor: &Tensor) -> Result<Named, Error> {
        let data = enas_kernels::candle::read(tensor, <[f32]>::to_vec)?;
        Ok(Named { name: name.to_owned(), shape: self.shape.clone(), data })
    }
}
