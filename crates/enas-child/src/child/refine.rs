//! Alternatives to the weights of the last step: an exponential moving average (EMA) of the weights, and batch-norm
//! statistics re-estimated for it.

use std::collections::BTreeMap;

use enas_arc::Arc;
use enas_kernels::BatchStats;

use super::Child;
use crate::autograd::Tape;
use crate::backend::{Cpu, Statistics, in_thread_pool};
use crate::batch::Batch;
use crate::error::Error;
use crate::loss::LossRule;
use crate::network::PassOptions;

/// Batch statistics of every batch norm of a network, summed up over batches: BN statistics re-estimation.
#[derive(Clone, Debug, Default)]
pub struct BatchStatistics {
    batches: u64,
    /// By index of the batch norm.
    sums: BTreeMap<usize, Sums>,
}

/// Sums over batches, per channel.
#[derive(Clone, Debug)]
struct Sums {
    means: Vec<f64>,
    /// Sums of unbiased variances.
    variances: Vec<f64>,
}

impl BatchStatistics {
    /// Number of batches so far.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    fn add(&mut self, batch_stats: &[(usize, BatchStats)]) {
        self.batches += 1;
        for (index, of) in batch_stats {
            let none = || Sums { means: vec![0.0; of.mean.len()], variances: vec![0.0; of.mean.len()] };
            let sums = self.sums.entry(*index).or_insert_with(none);
            let add = |sums: &mut [f64], values: &[f32]| {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
            };
            add(&mut sums.means, &of.mean);
            add(&mut sums.variances, &of.unbiased_variance());
        }
    }

    fn mean(&self, sums: &[f64]) -> Vec<f32> {
        sums.iter().map(|sum| (sum / self.batches as f64) as f32).collect()
    }
}

impl Child {
    /// Adds the batch statistics of every batch norm to `into`. The network does not change.
    ///
    /// The pass is that of an evaluation: without dropout, drop-path and auxiliary head. But every batch norm
    /// normalises with the statistics of the batch.
    ///
    /// # Errors
    /// As for [`logits`](Self::logits).
    pub fn gather_statistics(
        &self,
        arc: &Arc,
        images: impl Into<Batch>,
        into: &mut BatchStatistics,
    ) -> Result<(), Error> {
        let batch = images.into();
        self.check_batch(arc, &batch)?;
        let batch_stats = match &self.device {
            Some(device) => device.batch_stats(self.subnetwork(arc), &batch)?,
            None => in_thread_pool(|| self.batch_stats_on_host(arc, &batch))?,
        };
        into.add(&batch_stats);
        Ok(())
    }

    fn batch_stats_on_host(&self, arc: &Arc, batch: &Batch) -> Result<Vec<(usize, BatchStats)>, Error> {
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            let mut tape = Tape::new(&cpu, Statistics::Batch, false);
            let (images, _) = batch.on_host()?;
            let input = tape.input(self.network.map_of(images)?);
            let strategy = self.recompute.strategy(batch.len());
            self.network.forward(&mut tape, arc, input, PassOptions::new(None, &*strategy))?;
            Ok(std::mem::take(&mut tape.batch_stats))
        })
    }

    /// Replaces the moving statistics by averages over batches: of the means `m_i` and the unbiased variances
    /// `v_i·n/(n − 1)`, with equal weight for each batch. The batch norms of the auxiliary head keep theirs, because
    /// no batch went through them. The sums that further training steps would continue from also stay. So
    /// [`load`](Self::load) a state before training on.
    ///
    /// # Errors
    /// Errors of the GPU. Without any batch nothing changes.
    pub fn set_statistics(&mut self, seen: &BatchStatistics) -> Result<(), Error> {
        if let Some(device) = &self.device {
            device.download_running(&self.running)?;
        }
        for (index, sums) in &seen.sums {
            self.running.replace(*index, seen.mean(&sums.means), seen.mean(&sums.variances))?;
        }
        match &mut self.device {
            Some(device) => device.upload_running(&self.running),
            None => Ok(()),
        }
    }

    /// Starts an exponential moving average (EMA) of every weight, as a part of the [`state`](Self::state). It starts
    /// at the current weights.
    ///
    /// # Errors
    /// Errors of the GPU.
    pub fn keep_average(&mut self) -> Result<(), Error> {
        self.fetch()?;
        self.params.start_averages()?;
        match &mut self.device {
            Some(device) => device.upload(&self.params, &self.running),
            None => Ok(()),
        }
    }

    /// Updates the average: `average = decay·average + (1 − decay)·weight`. Does nothing if no average is kept.
    ///
    /// # Errors
    /// Errors of candle when it lends the tensors.
    pub fn update_average(&mut self, decay: f32) -> Result<(), Error> {
        match &self.device {
            Some(device) => device.move_averages(&self.params, 1.0 - decay)?,
            None => self.params.move_averages(1.0 - decay)?,
        }
        Ok(())
    }

    /// Replaces the weights by their average. Nothing else changes. [`load`](Self::load) a state before further
    /// training steps.
    ///
    /// # Errors
    /// Errors of the GPU, and if no average is kept.
    pub fn use_average(&mut self) -> Result<(), Error> {
        if !self.params.has_averages() {
            return Err(Error::State("no average of the weights is kept".to_owned()));
        }
        self.fetch()?;
        self.params.use_averages()?;
        match &mut self.device {
            Some(device) => device.upload(&self.params, &self.running),
            None => Ok(()),
        }
    }
}
