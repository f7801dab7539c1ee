//! A child on a GPU: its weights and statistics there, and how they are kept in step with the tensors.

mod passes;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use enas_kernels::RunningStats;
use enas_kernels::gpu::{self, Buffer, Gpu, GpuLossRule, GpuRunningStats, Precision, TensorList};

pub(crate) use self::passes::{HostMap, HostResults, Subnetwork};
use crate::backend::{OnGpu, Statistics};
use crate::error::Error;
use crate::loss::LossSettings;
use crate::params::{NetworkRunningStats, Params};

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
    sync: SyncArc<SyncFlags>,
}

/// Tensors on the CPU and their copies on the device: which of them may hold newer values.
#[derive(Debug, Default)]
struct SyncFlags {
    /// The copies are newer, after training steps of the network.
    copies_are_newer: AtomicBool,
    /// The tensors may be newer: the network cannot see what candle's users write to a tensor.
    tensors_may_be_newer: AtomicBool,
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

impl OnDevice {
    /// Copies weights, momentum and moving statistics of a network to `gpu`.
    pub(crate) fn new(
        gpu: &Gpu,
        activations: Precision,
        params: &Params,
        running: &NetworkRunningStats,
        loss: &LossSettings,
        n_classes: usize,
    ) -> Result<Self, Error> {
        let device = Self {
            gpu: gpu.clone(),
            activations,
            weights: SharedTables::new(gpu, params)?.into(),
            momentum: params.momentum_on(gpu)?,
            averages: params.averages_on(gpu)?,
            running: SyncArc::default(),
            class_weights: gpu.upload(&loss.class_weights_or_ones(n_classes)),
            smoothing: loss.smoothing(),
            sync: SyncArc::default(),
        };
        device.upload_running(running)?;
        Ok(device)
    }

    /// Copies the class weights to the device, and sets the label smoothing.
    pub(crate) fn set_loss(&mut self, loss: &LossSettings, n_classes: usize) {
        self.class_weights = self.gpu.upload(&loss.class_weights_or_ones(n_classes));
        self.smoothing = loss.smoothing();
    }

    /// Copies weights, momentum and moving statistics to the device.
    pub(crate) fn upload(&mut self, params: &Params, running: &NetworkRunningStats) -> Result<(), Error> {
        self.weights = SharedTables::new(&self.gpu, params)?.into();
        self.sync = SyncArc::default();
        self.momentum = params.momentum_on(&self.gpu)?;
        self.averages = params.averages_on(&self.gpu)?;
        self.upload_running(running)
    }

    /// Copies moving statistics to the device.
    pub(crate) fn upload_running(&self, running: &NetworkRunningStats) -> Result<(), Error> {
        let stats = running.current()?;
        *self.running() = stats.iter().map(|r| GpuRunningStats::upload(&self.gpu, r)).collect();
        Ok(self.gpu.finish()?)
    }

    /// Updates every average: `average += share·(weight − average)`, after all earlier steps.
    pub(crate) fn move_averages(&self, params: &Params, share: f32) -> Result<(), Error> {
        if let Some(averages) = &self.averages {
            self.upload_changed_tensors(params)?;
            gpu::move_averages(averages, &self.weights.all, share);
        }
        Ok(())
    }

    /// Copies the current values into `params` and `running`.
    pub(crate) fn download(&self, params: &Params, running: &NetworkRunningStats) -> Result<(), Error> {
        self.download_weights(params)?;
        params.set_momentum(&self.momentum)?;
        self.averages.as_ref().map_or(Ok(()), |averages| params.set_averages(averages))?;
        self.download_running(running)
    }

    /// Writes the weights into their tensors, if these are on the CPU and out of date.
    fn download_weights(&self, params: &Params) -> Result<(), Error> {
        if self.sync.copies_are_newer.swap(false, Ordering::Relaxed) && !params.are_on_gpu() {
            params.set_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Makes tensors and copies of weights agree, before a pass that candle's users ask for.
    pub(crate) fn synchronise(&self, params: &Params) -> Result<(), Error> {
        if params.are_on_gpu() {
            return Ok(());
        }
        self.download_weights(params)?;
        self.sync.tensors_may_be_newer.store(true, Ordering::Relaxed);
        self.upload_changed_tensors(params)
    }

    /// Copies values that candle's users may have written to tensors since they asked for a pass.
    pub(super) fn upload_changed_tensors(&self, params: &Params) -> Result<(), Error> {
        if self.sync.tensors_may_be_newer.load(Ordering::Relaxed) {
            params.write_values(&self.weights.values)?;
        }
        Ok(())
    }

    /// Copies the current moving statistics into `running`.
    pub(crate) fn download_running(&self, running: &NetworkRunningStats) -> Result<(), Error> {
        let stats: Result<Vec<RunningStats>, _> =
            self.running().iter().map(GpuRunningStats::download).collect();
        running.set(stats?)
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
