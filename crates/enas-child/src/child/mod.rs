//! The child network as its users see it.

pub(crate) mod device;
mod evaluation;
mod infer;
mod inspect;
mod op;
mod op_on_gpu;
mod refine;
mod settings;
mod state;
pub(crate) mod step;
mod tensors;
mod train;

use std::sync::Arc as SyncArc;

use enas_arc::Arc;
use enas_kernels::gpu::{self, Gpu, Precision};

use self::device::{OnDevice, Subnetwork};
pub use self::infer::Norm;
pub use self::inspect::Inspection;
pub use self::refine::BatchStatistics;
pub use self::state::LoadedWeights;
pub use self::step::{Step, StepStats};
pub use self::tensors::{Along, FixedNet, ForwardMode, Outputs};
use crate::batch::Batch;
use crate::checkpointing::Recompute;
use crate::config::{Config, InputShape, check_own_arc, check_sizes, check_weights};
use crate::error::Error;
use crate::loss::LossSettings;
use crate::network::Network;
use crate::network::builder::Builder;
use crate::network::layout::{NetworkLayout, check_nodes};
use crate::params::{InitialWeights, MAX_WEIGHTS, NetworkRunningStats, Params};

/// A child network with its weights ω and the optimiser's momentum.
///
/// A *shared* child has weights for every arc of its search space; each call names the arc to use. A *fixed* child
/// has the weights of one arc only. See [`Child::shared`] and [`Child::fixed`].
#[derive(Debug)]
pub struct Child {
    n_classes: usize,
    arc: Option<Arc>,
    pub(crate) network: SyncArc<Network>,
    pub(crate) params: SyncArc<Params>,
    pub(crate) running: SyncArc<NetworkRunningStats>,
    pub(crate) loss: LossSettings,
    recompute: Recompute,
    /// The GPU that the network is computed on; `None` for the CPU.
    pub(crate) device: Option<OnDevice>,
}

/// Largest allowed number of values that a layer makes of one image. A group of sixteen images then takes 8 GB.
const MAX_VALUES: usize = 1 << 27;

