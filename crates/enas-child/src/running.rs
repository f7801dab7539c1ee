//! Moving statistics of batch norms: tensors under their published names, and the sums that updates go on from.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use enas_kernels::candle::{read, write};
use enas_kernels::{Moments, RunningMoments};

use crate::params::copied;
use crate::{Error, NamedTensor};

/// The moving statistics of one batch norm. The network uses what the tensors hold, also after
/// others wrote to them, as candle's `VarMap::load` does.
#[derive(Debug)]
pub(crate) struct Moving {
    /// The name of the batch norm.
    pub(crate) name: String,
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    moments: RunningMoments,
}

/// Those of a whole network, by the index of the batch norm.
#[derive(Debug)]
pub(crate) struct Running(Mutex<Vec<Moving>>);

/// Updates after which moving statistics no longer show that they began at nothing.
const SETTLED: u64 = 1000;

impl Moving {
    /// Before any update.
    pub(crate) fn new(name: String, mean: Tensor, variance: Tensor) -> Self {
        let moments = RunningMoments::new(mean.elem_count());
        Self { name, mean, variance, moments }
    }

    /// Takes over what was written to the tensors from outside.
    fn refresh(&mut self) -> Result<(), Error> {
        let RunningMoments { mean, variance, biased_mean, biased_variance, updates } = &mut self.moments;
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
            // Both sums must belong to the number of updates.
            biased_mean.clone_from(mean);
            biased_variance.clone_from(variance);
            *updates = SETTLED;
        }
        Ok(())
    }

    /// Writes the tensors.
    fn publish(&self) -> Result<(), Error> {
        write(&self.mean, |numbers| numbers.copy_from_slice(&self.moments.mean))?;
        Ok(write(&self.variance, |numbers| numbers.copy_from_slice(&self.moments.variance))?)
    }

    /// The published tensors.
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

    /// The statistics as they are now.
    pub(crate) fn current(&self) -> Result<Vec<RunningMoments>, Error> {
        let refreshed = |moving: &mut Moving| moving.refresh().map(|()| moving.moments.clone());
        self.all().iter_mut().map(refreshed).collect()
    }

    /// Takes over other ones, all of them.
    pub(crate) fn set(&self, moments: Vec<RunningMoments>) -> Result<(), Error> {
        for (moving, moments) in self.all().iter_mut().zip(moments) {
            moving.moments = moments;
            moving.publish()?;
        }
        Ok(())
    }

    /// Takes in the statistics of a batch.
    pub(crate) fn update(&self, batch: &[(usize, Moments)]) -> Result<(), Error> {
        let mut all = self.all();
        for (index, moments) in batch {
            let moving = &mut all[*index];
            moving.refresh()?;
            moving.moments.update(moments);
            moving.publish()?;
        }
        Ok(())
    }

    /// Takes over mean and variance of one batch norm, but not the sums from which updates go on.
    pub(crate) fn replace(&self, index: usize, mean: Vec<f32>, variance: Vec<f32>) -> Result<(), Error> {
        let moving = &mut self.all()[index];
        (moving.moments.mean, moving.moments.variance) = (mean, variance);
        moving.publish()
    }

    /// The published tensors with their names.
    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let all = self.all();
        all.iter()
            .flat_map(|moving| moving.published().map(|(name, tensor)| (name, tensor.clone())))
            .collect()
    }

    /// Copies of the published tensors.
    pub(crate) fn export(&self) -> Result<Vec<NamedTensor>, Error> {
        self.tensors().into_iter().map(|(name, tensor)| copied(name, &tensor)).collect()
    }

    /// What updates go on from.
    pub(crate) fn export_sums(&self) -> Result<Vec<NamedTensor>, Error> {
        let (mut tensors, mut all) = (Vec::new(), self.all());
        for moving in all.iter_mut() {
            moving.refresh()?;
            let RunningMoments { biased_mean, biased_variance, updates, .. } = &moving.moments;
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

    /// Takes over a tensor by name. Returns whether the name is one of these.
    pub(crate) fn import(&self, (name, tensor): &NamedTensor) -> Result<bool, Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(false) };
        let mut all = self.all();
        let Some(moving) = all.iter_mut().find(|moving| moving.name == scope) else { return Ok(false) };
        let RunningMoments { mean, variance, biased_mean, biased_variance, updates } = &mut moving.moments;
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

    /// Takes over the moving statistics of another network, where one of these has their name and size.
    pub(crate) fn adopt(&self, (name, tensor): &NamedTensor) -> Result<(), Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(()) };
        let mut all = self.all();
        let Some(moving) = all.iter_mut().find(|moving| moving.name == scope) else { return Ok(()) };
        let RunningMoments { mean, variance, biased_mean, biased_variance, updates } = &mut moving.moments;
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
