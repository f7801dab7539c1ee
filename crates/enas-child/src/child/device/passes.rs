//! The passes of a child on a GPU.

use std::sync::atomic::Ordering;

use enas_arc::Arc;
use enas_kernels::gpu::{self, GpuActivation};
use enas_kernels::{BatchStats, LANES, Nesterov};

use super::{OnDevice, STATS};
use crate::autograd::Tape;
use crate::backend::{Forward, Statistics};
use crate::batch::Batch;
use crate::child::StepStats;
use crate::error::Error;
use crate::network::pass::Pass;
use crate::network::{Network, PassOptions, Training};
use crate::params::{Gradients, Params};

/// A network with its parameters, along one arc.
#[derive(Clone, Copy)]
pub(crate) struct Subnetwork<'a> {
    pub(crate) network: &'a Network,
    pub(crate) params: &'a Params,
    pub(crate) arc: &'a Arc,
}

/// The results of a training pass that changes nothing, in host memory.
pub(crate) struct HostResults {
    pub(crate) logits: Vec<f32>,
    pub(crate) aux_logits: Option<Vec<f32>>,
    pub(crate) loss: f32,
    pub(crate) aux_loss: f32,
    /// The values of every cell's output, each with some of its channels.
    pub(crate) cells: Vec<Vec<HostMap>>,
    pub(crate) gradients: Gradients,
}

/// A feature map `[n, c, h, w]` in host memory.
pub(crate) struct HostMap {
    pub(crate) shape: (usize, usize, usize, usize),
    pub(crate) data: Vec<f32>,
}

