//! The child network as its users see it.

mod infer;
mod inspect;
mod op;
mod op_on_gpu;
mod refine;
mod tensors;
mod train;

use std::sync::Arc as SyncArc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use enas_arc::Arc;
use enas_kernels::FeatureMap;
use enas_kernels::candle::NesterovConfig;
use enas_kernels::gpu::{self, Precision};

pub use self::infer::Norm;
pub use self::inspect::Inspection;
pub use self::refine::BatchStatistics;
pub use self::tensors::{Along, FixedNet, Mode, Outputs};
pub use self::train::{Step, StepStats};
use crate::backend::{Cpu, Statistics};
use crate::build::Builder;
use crate::checkpointing::{Checkpointing, MicroBatched, PerCell, Recompute, StoreAll};
use crate::config::{AuxHead, Config, InputShape};
use crate::device::OnDevice;
use crate::examples::Batch;
use crate::images::check_images;
use crate::loss::LossRule;
use crate::network::Network;
use crate::params::Params;
use crate::plan::Plan;
use crate::running::Running;
use crate::start::Start;
use crate::tape::Tape;
use crate::{Error, Examples, Images};

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
    pub(crate) running: SyncArc<Running>,
    /// Weight of each class in the loss, `[classes]`; `None` means 1 for all.
    class_weights: Option<Vec<f32>>,
    /// Label smoothing: share of the target that is spread evenly over all classes.
    smoothing: f32,
    recompute: Recompute,
    /// The GPU that the network is computed on; `None` for the CPU.
    pub(crate) device: Option<OnDevice>,
}

/// Largest allowed number of weights: 4 GB of weights, and as much again for their momentum.
const MOST_WEIGHTS: usize = 1 << 30;

/// Largest allowed number of values that a layer makes of one image. A group of sixteen images then takes 8 GB.
const MOST_NUMBERS: usize = 1 << 27;