impl Child {
    /// A child with shared weights for every arc of `config.nodes` nodes. Weights are drawn from a seed, on the CPU or
    /// on the device given with it, or come from a candle `VarBuilder`. If they are on an NVIDIA GPU, all passes are
    /// computed there.
    ///
    /// # Errors
    /// If a setting is out of range, `n_classes` is below 2, the builder lacks a tensor, or the device cannot run the
    /// kernels.
    pub fn shared<'v>(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        start: impl Into<InitialWeights<'v>>,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, start.into(), MAX_WEIGHTS)
    }

    /// A child with private weights for one arc.
    ///
    /// # Errors
    /// As for [`shared`](Self::shared), and if the arc's number of nodes differs from `config.nodes`.
    pub fn fixed<'v>(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<InitialWeights<'v>>,
    ) -> Result<Self, Error> {
        Self::fixed_within(config, arc, input, n_classes, start, MAX_WEIGHTS)
    }

    /// [`fixed`](Self::fixed) with an upper limit on the number of weights, for descriptions from an untrusted
    /// source. A larger network is refused before any memory is allocated for it.
    ///
    /// # Errors
    /// As for [`fixed`](Self::fixed), and if the network has more than `max_weights` weights.
    pub fn fixed_within<'v>(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<InitialWeights<'v>>,
        max_weights: usize,
    ) -> Result<Self, Error> {
        check_nodes(arc, config)?;
        Self::new(config, Some(arc), input, n_classes, start.into(), max_weights.min(MAX_WEIGHTS))
    }

    fn new(
        config: &Config,
        arc: Option<&Arc>,
        input: InputShape,
        n_classes: usize,
        start: InitialWeights<'_>,
        max_weights: usize,
    ) -> Result<Self, Error> {
        check_network(config, arc, input, n_classes)?;
        let layout = NetworkLayout::new(config, input);
        check_values(config, &layout)?;
        // A first build only counts weights. Settings that are valid one by one can describe a network too large for
        // any machine. Knowing the number in advance also lets memory be allocated once: growing buffers would leave
        // smaller ones behind.
        let mut counter = Builder::new(None);
        Network::new(&mut counter, config, layout.clone(), arc, n_classes);
        check_weights("child.filters", config.filters, counter.params.len(), max_weights)?;
        let start = start.into_builder();
        let gpu = gpu::for_device(start.device())?;
        let mut builder = Builder::new(Some(start));
        let network = Network::new(&mut builder, config, layout, arc, n_classes).into();
        let Builder { params, running, .. } = builder;
        let mut child = Self {
            n_classes,
            arc: arc.cloned(),
            network,
            params: params.build(config.optimizer(0.0))?.into(),
            running: NetworkRunningStats::new(running).into(),
            loss: LossSettings::default(),
            recompute: Recompute::Nothing,
            device: None,
        };
        gpu.map_or(Ok(()), |gpu| child.use_gpu(&gpu, Precision::F32))?;
        Ok(child)
    }

    /// Number of trained weights, batch norm included, without the auxiliary head: the number that the authors' code
    /// prints (`micro_child.py:721-725`).
    pub fn n_params(&self) -> usize {
        self.params.count(|name| !name.starts_with("aux_head"))
    }

    /// Number of weights of the auxiliary head.
    pub fn n_aux_params(&self) -> usize {
        self.params.count(|name| name.starts_with("aux_head"))
    }

    /// The layout of the network.
    pub fn layout(&self) -> &NetworkLayout {
        &self.network.layout
    }

    /// The settings the network was built with.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// The shape of the images that the network takes.
    pub fn input(&self) -> InputShape {
        self.network.layout.input
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The arc of a fixed network.
    pub fn arc(&self) -> Option<&Arc> {
        self.arc.as_ref()
    }

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
            let device = self.device();
            let name = gpu.name();
            return Err(Error::State(format!("the network's tensors are on {device:?}, not on {name}")));
        }
        let device =
            OnDevice::new(gpu, activations, &self.params, &self.running, &self.loss, self.n_classes)?;
        self.device = Some(device);
        Ok(())
    }

    /// The GPU that the child is on, if any.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.device.as_ref().map(|device| &device.gpu)
    }

    /// The network with its parameters, along `arc`.
    fn subnetwork<'a>(&'a self, arc: &'a Arc) -> Subnetwork<'a> {
        Subnetwork { network: &self.network, params: &self.params, arc }
    }

    /// Checks a batch and its arc; returns the number of images.
    pub(crate) fn check_batch(&self, arc: &Arc, batch: &Batch) -> Result<usize, Error> {
        self.check_arc(arc)?;
        batch.check_images(self.input(), self.gpu())
    }

    /// Checks a batch with its labels, and its arc.
    pub(crate) fn check_labelled(&self, arc: &Arc, batch: &Batch) -> Result<(), Error> {
        let n = self.check_batch(arc, batch)?;
        batch.check_labels(n, self.n_classes)
    }

    pub(crate) fn check_arc(&self, arc: &Arc) -> Result<(), Error> {
        check_nodes(arc, self.config())?;
        check_own_arc(self.arc.as_ref(), arc)
    }
}

/// Refuses settings that do not describe a network.
pub(crate) fn check_network(
    config: &Config,
    arc: Option<&Arc>,
    input: InputShape,
    n_classes: usize,
) -> Result<(), Error> {
    arc.map_or(Ok(()), |arc| check_nodes(arc, config))?;
    config.validate()?;
    check_sizes(input, n_classes)
}

/// Refuses networks that make too many values of one image in a layer.
fn check_values(config: &Config, layout: &NetworkLayout) -> Result<(), Error> {
    let InputShape { channels, height, width } = layout.input;
    let values = |c: usize, h: usize, w: usize| c.saturating_mul(h).saturating_mul(w);
    let stem = values(layout.stem.max(channels), height, width);
    let largest = layout.cells.iter().map(|c| values(c.filters, c.height, c.width)).fold(stem, usize::max);
    if largest <= MAX_VALUES {
        return Ok(());
    }
    let value = format!("{} on {height}x{width} pixels", config.filters);
    let allowed = format!("{MAX_VALUES} numbers in a layer, here are {largest}; use fewer or smaller images");
    Err(Error::Config { key: "child.filters", value, allowed })
}
