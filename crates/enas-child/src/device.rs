//! A child on a GPU: its numbers live there, and so do its passes.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use enas_arc::Arc;
use enas_kernels::gpu::{self, Apart, Buffer, Gpu, GpuLossRule, GpuRunningMoments, GpuValue, Precision};
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
pub(crate) const STATS: usize = 5;

/// The numbers of a child that lives on a GPU. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct OnDevice {
    pub(crate) gpu: Gpu,
    /// Of the maps of passes that take statistics of their batch: all in training, and rewards.
    pub(crate) activations: Precision,
    weights: SyncArc<OfTables>,
    momentum: Buffer,
    /// Moving averages of the values, if they are kept.
    averages: Option<Buffer>,
    running: SyncArc<Mutex<Vec<GpuRunningMoments>>>,
    class_weights: Buffer,
    smoothing: f32,
    /// Which of weights and their copies have gone on from the others.
    ahead: SyncArc<Ahead>,
}

/// Tensors on the CPU and their copies on the device, either of which may have gone on.
#[derive(Debug, Default)]
struct Ahead {
    /// By training steps of the network.
    copies: AtomicBool,
    /// Perhaps: what candle's users do with a tensor is not seen.
    tensors: AtomicBool,
}

/// The weights, of which every table lies apart: the memory of its tensor, if that is on the GPU, else a copy.
#[derive(Debug)]
struct OfTables {
    values: Vec<Buffer>,
    /// All of them, and those that are trained, for updates.
    all: Apart,
    trained: Apart,
}

impl OfTables {
    fn new(gpu: &Gpu, params: &Params) -> Result<Self, Error> {
        let values = params.values_on(gpu)?;
        let [all, trained] = [false, true].map(|trained| params.apart(gpu, &values, trained));
        Ok(Self { values, all, trained })
    }
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
    /// A child whose tensors are on the CPU has copies there; training steps change these alone, until they are fetched. One
    /// that was built with tensors on a GPU is there already, and computes in them.
    ///
    /// # Errors
    /// If the weights and their momentum do not fit into its memory, or the child's tensors are on another GPU.
    pub fn use_gpu(&mut self, gpu: &Gpu, activations: Precision) -> Result<(), Error> {
        let others = |own: &Gpu| !own.is(gpu);
        if self.params.are_on_gpu() && gpu::on(self.device())?.as_ref().is_none_or(others) {
            let (device, name) = (self.device(), gpu.name());
            return Err(Error::State(format!("the network's tensors are on {device:?}, not on {name}")));
        }
        let device = OnDevice {
            gpu: gpu.clone(),
            activations,
            weights: OfTables::new(gpu, &self.params)?.into(),
            momentum: self.params.momentum_on(gpu)?,
            averages: self.params.averages_on(gpu)?,
            running: SyncArc::default(),
            class_weights: gpu.upload(&self.class_weights_or_ones()),
            smoothing: self.smoothing(),
            ahead: SyncArc::default(),
        };
        device.upload_running(&self.running)?;
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
        self.weights = OfTables::new(&self.gpu, params)?.into();
        self.ahead = SyncArc::default();
        self.momentum = params.momentum_on(&self.gpu)?;
        self.averages = params.averages_on(&self.gpu)?;
        self.upload_running(running)
    }

    /// Takes over moving statistics.
    pub(crate) fn upload_running(&self, running: &Running) -> Result<(), Error> {
        let moments = running.current()?;
        *self.running() = moments.iter().map(|r| GpuRunningMoments::upload(&self.gpu, r)).collect();
        Ok(self.gpu.finish()?)
    }

    /// Moves every average towards its weight by this share of the way, once the steps before are done.
    pub(crate) fn move_averages(&self, params: &Params, share: f32) -> Result<(), Error> {
        if let Some(averages) = &self.averages {
            self.catch_up(params)?;
            gpu::move_averages(averages, &self.weights.all, share);
        }
        Ok(())
    }

    /// Writes the numbers as they are now into `params` and `running`.
    pub(crate) fn download(&self, params: &Params, running: &Running) -> Result<(), Error> {
        self.publish(params)?;
        params.set_momentum(&self.momentum)?;
        self.averages.as_ref().map_or(Ok(()), |averages| params.set_averages(averages))?;
        self.download_running(running)
    }

