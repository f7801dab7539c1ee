//! A child on a GPU: its weights are there, and all its passes run there.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use enas_arc::Arc;
use enas_kernels::gpu::{
    self, Buffer, Gpu, GpuActivation, GpuLossRule, GpuRunningStats, Precision, TensorList,
};
use enas_kernels::{BatchStats, LANES, Nesterov, RunningStats};

use crate::backend::{Backend, OnGpu, Statistics};
use crate::checkpointing::StoreAll;
use crate::examples::Batch;
use crate::network::{Network, Training};
use crate::params::{Gradients, Params};
use crate::pass::Pass;
use crate::running::Running;
use crate::tape::Tape;
use crate::{Child, Error, StepStats};

/// Number of values that a step returns to the host: loss and number correct of both classifiers, and the gradient
/// norm.
pub(crate) const STATS: usize = 5;

/// The weights and statistics of a child on a GPU. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct OnDevice {
    pub(crate) gpu: Gpu,
    /// Precision of feature maps in passes with batch statistics: training and rewards.
    pub(crate) activations: Precision,
    weights: SyncArc<SharedTables>,
    momentum: Buffer,
    /// Moving averages (EMA) of the weights, if they are kept.
    averages: Option<Buffer>,
    running: SyncArc<Mutex<Vec<GpuRunningStats>>>,
    class_weights: Buffer,
    smoothing: f32,
    /// Whether the tensors or their copies on the device are newer.
    ahead: SyncArc<Ahead>,
}

/// Tensors on the CPU and their copies on the device: which of them may hold newer values.
#[derive(Debug, Default)]
struct Ahead {
    /// The copies are newer, after training steps of the network.
    copies: AtomicBool,
    /// The tensors may be newer: the network cannot see what candle's users write to a tensor.
    tensors: AtomicBool,
}

/// The weights, one buffer per table: the memory of the candle tensor if that is on the GPU, otherwise a copy.
#[derive(Debug)]
struct SharedTables {
    values: Vec<Buffer>,
    /// All buffers, and those of trained weights, for the optimiser and the averages.
    all: TensorList,
    trained: TensorList,
}

impl SharedTables {
    fn new(gpu: &Gpu, params: &Params) -> Result<Self, Error> {
        let values = params.values_on(gpu)?;
        let [all, trained] = [false, true].map(|trained| params.apart(gpu, &values, trained));
        Ok(Self { values, all, trained })
    }
}

/// The results of a pass on the device, in host memory.
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
    /// Moves the child to a GPU, which computes all passes from now on. Results equal those on the CPU up to
    /// rounding.
    ///
    /// `activations` is the precision of activations and their gradients in passes with batch statistics. Passes with
    /// moving statistics use single precision, so that a trained network gives the same answers on every device.
    ///
    /// If the child's tensors are on the CPU, the GPU holds copies. Training steps change only the copies, until they
    /// are fetched. A child that was built with tensors on a GPU is already there and computes in those tensors.
    ///
    /// # Errors
    /// If weights and momentum do not fit into the GPU's memory, or if the child's tensors are on another GPU.
    pub fn use_gpu(&mut self, gpu: &Gpu, activations: Precision) -> Result<(), Error> {
        let others = |own: &Gpu| !own.is(gpu);
        if self.params.are_on_gpu() && gpu::for_device(self.device())?.as_ref().is_none_or(others) {
            let (device, name) = (self.device(), gpu.name());
            return Err(Error::State(format!("the network's tensors are on {device:?}, not on {name}")));
        }
        let device = OnDevice {
            gpu: gpu.clone(),
            activations,
            weights: SharedTables::new(gpu, &self.params)?.into(),
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

    /// The GPU that the child is on, if any.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.as_ref().map(|device| &device.gpu)
    }
}

impl OnDevice {
    /// Copies the class weights to the device.
    pub(crate) fn weigh_classes(&mut self, weights: &[f32]) {
        self.class_weights = self.gpu.upload(weights);
    }

    /// Sets the label smoothing.
    pub(crate) fn smooth_labels(&mut self, smoothing: f32) {
        self.smoothing = smoothing;
    }

    /// Copies weights, momentum and moving statistics to the device.
    pub(crate) fn upload(&mut self, params: &Params, running: &Running) -> Result<(), Error> {
        self.weights = SharedTables::new(&self.gpu, params)?.into();
        self.ahead = SyncArc::default();
        self.momentum = params.momentum_on(&self.gpu)?;
        self.averages = params.averages_on(&self.gpu)?;
        self.upload_running(running)
    }

    /// Copies moving statistics to the device.
    pub(crate) fn upload_running(&self, running: &Running) -> Result<(), Error> {
        let moments = running.current()?;
        *self.running() = moments.iter().map(|r| GpuRunningStats::upload(&self.gpu, r)).collect();
        Ok(self.gpu.finish()?)
    }

    /// Updates every average: `average += share·(weight − average)`, after all earlier steps.
    pub(crate) fn move_averages(&self, params: &Params, share: f32) -> Result<(), Error> {
        if let Some(averages) = &self.averages {
            self.catch_up(params)?;
            gpu::move_averages(averages, &self.weights.all, share);
        }
        Ok(())
    }

