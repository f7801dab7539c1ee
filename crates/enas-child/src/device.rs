//! A child on a GPU: its numbers live there, and so do its passes.

use std::cell::{Cell, RefCell};

use enas_arc::Arc;
use enas_kernels::gpu::{self, Buffer, Gpu, GpuLossRule, GpuRunningMoments, GpuValue, Precision};
use enas_kernels::{LANES, Moments, Nesterov, RunningMoments};

use crate::backend::{Backend, OnGpu, Statistics};
use crate::examples::Batch;
use crate::network::{Network, Training};
use crate::params::{Gradients, Params};
use crate::pass::Pass;
use crate::running::Running;
use crate::tape::Tape;
use crate::walk::Kept;
use crate::{Child, Error, StepStats};

/// Numbers that a step leaves for the host: loss and number right of either classifier, and the gradient's norm.
const STATS: usize = 5;

/// The numbers of a child that lives on a GPU.
#[derive(Debug)]
pub(crate) struct OnDevice {
    gpu: Gpu,
    /// Of the maps of passes that take statistics of their batch: all in training, and rewards.
    activations: Precision,
    values: Buffer,
    momentum: Buffer,
    /// Moving averages of the values, if they are kept.
    averages: Option<Buffer>,
    running: Vec<GpuRunningMoments>,
    class_weights: Buffer,
    smoothing: f32,
}

/// What a pass on the device computed, in the host's memory.
pub(crate) struct Inspected {
    pub(crate) logits: Vec<f32>,
    pub(crate) aux_logits: Option<Vec<f32>>,
    pub(crate) loss: f32,
    pub(crate) aux_loss: f32,
    /// The parts of every cell's output.
    pub(crate) cells: Vec<Vec<Part>>,
    pub(crate) gradients: Gradients,
}

/// Some channels of a cell's output, `[n, c, h, w]`.
pub(crate) struct Part {
    pub(crate) shape: (usize, usize, usize, usize),
    pub(crate) data: Vec<f32>,
}

impl Child {
    /// Moves the child to a GPU, where all its passes are computed from now on. Results equal those on the CPU but
    /// for rounding.
    ///
    /// `activations` is how passes that normalise with the statistics of their batch keep activations and their
    /// gradients in memory. Passes with moving statistics keep them in single precision, so that a trained network
    /// answers the same wherever it is asked.
    ///
    /// # Errors
    /// If the weights and their momentum do not fit into its memory.
    pub fn use_gpu(&mut self, gpu: &Gpu, activations: Precision) -> Result<(), Error> {
        let mut device = OnDevice {
            gpu: gpu.clone(),
            activations,
            values: gpu.buffer(0),
            momentum: gpu.buffer(0),
            averages: None,
            running: Vec::new(),
            class_weights: gpu.upload(&self.class_weights_or_ones()),
            smoothing: self.smoothing(),
        };
        device.upload(&self.params, &self.running)?;
        self.device = Some(device);
        Ok(())
    }

    /// The GPU the child lives on, if any.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.as_ref().map(|device| &device.gpu)
    }
}

impl OnDevice {
    /// Takes over what the loss of each class counts for.
    pub(crate) fn weigh_classes(&mut self, weights: &[f32]) {
        self.class_weights = self.gpu.upload(weights);
    }

    /// Takes over the share of targets that is spread over all classes.
    pub(crate) fn smooth_labels(&mut self, smoothing: f32) {
        self.smoothing = smoothing;
    }

    /// Takes over weights, momentum and moving statistics.
    pub(crate) fn upload(&mut self, params: &Params, running: &Running) -> Result<(), Error> {
        let [values, momentum, averages] = params.flat()?;
        self.values = self.gpu.upload(&values);
        self.momentum = self.gpu.upload(&momentum);
        self.averages = Some(averages).filter(|a| !a.is_empty()).map(|a| self.gpu.upload(&a));
        self.upload_running(running)
    }

    /// Takes over moving statistics.
    pub(crate) fn upload_running(&mut self, running: &Running) -> Result<(), Error> {
        let moments = running.current()?;
        self.running = moments.iter().map(|r| GpuRunningMoments::upload(&self.gpu, r)).collect();
        Ok(self.gpu.finish()?)
    }

    /// Moves every average towards its weight by this share of the way, once the steps before are done.
    pub(crate) fn move_averages(&self, len: usize, share: f32) {
        if let Some(averages) = &self.averages {
            gpu::move_averages(averages, &self.values, len, share);
        }
    }

    /// Writes the numbers as they are now into `params` and `running`.
    pub(crate) fn download(&self, params: &Params, running: &Running) -> Result<(), Error> {
        let len = params.len();
        let averages = self.averages.as_ref().map(|averages| averages.download(0, len)).transpose()?;
        let (values, momentum) = (self.values.download(0, len)?, self.momentum.download(0, len)?);
        params.set_flat(&[values, momentum, averages.unwrap_or_default()])?;
        self.download_running(running)
    }

    /// Writes the moving statistics as they are now into `running`.
    pub(crate) fn download_running(&self, running: &Running) -> Result<(), Error> {
        let moved: Result<Vec<RunningMoments>, _> =
            self.running.iter().map(GpuRunningMoments::download).collect();
        running.set(moved?)
    }

    /// The statistics of a batch at every batch norm that keeps moving ones, by its index, in a pass without dropout and
    /// drop-path.
    pub(crate) fn moments(
        &self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
    ) -> Result<Vec<(usize, Moments)>, Error> {
        let stats = self.gpu.buffer(STATS);
        let backend = self.backend(params, &stats);
        let mut tape = Tape::new(&backend, Statistics::Batch, false);
        // As evaluations will use them.
        let input = tape.input(batch.map(&self.gpu, Precision::F32)?);
        network.forward(&mut tape, arc, input, None, (&Kept, false))?;
        let moments = std::mem::take(&mut tape.batch_moments);
        moments.iter().map(|(index, moments)| Ok((*index, moments.download()?))).collect()
    }