impl Child {
    /// A child with shared weights for every arc of `config.nodes` nodes. Weights are drawn from a seed on the CPU,
    /// or come from a candle `VarBuilder`. If the builder's tensors are on an NVIDIA GPU, all passes are computed
    /// there.
    ///
    /// # Errors
    /// If a setting is out of range, `n_classes` is below 2, the builder lacks a tensor, or its device cannot run the
    /// kernels.
    pub fn shared<'v>(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        start: impl Into<Start<'v>>,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, start.into(), MOST_WEIGHTS)
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
        start: impl Into<Start<'v>>,
    ) -> Result<Self, Error> {
        Self::fixed_within(config, arc, input, n_classes, start, MOST_WEIGHTS)
    }

    /// [`fixed`](Self::fixed) with an upper limit on the number of weights, for descriptions from an untrusted
    /// source. A larger network is refused before any memory is allocated for it.
    ///
    /// # Errors
    /// As for [`fixed`](Self::fixed), and if the network has more than `most_weights` weights.
    pub fn fixed_within<'v>(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<Start<'v>>,
        most_weights: usize,
    ) -> Result<Self, Error> {
        check_nodes(arc, config)?;
        Self::new(config, Some(arc), input, n_classes, start.into(), most_weights.min(MOST_WEIGHTS))
    }

    fn new(
        config: &Config,
        arc: Option<&Arc>,
        input: InputShape,
        n_classes: usize,
        start: Start<'_>,
        most_weights: usize,
    ) -> Result<Self, Error> {
        check_shape(config, arc, input, n_classes)?;
        let plan = Plan::new(config, input);
        let numbers = |c: usize, h: usize, w: usize| c.saturating_mul(h).saturating_mul(w);
        let stem = numbers(plan.stem.max(input.channels), input.height, input.width);
        let map = plan.cells.iter().map(|c| numbers(c.filters, c.height, c.width)).fold(stem, usize::max);
        if map > MOST_NUMBERS {
            let value = format!("{} on {}x{} pixels", config.filters, input.height, input.width);
            let allowed =
                format!("{MOST_NUMBERS} numbers in a layer, here are {map}; use fewer or smaller pictures");
            return Err(Error::Config { key: "child.filters", value, allowed });
        }
        // A first build only counts weights. Settings that are valid one by one can describe a network too large for
        // any machine. Knowing the number in advance also lets memory be allocated once: growing buffers would leave
        // smaller ones behind.
        let mut places = Builder::new(None);
        Network::new(&mut places, config, plan.clone(), arc, n_classes);
        let weights = places.params.len();
        if weights > most_weights {
            let value = format!("{} with {weights} weights in the whole network", config.filters);
            let allowed = format!("{most_weights} weights");
            return Err(Error::Config { key: "child.filters", value, allowed });
        }
        let start = start.into_builder();
        let gpu = gpu::for_device(start.device())?;
        let mut builder = Builder::new(Some(start));
        let network = Network::new(&mut builder, config, plan, arc, n_classes).into();
        let Builder { params, running, .. } = builder;
        let params = params.build(config.optimizer(0.0))?.into();
        let running = Running::new(running).into();
        let (arc, recompute) = (arc.cloned(), Recompute::Nothing);
        let (class_weights, smoothing, device) = (None, 0.0, None);
        let mut child =
            Self { n_classes, arc, network, params, running, class_weights, smoothing, recompute, device };
        gpu.map_or(Ok(()), |gpu| child.use_gpu(&gpu, Precision::F32))?;
        Ok(child)
    }

    /// Sets class weights: the loss of an image of class `k` is multiplied by `weights[k]`, for the main and the
    /// auxiliary classifier. The mean is still taken over the number of images. Class weights are not part of the
    /// state.
    ///
    /// Shapes: `weights` `[classes]` of F32.
    ///
    /// # Errors
    /// If the number of weights is not the number of classes, or a weight is not a positive finite number.
    pub fn weigh_classes(&mut self, weights: &Tensor) -> Result<(), Error> {
        let weights = class_weights(weights, self.n_classes)?;
        if let Some(device) = &mut self.device {
            device.weigh_classes(&weights);
        }
        self.class_weights = Some(weights);
        Ok(())
    }

    /// Turns on label smoothing (Szegedy et al., 2016): the share `smoothing` of every target is spread evenly over
    /// all classes, for the main and the auxiliary classifier. It is not part of the state.
    ///
    /// # Errors
    /// If `smoothing` is not in `[0, 1)`.
    pub fn smooth_labels(&mut self, smoothing: f32) -> Result<(), Error> {
        check_smoothing(smoothing)?;
        self.smoothing = smoothing;
        if let Some(device) = &mut self.device {
            device.smooth_labels(smoothing);
        }
        Ok(())
    }

    /// Sets what training passes recompute instead of storing (activation checkpointing). Results do not change.
    /// Passes on a GPU store everything.
    pub fn recompute(&mut self, what: Recompute) {
        self.recompute = what;
    }

    /// The strategy to evaluate cells for a batch of `n` images.
    fn walk<'a>(&self, n: usize) -> Box<dyn Checkpointing<Cpu<'a>> + 'a> {
        walk_of(self.recompute, n)
    }

    /// The weight of each class in the loss, `[classes]`.
    pub(crate) fn class_weights_or_ones(&self) -> Vec<f32> {
        self.class_weights.clone().unwrap_or_else(|| vec![1.0; self.n_classes])
    }

    /// How the loss of an image is computed.
    pub(crate) fn loss_rule(&self) -> LossRule<'_> {
        LossRule { class_weights: self.class_weights.as_deref(), smoothing: self.smoothing }
    }

    /// Label smoothing: share of the target that is spread evenly over all classes.
    pub(crate) fn smoothing(&self) -> f32 {
        self.smoothing
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

    /// Multiply-adds per image at inference.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn macs(&self, arc: &Arc) -> Result<u64, Error> {
        self.check_arc(arc)?;
        // A batch of 0 images takes the same path and computes nothing.
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            let mut tape = Tape::new(&cpu, Statistics::Batch, false);
            let input = tape.input(self.map(&[]));
            self.network.forward(&mut tape, arc, input, None, (&StoreAll, false))?;
            Ok(tape.macs + self.network.classifier.macs())
        })
    }

    /// The layout of the network.
    pub fn plan(&self) -> &Plan {
        &self.network.plan
    }

    /// The settings the network was built with.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// The shape of the images that the network takes.
    pub fn input(&self) -> InputShape {
        self.network.plan.input
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The arc of a fixed network.
    pub fn arc(&self) -> Option<&Arc> {
        self.arc.as_ref()
    }

    pub(crate) fn map(&self, images: &[f32]) -> FeatureMap {
        self.network.map(images)
    }

    /// Checks a batch for the device.
    fn batch<'a>(&self, arc: &Arc, images: Images<'a>) -> Result<Batch<'a>, Error> {
        self.check_arc(arc)?;
        let gpu = self.gpu().expect("asked for children on a device alone");
        Batch::on(gpu, self.network.plan.input, images)
    }

    /// Checks a batch with its labels for the device.
    fn labelled_batch<'a>(&self, arc: &Arc, examples: Examples<'a>) -> Result<Batch<'a>, Error> {
        self.check_arc(arc)?;
        let gpu = self.gpu().expect("asked for children on a device alone");
        Batch::labelled(gpu, self.network.plan.input, examples, self.n_classes)
    }

    /// Checks images in host memory; returns their number.
    pub(crate) fn check_batch(&self, arc: &Arc, images: &Tensor) -> Result<usize, Error> {
        self.check_arc(arc)?;
        check_images(images, self.network.plan.input)
    }

    pub(crate) fn check_arc(&self, arc: &Arc) -> Result<(), Error> {
        check_nodes(arc, &self.network.config)?;
        match &self.arc {
            Some(own) if own != arc => {
                Err(Error::Arc(format!("the network was built for {own}, not for {arc}")))
            }
            _ => Ok(()),
        }
    }
}

