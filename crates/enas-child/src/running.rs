//! Moving statistics of batch norms: tensors under the names of the authors' code, and the sums that updates continue
//! from.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use enas_kernels::candle::{read, write};
use enas_kernels::{BatchStats, RunningStats};

use crate::params::copied;
use crate::{Error, NamedTensor};

/// The moving statistics of one batch norm. The network uses the values in the tensors, also if other code has
/// written to them, as candle's `VarMap::load` does.
#[derive(Debug)]
pub(crate) struct Moving {
    /// The name of the batch norm.
    pub(crate) name: String,
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    moments: RunningStats,
}

/// The moving statistics of a whole network, by index of the batch norm.
#[derive(Debug)]
pub(crate) struct Running(Mutex<Vec<Moving>>);

/// Number of updates after which the bias correction `1/(1 − 0.9^t)` is 1. It is set for statistics of unknown age.
const SETTLED: u64 = 1000;

impl Moving {
    /// Before any update.
    pub(crate) fn new(name: String, mean: Tensor, variance: Tensor) -> Self {
        let moments = RunningStats::new(mean.elem_count());
        Self { name, mean, variance, moments }
    }

    /// Reads values that other code has written to the tensors.
    fn refresh(&mut self) -> Result<(), Error> {
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut self.moments;
        let mut written = false;
        for (tensor, own) in [(&self.mean, &mut *mean), (&self.variance, &mut *variance)] {
            written |= read(tensor, |numbers| {
                let differs = numbers.iter().zip(&*own).any(|(a, b)| a.to_bits() != b.to_bits());
                if differs {
                    own.copy_from_slice(numbers);
                }
                differs
            })?;
        }
        if written {
            // The biased sums are unknown now. With a correction of 1 they equal the statistics.
            biased_mean.clone_from(mean);
            biased_variance.clone_from(variance);
            *updates = SETTLED;
        }
        Ok(())
    }

    /// Writes the statistics to the tensors.
    fn publish(&self) -> Result<(), Error> {
        write(&self.mean, |numbers| numbers.copy_from_slice(&self.moments.mean))?;
        Ok(write(&self.variance, |numbers| numbers.copy_from_slice(&self.moments.variance))?)
    }

    /// The tensors with their names.
    fn published(&self) -> [(String, &Tensor); 2] {
        let name = |kind| format!("{}/moving_{kind}", self.name);
        [(name("mean"), &self.mean), (name("variance"), &self.variance)]
    }
}

impl Running {
    pub(crate) fn new(all: Vec<Moving>) -> Self {
        Self(Mutex::new(all))
    }

    fn all(&self) -> MutexGuard<'_, Vec<Moving>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current statistics.
    pub(crate) fn current(&self) -> Result<Vec<RunningStats>, Error> {
        let refreshed = |moving: &mut Moving| moving.refresh().map(|()| moving.moments.clone());
        self.all().iter_mut().map(refreshed).collect()
    }

    /// Replaces all statistics.
    pub(crate) fn set(&self, moments: Vec<RunningStats>) -> Result<(), Error> {
        for (moving, moments) in self.all().iter_mut().zip(moments) {
            moving.moments = moments;
            moving.publish()?;
        }
        Ok(())
    }

    /// Updates the moving statistics with those of a batch.
    pub(crate) fn update(&self, batch: &[(usize, BatchStats)]) -> Result<(), Error> {
        let mut all = self.all();
        for (index, moments) in batch {
            let moving = &mut all[*index];
            moving.refresh()?;
            moving.moments.update(moments);
            moving.publish()?;
        }
        Ok(())
    }

    /// Replaces mean and variance of one batch norm, but not the sums that updates continue from.
    pub(crate) fn replace(&self, index: usize, mean: Vec<f32>, variance: Vec<f32>) -> Result<(), Error> {
        let moving = &mut self.all()[index];
        (moving.moments.mean, moving.moments.variance) = (mean, variance);
        moving.publish()
    }

    /// The tensors with their names.
    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let all = self.all();
        all.iter()
            .flat_map(|moving| moving.published().map(|(name, tensor)| (name, tensor.clone())))
            .collect()
    }

    /// Copies of the tensors.
    pub(crate) fn export(&self) -> Result<Vec<NamedTensor>, Error> {
        self.tensors().into_iter().map(|(name, tensor)| copied(name, &tensor)).collect()
    }

    /// Copies of the sums that updates continue from.
    pub(crate) fn export_sums(&self) -> Result<Vec<NamedTensor>, Error> {
        let (mut tensors, mut all) = (Vec::new(), self.all());
        for moving in all.iter_mut() {
            moving.refresh()?;
            let RunningStats { biased_mean, biased_variance, updates, .. } = &moving.moments;
            // Two 24-bit halves: a single f32 would lose counts above 2²⁴.
            let updates = [(updates >> 24) as f32, (updates & 0xFF_FFFF) as f32];
            let sums: [(&str, &[f32]); 3] =
                [("biased_mean", biased_mean), ("biased_variance", biased_variance), ("updates", &updates)];
            for (kind, numbers) in sums {
                tensors.push((format!("{}/{kind}", moving.name), Tensor::new(numbers, &Device::Cpu)?));
            }
        }
        Ok(tensors)
    }

    /// Loads a tensor by name. Returns whether the name is known.
    pub(crate) fn import(&self, (name, tensor): &NamedTensor) -> Result<bool, Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(false) };
        let mut all = self.all();
        let Some(moving) = all.iter_mut().find(|moving| moving.name == scope) else { return Ok(false) };
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut moving.moments;
        let target = match kind {
            "moving_mean" => mean,
            "moving_variance" => variance,
            "biased_mean" => biased_mean,
            "biased_variance" => biased_variance,
            "updates" => {
                let [high, low] = read(tensor, <[f32]>::to_vec)?[..] else {
                    return Err(Error::State(format!("{name} does not hold two numbers")));
                };
                *updates = ((high as u64) << 24) | low as u64;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        if target.len() != tensor.elem_count() {
            let (got, want) = (tensor.elem_count(), target.len());
            return Err(Error::State(format!("{name} holds {got} numbers, the network needs {want}")));
        }
        read(tensor, |numbers| target.copy_from_slice(numbers))?;
        moving.publish()?;
        Ok(true)
    }

    /// Loads moving statistics of another network, if name and size match.
    pub(crate) fn adopt(&self, (name, tensor): &NamedTensor) -> Result<(), Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(()) };
        let mut all = self.all();
        let Some(moving) = all.iter_mut().find(|moving| moving.name == scope) else { return Ok(()) };
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut moving.moments;
        let targets = match kind {
            "moving_mean" => [mean, biased_mean],
            "moving_variance" => [variance, biased_variance],
            _ => return Ok(()),
        };
        if targets[0].len() == tensor.elem_count() {
            read(tensor, |numbers| targets.into_iter().for_each(|target| target.copy_from_slice(numbers)))?;
            *updates = SETTLED;
            moving.publish()?;
        }
        Ok(())
    }
}