    /// One training step; waits for the device once, at its end. Before it waits, it lets the host do something else.
    pub(crate) fn train_step(
        &mut self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
        (training, lr): (Training<'_>, f32),
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let result = self.step((network, params), arc, batch, (training, lr), meanwhile);
        match result {
            Err(Error::Gpu(gpu::Error::OutOfMemory { asked, held })) => {
                // Otherwise the device would go on refusing: the step left the failure where it was.
                let _ = self.gpu.finish();
                let fits = self.batch_that_fits((network, params), arc, batch, training);
                Err(Error::DeviceMemory { asked, held, batch: batch.len(), fits })
            }
            other => other,
        }
    }

    fn step(
        &mut self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
        (training, lr): (Training<'_>, f32),
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats, Error> {
        let stats = self.gpu.zeros(STATS);
        let backend = self.backend(params, &stats);
        let (images, labels) = (batch.map(&self.gpu, self.activations)?, batch.targets(&self.gpu));
        let Pass { gradients, moments, .. } =
            network.pass(&backend, arc, images, &labels, training, (&Kept, false))?;
        let config = &network.config;
        let rule = Nesterov { lr, momentum: config.momentum, l2: config.l2, scale: 1.0 };
        let (runs, norm) = (params.trained_runs(), stats.span(4, 1));
        // What follows changes weights: everything before must have gone well.
        self.gpu.failure()?;
        rule.step_gpu(&self.values, &self.momentum, &gradients, &runs, config.clip_norm, norm);
        for (index, moments) in &moments {
            self.running[*index].update(moments);
        }
        meanwhile();
        let [loss, correct, aux_loss, _, grad_norm] = stats.download(0, STATS)?[..] else {
            unreachable!("as many numbers as were asked for")
        };
        Ok(StepStats { loss, aux_loss, correct: correct as usize, n: batch.len(), grad_norm })
    }

    /// The largest multiple of sixteen below the batch for which there is memory; `None` if there is for none. Found by
    /// trying some: what a pass needs depends on what the device has to spare between its pieces.
    fn batch_that_fits(
        &self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
        training: Training<'_>,
    ) -> Option<usize> {
        let fits = |n: usize| {
            let Ok(few) = batch.first(n) else { return false };
            self.gpu.release_idle();
            let stats = self.gpu.zeros(STATS);
            let backend = self.backend(params, &stats);
            let Ok(images) = few.map(&self.gpu, self.activations) else { return false };
            let labels = few.targets(&self.gpu);
            let passed = network.pass(&backend, arc, images, &labels, training, (&Kept, false)).is_ok();
            self.gpu.finish().is_ok() && passed
        };
        let (mut least, mut too_many) = (0, batch.len().div_ceil(LANES));
        while too_many - least > 1 {
            let middle = usize::midpoint(least, too_many);
            if fits(middle * LANES) { least = middle } else { too_many = middle }
        }
        (least > 0).then_some(least * LANES)
    }

    /// Logits `[n, classes]`; `factors` scale the features (dropout).
    pub(crate) fn logits(
        &self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
        statistics: Statistics,
        factors: Option<Vec<f32>>,
    ) -> Result<Vec<f32>, Error> {
        let stats = self.gpu.buffer(STATS);
        let backend = self.backend(params, &stats);
        let mut tape = Tape::new(&backend, statistics, false);
        let activations = match statistics {
            Statistics::Batch => self.activations,
            Statistics::Running => Precision::F32,
        };
        let input = tape.input(batch.map(&self.gpu, activations)?);
        let mut features = network.forward(&mut tape, arc, input, None, (&Kept, false))?.main;
        if let Some(factors) = factors {
            features.data = gpu::scale_features(&features.data, &self.gpu.upload(&factors), features.len);
        }
        let logits = backend.classify(&network.classifier, &features);
        Ok(logits.data.download(0, logits.len)?)
    }

    /// A training pass that changes nothing.
    pub(crate) fn inspect(
        &self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
        training: Training<'_>,
    ) -> Result<Inspected, Error> {
        let stats = self.gpu.zeros(STATS);
        let backend = self.backend(params, &stats);
        let (images, labels) = (batch.map(&self.gpu, self.activations)?, batch.targets(&self.gpu));
        let pass = network.pass(&backend, arc, images, &labels, training, (&Kept, true))?;
        let fetch = |value: &GpuValue| Ok(Part { shape: value.map.shape(), data: value.to_nchw()? });
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|part| fetch(&part.value)).collect());
        let cells = cells.collect::<Result<_, gpu::Error>>()?;
        let len = params.len();
        let gradients = Gradients::of_flat(params, &pass.gradients.download(0, len)?);
        let stats = stats.download(0, STATS)?;
        let logits = pass.logits.data.download(0, pass.logits.len)?;
        let aux = pass.aux.map(|(logits, _)| logits.data.download(0, logits.len)).transpose()?;
        Ok(Inspected { logits, aux_logits: aux, loss: stats[0], aux_loss: stats[2], cells, gradients })
    }

    fn backend<'a>(&'a self, params: &'a Params, stats: &'a Buffer) -> OnGpu<'a> {
        OnGpu {
            gpu: &self.gpu,
            params,
            values: &self.values,
            running: &self.running,
            loss: GpuLossRule { class_weights: &self.class_weights, smoothing: self.smoothing },
            stats,
            losses: Cell::new(0),
            joined: RefCell::default(),
        }
    }
}