    /// Writes the weights into their tensors, if these are elsewhere and behind.
    fn publish(&self, params: &Params) -> Result<(), Error> {
        if self.ahead.copies.swap(false, Ordering::Relaxed) && !params.are_on_gpu() {
            params.set_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Lets tensors and copies of weights agree, for a pass that candle's users ask for.
    pub(crate) fn follow(&self, params: &Params) -> Result<(), Error> {
        if params.are_on_gpu() {
            return Ok(());
        }
        self.publish(params)?;
        self.ahead.tensors.store(true, Ordering::Relaxed);
        self.catch_up(params)
    }

    /// Takes over what candle's users may have written to tensors since they asked for a pass.
    fn catch_up(&self, params: &Params) -> Result<(), Error> {
        if self.ahead.tensors.load(Ordering::Relaxed) {
            params.write_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Writes the moving statistics as they are now into `running`.
    pub(crate) fn download_running(&self, running: &Running) -> Result<(), Error> {
        let moved: Result<Vec<RunningMoments>, _> =
            self.running().iter().map(GpuRunningMoments::download).collect();
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
        self.catch_up(params)?;
        let (stats, running) = (self.gpu.buffer(STATS), self.running());
        let backend = self.backend(params, &stats, &running);
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
        self.catch_up(params)?;
        let (stats, mut running) = (self.gpu.zeros(STATS), self.running());
        let backend = self.backend(params, &stats, &running);
        let (images, labels) = (batch.map(&self.gpu, self.activations)?, batch.targets(&self.gpu));
        let Pass { gradients, moments, .. } =
            network.pass(&backend, arc, images, &labels, training, (&Kept, false))?;
        let config = &network.config;
        let rule = Nesterov { lr, momentum: config.momentum, l2: config.l2, scale: 1.0 };
        let norm = stats.span(4, 1);
        // What follows changes weights: everything before must have gone well.
        self.gpu.failure()?;
        rule.step_gpu(&self.weights.trained, &self.momentum, &gradients, config.clip_norm, norm);
        self.ahead.copies.store(true, Ordering::Relaxed);
        self.ahead.tensors.store(false, Ordering::Relaxed);
        for (index, moments) in &moments {
            running[*index].update(moments);
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
            let (stats, running) = (self.gpu.zeros(STATS), self.running());
            let backend = self.backend(params, &stats, &running);
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
        self.catch_up(params)?;
        let (stats, running) = (self.gpu.buffer(STATS), self.running());
        let backend = self.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, statistics, false);
        let input = tape.input(batch.map(&self.gpu, self.precision(statistics))?);
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
        self.catch_up(params)?;
        let (stats, running) = (self.gpu.zeros(STATS), self.running());
        let backend = self.backend(params, &stats, &running);
        let (images, labels) = (batch.map(&self.gpu, self.activations)?, batch.targets(&self.gpu));
        let pass = network.pass(&backend, arc, images, &labels, training, (&Kept, true))?;
        let fetch = |value: &GpuValue| Ok(Part { shape: value.map.shape(), data: value.to_nchw()? });
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|part| fetch(&part.value)).collect());
        let cells = cells.collect::<Result<_, gpu::Error>>()?;
        let gradients = Gradients::of_flat(params, &pass.gradients.download(0, params.device_len())?);
        let stats = stats.download(0, STATS)?;
        let logits = pass.logits.data.download(0, pass.logits.len)?;
        let aux = pass.aux.map(|(logits, _)| logits.data.download(0, logits.len)).transpose()?;
        Ok(Inspected { logits, aux_logits: aux, loss: stats[0], aux_loss: stats[2], cells, gradients })
    }

    /// That of the maps of a pass.
    pub(crate) fn precision(&self, statistics: Statistics) -> Precision {
        match statistics {
            Statistics::Batch => self.activations,
            Statistics::Running => Precision::F32,
        }
    }

    /// Moving statistics. A pass holds them from its beginning to its end.
    pub(crate) fn running(&self) -> MutexGuard<'_, Vec<GpuRunningMoments>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a pass computes with.
    pub(crate) fn backend<'a>(
        &'a self,
        params: &'a Params,
        stats: &'a Buffer,
        running: &'a [GpuRunningMoments],
    ) -> OnGpu<'a> {
        OnGpu {
            gpu: &self.gpu,
            params,
            values: &self.weights.values,
            running,
            loss: GpuLossRule { class_weights: &self.class_weights, smoothing: self.smoothing },
            stats,
            losses: Cell::new(0),
            joined: RefCell::default(),
            visited: None,
        }
    }
}