    /// Copies the current values into `params` and `running`.
    pub(crate) fn download(&self, params: &Params, running: &Running) -> Result<(), Error> {
        self.publish(params)?;
        params.set_momentum(&self.momentum)?;
        self.averages.as_ref().map_or(Ok(()), |averages| params.set_averages(averages))?;
        self.download_running(running)
    }

    /// Writes the weights into their tensors, if these are on the CPU and out of date.
    fn publish(&self, params: &Params) -> Result<(), Error> {
        if self.ahead.copies.swap(false, Ordering::Relaxed) && !params.are_on_gpu() {
            params.set_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Makes tensors and copies of weights agree, before a pass that candle's users ask for.
    pub(crate) fn follow(&self, params: &Params) -> Result<(), Error> {
        if params.are_on_gpu() {
            return Ok(());
        }
        self.publish(params)?;
        self.ahead.tensors.store(true, Ordering::Relaxed);
        self.catch_up(params)
    }

    /// Copies values that candle's users may have written to tensors since they asked for a pass.
    fn catch_up(&self, params: &Params) -> Result<(), Error> {
        if self.ahead.tensors.load(Ordering::Relaxed) {
            params.write_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Copies the current moving statistics into `running`.
    pub(crate) fn download_running(&self, running: &Running) -> Result<(), Error> {
        let moved: Result<Vec<RunningStats>, _> =
            self.running().iter().map(GpuRunningStats::download).collect();
        running.set(moved?)
    }

    /// The batch statistics of every batch norm with moving statistics, with its index, in a pass without dropout and
    /// drop-path.
    pub(crate) fn moments(
        &self,
        (network, params): (&Network, &Params),
        arc: &Arc,
        batch: &Batch<'_>,
    ) -> Result<Vec<(usize, BatchStats)>, Error> {
        self.catch_up(params)?;
        let (stats, running) = (self.gpu.buffer(STATS), self.running());
        let backend = self.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, Statistics::Batch, false);
        // Single precision, as evaluations use it.
        let input = tape.input(batch.map(&self.gpu, Precision::F32)?);
        network.forward(&mut tape, arc, input, None, (&StoreAll, false))?;
        let moments = std::mem::take(&mut tape.batch_stats);
        moments.iter().map(|(index, moments)| Ok((*index, moments.download()?))).collect()
    }

    /// One training step. Waits for the device once, at its end, and calls `meanwhile` before it waits.
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
                // Clears the error that the failed step left in the device; later calls would report it again.
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
            network.pass(&backend, arc, images, &labels, training, (&StoreAll, false))?;
        let config = &network.config;
        let rule = Nesterov { lr, momentum: config.momentum, l2: config.l2, scale: 1.0 };
        let norm = stats.span(4, 1);
        // The next calls change weights, so earlier launches must have succeeded.
        self.gpu.failure()?;
        rule.step_gpu(&self.weights.trained, &self.momentum, &gradients, config.clip_norm, norm);
        self.ahead.copies.store(true, Ordering::Relaxed);
        self.ahead.tensors.store(false, Ordering::Relaxed);
        for (index, moments) in &moments {
            running[*index].update(moments);
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
            let passed = network.pass(&backend, arc, images, &labels, training, (&StoreAll, false)).is_ok();
            self.gpu.finish().is_ok() && passed
        };
        let (mut least, mut too_many) = (0, batch.len().div_ceil(LANES));
        while too_many - least > 1 {
            let middle = usize::midpoint(least, too_many);
            if fits(middle * LANES) { least = middle } else { too_many = middle }
        }
        (least > 0).then_some(least * LANES)
    }

    /// Logits `[n, classes]`; `factors` `[n, channels]` scale the features (dropout).
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
        let mut features = network.forward(&mut tape, arc, input, None, (&StoreAll, false))?.main;
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
        let pass = network.pass(&backend, arc, images, &labels, training, (&StoreAll, true))?;
        let fetch = |value: &GpuActivation| Ok(Part { shape: value.map.shape(), data: value.to_nchw()? });
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|part| fetch(&part.value)).collect());
        let cells = cells.collect::<Result<_, gpu::Error>>()?;
        let gradients = Gradients::of_flat(params, &pass.gradients.download(0, params.device_len())?);
        let stats = stats.download(0, STATS)?;
        let logits = pass.logits.data.download(0, pass.logits.len)?;
        let aux = pass.aux.map(|(logits, _)| logits.data.download(0, logits.len)).transpose()?;
        Ok(Inspected { logits, aux_logits: aux, loss: stats[0], aux_loss: stats[2], cells, gradients })
    }

    /// The precision of a pass's feature maps.
    pub(crate) fn precision(&self, statistics: Statistics) -> Precision {
        match statistics {
            Statistics::Batch => self.activations,
            Statistics::Running => Precision::F32,
        }
    }

    /// The moving statistics. A pass holds the lock from its start to its end.
    pub(crate) fn running(&self) -> MutexGuard<'_, Vec<GpuRunningStats>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend of a pass.
    pub(crate) fn backend<'a>(
        &'a self,
        params: &'a Params,
        stats: &'a Buffer,
        running: &'a [GpuRunningStats],
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
