//! Moving statistics of batch norms: tensors under the names of the authors' code, and the sums that updates continue
//! from.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use enas_kernels::candle::{read, write};
use enas_kernels::{BatchStats, RunningStats};

use super::state::copied;
use super::table::NamedTensor;
use crate::error::Error;

/// The moving statistics of one batch norm. The network uses the values in the tensors, also if other code has
/// written to them, as candle's `VarMap::load` does.
#[derive(Debug)]
pub(crate) struct NormRunningStats {
    /// The name of the batch norm.
    pub(crate) name: String,
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    stats: RunningStats,
}

/// The moving statistics of a whole network, by index of the batch norm.
#[derive(Debug)]
pub(crate) struct NetworkRunningStats(Mutex<Vec<NormRunningStats>>);

/// Number of updates after which the bias correction `1/(1 − 0.9^t)` is 1. It is set for statistics of unknown age.
const UNBIASED_AFTER: u64 = 1000;

impl NormRunningStats {
    /// Before any update.
    pub(crate) fn new(name: String, mean: Tensor, variance: Tensor) -> Self {
        let stats = RunningStats::new(mean.elem_count());
        Self { name, mean, variance, stats }
    }

    /// Reads values that other code has written to the tensors.
    fn refresh(&mut self) -> Result<(), Error> {
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut self.stats;
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
            *updates = UNBIASED_AFTER;
        }
        Ok(())
    }

    /// Writes the statistics to the tensors.
    fn publish(&self) -> Result<(), Error> {
        write(&self.mean, |numbers| numbers.copy_from_slice(&self.stats.mean))?;
        Ok(write(&self.variance, |numbers| numbers.copy_from_slice(&self.stats.variance))?)
    }

    /// The tensors with their names.
    fn published(&self) -> [(String, &Tensor); 2] {
        let name = |kind| format!("{}/moving_{kind}", self.name);
        [(name("mean"), &self.mean), (name("variance"), &self.variance)]
    }
}

impl NetworkRunningStats {
    pub(crate) fn new(all: Vec<NormRunningStats>) -> Self {
        Self(Mutex::new(all))
    }

    fn all(&self) -> MutexGuard<'_, Vec<NormRunningStats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current statistics.
    pub(crate) fn current(&self) -> Result<Vec<RunningStats>, Error> {
        let refreshed = |norm: &mut NormRunningStats| norm.refresh().map(|()| norm.stats.clone());
        self.all().iter_mut().map(refreshed).collect()
    }

    /// Replaces all statistics.
    pub(crate) fn set(&self, all_stats: Vec<RunningStats>) -> Result<(), Error> {
        for (norm, stats) in self.all().iter_mut().zip(all_stats) {
            norm.stats = stats;
            norm.publish()?;
        }
        Ok(())
    }

    /// Updates the moving statistics with those of a batch.
    pub(crate) fn update(&self, batch: &[(usize, BatchStats)]) -> Result<(), Error> {
        let mut all = self.all();
        for (index, batch_stats) in batch {
            let norm = &mut all[*index];
            norm.refresh()?;
            norm.stats.update(batch_stats);
            norm.publish()?;
        }
        Ok(())
    }

    /// Replaces mean and variance of one batch norm, but not the sums that updates continue from.
    pub(crate) fn replace(&self, index: usize, mean: Vec<f32>, variance: Vec<f32>) -> Result<(), Error> {
        let norm = &mut self.all()[index];
        (norm.stats.mean, norm.stats.variance) = (mean, variance);
        norm.publish()
    }

    /// The tensors with their names.
    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let all = self.all();
        all.iter().flat_map(|norm| norm.published().map(|(name, tensor)| (name, tensor.clone()))).collect()
    }

    /// Copies of the tensors.
    pub(crate) fn export(&self) -> Result<Vec<NamedTensor>, Error> {
        self.tensors().into_iter().map(|(name, tensor)| copied(name, &tensor)).collect()
    }

    /// Copies of the sums that updates continue from.
    pub(crate) fn export_sums(&self) -> Result<Vec<NamedTensor>, Error> {
        let mut tensors = Vec::new();
        let mut all = self.all();
        for norm in all.iter_mut() {
            norm.refresh()?;
            let RunningStats { biased_mean, biased_variance, updates, .. } = &norm.stats;
            // Two 24-bit halves: a single f32 would lose counts above 2²⁴.
            let updates = [(updates >> 24) as f32, (updates & 0xFF_FFFF) as f32];
            let sums: [(&str, &[f32]); 3] =
                [("biased_mean", biased_mean), ("biased_variance", biased_variance), ("updates", &updates)];
            for (kind, numbers) in sums {
                tensors.push((format!("{}/{kind}", norm.name), Tensor::new(numbers, &Device::Cpu)?));
            }
        }
        Ok(tensors)
    }

    /// Loads a tensor by name. Returns whether the name is known.
    pub(crate) fn import(&self, (name, tensor): &NamedTensor) -> Result<bool, Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(false) };
        let mut all = self.all();
        let Some(norm) = all.iter_mut().find(|norm| norm.name == scope) else { return Ok(false) };
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut norm.stats;
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
            let got = tensor.elem_count();
            let want = target.len();
            return Err(Error::State(format!("{name} holds {got} numbers, the network needs {want}")));
        }
        read(tensor, |numbers| target.copy_from_slice(numbers))?;
        norm.publish()?;
        Ok(true)
    }

    /// Loads moving statistics of another network, if name and size match.
    pub(crate) fn load_matching(&self, (name, tensor): &NamedTensor) -> Result<(), Error> {
        let Some((scope, kind)) = name.rsplit_once('/') else { return Ok(()) };
        let mut all = self.all();
        let Some(norm) = all.iter_mut().find(|norm| norm.name == scope) else { return Ok(()) };
        let RunningStats { mean, variance, biased_mean, biased_variance, updates } = &mut norm.stats;
        let targets = match kind {
            "moving_mean" => [mean, biased_mean],
            "moving_variance" => [variance, biased_variance],
            _ => return Ok(()),
        };
        if targets[0].len() == tensor.elem_count() {
            read(tensor, |numbers| targets.into_iter().for_each(|target| target.copy_from_slice(numbers)))?;
            *updates = UNBIASED_AFTER;
            norm.publish()?;
        }
        Ok(())
    }
}