/// The strategy to evaluate cells for a batch of `n` images.
fn walk_of<'a>(recompute: Recompute, n: usize) -> Box<dyn Checkpointing<Cpu<'a>> + 'a> {
    match recompute {
        Recompute::Nothing => Box::new(StoreAll),
        Recompute::Cells => Box::new(PerCell),
        Recompute::Groups(groups) => Box::new(MicroBatched::new(n, groups)),
    }
}

/// The builder of a network that stays in host memory.
pub(crate) fn on_the_host(start: Start<'_>) -> Result<VarBuilder<'_>, Error> {
    let builder = start.into_builder();
    if builder.device().is_cpu() {
        return Ok(builder);
    }
    let device = builder.device();
    Err(Error::State(format!("tensors on {device:?}; this network is computed on the CPU alone")))
}

/// Runs `body` on a thread of the pool, once for all operations inside it. From another thread each operation would
/// be handed over to the pool and waited for, which costs more than a small operation itself.
pub(crate) fn on_pool<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| body())
}

/// Class weights as numbers, if they are valid.
pub(crate) fn class_weights(weights: &Tensor, n_classes: usize) -> Result<Vec<f32>, Error> {
    let refuse = |value: String, allowed: String| Error::Config { key: "class weights", value, allowed };
    if weights.dims() != [n_classes] {
        let allowed = format!("as many as there are classes: {n_classes}");
        return Err(refuse(format!("{} numbers", weights.elem_count()), allowed));
    }
    let weights = weights.to_vec1::<f32>()?;
    match weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
        Some(wrong) => Err(refuse(wrong.to_string(), "numbers above 0".to_owned())),
        None => Ok(weights),
    }
}

/// Refuses a label smoothing outside `[0, 1)`.
pub(crate) fn check_smoothing(smoothing: f32) -> Result<(), Error> {
    if (0.0..1.0).contains(&smoothing) {
        return Ok(());
    }
    let (value, allowed) = (smoothing.to_string(), "0 or more and below 1".to_owned());
    Err(Error::Config { key: "label smoothing", value, allowed })
}

/// Refuses settings that do not describe a network.
pub(crate) fn check_shape(
    config: &Config,
    arc: Option<&Arc>,
    input: InputShape,
    n_classes: usize,
) -> Result<(), Error> {
    arc.map_or(Ok(()), |arc| check_nodes(arc, config))?;
    config.validate()?;
    let least = |key, value: usize, low: usize| {
        if value >= low {
            return Ok(());
        }
        Err(Error::Config { key, value: value.to_string(), allowed: format!("{low} or more") })
    };
    least("number of classes", n_classes, 2)?;
    least("number of channels", input.channels, 1)?;
    least("image height", input.height, 1)?;
    least("image width", input.width, 1)
}

fn check_nodes(arc: &Arc, config: &Config) -> Result<(), Error> {
    if arc.n_nodes() == config.nodes {
        return Ok(());
    }
    let (got, want) = (arc.n_nodes(), config.nodes);
    Err(Error::Arc(format!("it has {got} nodes per cell, the network {want} (child.nodes)")))
}

impl Config {
    /// The optimiser's settings for the network's training steps.
    pub fn optimizer(&self, lr: f64) -> NesterovConfig {
        NesterovConfig { lr, momentum: self.momentum, l2: self.l2, clip_norm: self.clip_norm }
    }

    /// Whether the auxiliary head is built.
    pub fn has_aux_head(&self) -> bool {
        self.aux_head != AuxHead::Off
    }
}