impl OnDevice {
    /// The batch statistics of every batch norm with moving statistics, with its index, in a pass without dropout and
    /// drop-path.
    pub(crate) fn batch_stats(
        &self,
        Subnetwork { network, params, arc }: Subnetwork<'_>,
        batch: &Batch,
    ) -> Result<Vec<(usize, BatchStats)>, Error> {
        self.upload_changed_tensors(params)?;
        let stats = self.gpu.buffer(STATS);
        let running = self.running();
        let backend = self.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, Statistics::Batch, false);
        // Single precision, as evaluations use it.
        let input = tape.input(batch.images_on(&self.gpu, network.layout.input, gpu::Precision::F32)?);
        network.forward(&mut tape, arc, input, PassOptions::store_all(None))?;
        let batch_stats = std::mem::take(&mut tape.batch_stats);
        batch_stats.iter().map(|(index, stats)| Ok((*index, stats.download()?))).collect()
    }

    /// One training step. Waits for the device once, at its end, and calls `meanwhile` before it waits.
    pub(crate) fn train_step(
        &mut self,
        subnetwork: Subnetwork<'_>,
        batch: &Batch,
        training: Training<'_>,
        lr: f32,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let result = self.step(subnetwork, batch, training, lr, meanwhile);
        match result {
            Err(Error::Gpu(gpu::Error::OutOfMemory { asked, held })) => {
                // Clears the error that the failed step left in the device; later calls would report it again.
                let _ = self.gpu.finish();
                let fits = self.batch_that_fits(subnetwork, batch, training);
                Err(Error::DeviceMemory { asked, held, batch: batch.len(), fits })
            }
            other => other,
        }
    }

    fn step(
        &mut self,
        Subnetwork { network, params, arc }: Subnetwork<'_>,
        batch: &Batch,
        training: Training<'_>,
        lr: f32,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        self.upload_changed_tensors(params)?;
        let stats = self.gpu.zeros(STATS);
        let mut running = self.running();
        let backend = self.backend(params, &stats, &running);
        let (images, labels) = batch.examples_on(&self.gpu, network.layout.input, self.activations)?;
        let options = PassOptions::store_all(Some(training));
        let Pass { gradients, batch_stats, .. } = network.pass(&backend, arc, images, &labels, options)?;
        let config = &network.config;
        let rule = Nesterov { lr, momentum: config.momentum, l2: config.l2, scale: 1.0 };
        let norm = stats.span(4, 1);
        // The next calls change weights, so earlier launches must have succeeded.
        self.gpu.failure()?;
        rule.step_gpu(&self.weights.trained, &self.momentum, &gradients, config.clip_norm, norm);
        self.sync.copies_are_newer.store(true, Ordering::Relaxed);
        self.sync.tensors_may_be_newer.store(false, Ordering::Relaxed);
        for (index, stats) in &batch_stats {
            running[*index].update(stats);
        }
        // The launches are queued. The download below waits for them.
        meanwhile();
        let [loss, correct, aux_loss, _, grad_norm] = stats.download(0, STATS)?[..] else {
            unreachable!("as many numbers as were asked for")
        };
        Ok(StepStats { loss, aux_loss, correct: correct as usize, n: batch.len(), grad_norm })
    }

    /// The largest multiple of sixteen below the batch size that fits into memory, by bisection over trial passes;
    /// `None` if sixteen images do not fit. Free memory alone does not tell, because it may be fragmented.
    fn batch_that_fits(
        &self,
        Subnetwork { network, params, arc }: Subnetwork<'_>,
        batch: &Batch,
        training: Training<'_>,
    ) -> Option<usize> {
        let fits = |n: usize| {
            let Ok(few) = batch.first(n) else { return false };
            self.gpu.release_idle();
            let stats = self.gpu.zeros(STATS);
            let running = self.running();
            let backend = self.backend(params, &stats, &running);
            let examples = few.examples_on(&self.gpu, network.layout.input, self.activations);
            let Ok((images, labels)) = examples else { return false };
            let options = PassOptions::store_all(Some(training));
            let passed = network.pass(&backend, arc, images, &labels, options).is_ok();
            self.gpu.finish().is_ok() && passed
        };
        let mut least = 0;
        let mut too_many = batch.len().div_ceil(LANES);
        while too_many - least > 1 {
            let middle = usize::midpoint(least, too_many);
            if fits(middle * LANES) { least = middle } else { too_many = middle }
        }
        (least > 0).then_some(least * LANES)
    }

    /// Logits `[n, classes]`; `factors` `[n, channels]` scale the features (dropout).
    pub(crate) fn logits(
        &self,
        Subnetwork { network, params, arc }: Subnetwork<'_>,
        batch: &Batch,
        statistics: Statistics,
        factors: Option<Vec<f32>>,
    ) -> Result<Vec<f32>, Error> {
        self.upload_changed_tensors(params)?;
        let stats = self.gpu.buffer(STATS);
        let running = self.running();
        let backend = self.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, statistics, false);
        let images = batch.images_on(&self.gpu, network.layout.input, self.precision(statistics))?;
        let input = tape.input(images);
        let mut features = network.forward(&mut tape, arc, input, PassOptions::store_all(None))?.main;
        if let Some(factors) = factors {
            features.data = gpu::scale_features(&features.data, &self.gpu.upload(&factors), features.len);
        }
        let logits = backend.classify(&network.classifier, &features);
        Ok(logits.data.download(0, logits.len)?)
    }

    /// A training pass that changes nothing.
    pub(crate) fn inspect(
        &self,
        Subnetwork { network, params, arc }: Subnetwork<'_>,
        batch: &Batch,
        training: Training<'_>,
    ) -> Result<HostResults, Error> {
        self.upload_changed_tensors(params)?;
        let stats = self.gpu.zeros(STATS);
        let running = self.running();
        let backend = self.backend(params, &stats, &running);
        let (images, labels) = batch.examples_on(&self.gpu, network.layout.input, self.activations)?;
        let options = PassOptions::store_all(Some(training)).with_cells();
        let pass = network.pass(&backend, arc, images, &labels, options)?;
        let fetch = |value: &GpuActivation| Ok(HostMap { shape: value.map.shape(), data: value.to_nchw()? });
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|value| fetch(&value.value)).collect());
        let cells = cells.collect::<Result<_, gpu::Error>>()?;
        let gradients = params.gradients_from(&pass.gradients.download(0, params.device_len())?);
        let stats = stats.download(0, STATS)?;
        let logits = pass.logits.data.download(0, pass.logits.len)?;
        let aux = pass.aux.map(|(logits, _)| logits.data.download(0, logits.len)).transpose()?;
        Ok(HostResults { logits, aux_logits: aux, loss: stats[0], aux_loss: stats[2], cells, gradients })
    }
}
