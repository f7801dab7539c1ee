//! Networks of the macro search space: the arc chooses the operation of every layer and its skip connections (Pham et
//! al. 2018, section 2.3).
//!
//! A layer of the search has six branches, each starting with a 1×1 convolution; the arc chooses one branch.
//! Differences from the authors' code:
//!
//! - Each branch computes its own operation. In the authors' code the closures `lambda: y` share one variable
//!   (`general_child.py:267-295`). So each computes the branch built last, the max pool, and the search ignores the
//!   chosen operations.
//! - Batch norms use the `ε` of [`enas_kernels::EPSILON`] everywhere, not 0.001 in some (`image_ops.py:134`).
//! - Moving statistics are bias-corrected, as everywhere in this crate; those of `image_ops.py:162-166` are not.
//!
//! These networks run on the CPU only.

mod config;
mod inference;
mod layer;
mod network;
mod op;
mod session;
mod state;

use candle_core::{Device, Tensor};
use enas_arc::MacroArc;
use enas_kernels::FeatureMap;
use enas_kernels::candle::{Guards, NesterovConfig};
use enas_rng::Stream;

pub use self::config::{FixedOps, MacroConfig};
use self::network::MacroNetwork;
use self::op::Evaluation;
use crate::backend::{Backend, Cpu, Statistics};
use crate::build::Builder;
use crate::child::{Norm, Step, StepStats, on_pool, on_the_host};
use crate::config::InputShape;
use crate::images::{check_images, check_targets, targets};
use crate::loss::{Loss, LossRule, Targets};
use crate::noise::{Noise, SeededNoise};
use crate::params::{Gradients, Params, Weights, is_finite};
use crate::running::Running;
use crate::start::Start;
use crate::tape::Tape;
use crate::{Error, Images, NamedTensor};

/// A network of the macro space with its weights and the optimiser's momentum.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use enas_child::{InputShape, MacroArc, MacroChild, MacroConfig, Norm, Seed, Step};
///
/// let config = MacroConfig { layers: 3, filters: 4, keep_prob: 1.0, ..MacroConfig::default() };
/// let input = InputShape { channels: 1, height: 8, width: 8 };
/// let mut child = MacroChild::shared(&config, input, 2, Seed::new(0))?;
///
/// // Two bright and two dark images; a convolution, then a pool that the stem is added to, then a convolution.
/// let arc = MacroArc::parse_any("1 = conv-3x3(0); 2 = max-pool-3x3(1) + 0; 3 = sep-conv-5x5(2)")?;
/// let bright = Tensor::new(&[1.0f32, -1.0, 1.0, -1.0], &Device::Cpu)?;
/// let images = bright.reshape((4, 1, 1, 1))?.repeat((1, 1, 8, 8))?;
/// let labels = Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu)?;
/// let step = Step { lr: 0.05, global_step: 0, total_steps: 1, seed: Seed::new(0) };
/// let before = child.train_step(&arc, &images, &labels, &step)?.loss;
/// let after = child.train_step(&arc, &images, &labels, &step)?.loss;
/// assert!(after < before);
/// assert_eq!(child.logits(&arc, &images, Norm::BatchStatistics, None)?.dims(), [4, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MacroChild {
    config: MacroConfig,
    input: InputShape,
    arc: Option<MacroArc>,
    network: MacroNetwork,
    params: Params,
    running: Running,
    /// Weight of each class in the loss of training steps.
    class_weights: Option<Vec<f32>>,
    /// Label smoothing in training steps.
    smoothing: f32,
}

/// Largest allowed number of weights; see [`Child`](crate::Child).
const MOST_WEIGHTS: usize = 1 << 30;

/// The results of a forward and backward pass.
struct Pass {
    loss: Loss,
    gradients: Gradients,
    moments: Vec<(usize, enas_kernels::BatchStats)>,
}

impl MacroChild {
    /// A network with weights for every arc of `config.layers` layers.
    ///
    /// # Errors
    /// If a setting is out of range or `n_classes` is below 2.
    pub fn shared<'v>(
        config: &MacroConfig,
        input: InputShape,
        n_classes: usize,
        start: impl Into<Start<'v>>,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, (n_classes, MOST_WEIGHTS), start.into())
    }

    /// A network with private weights for one arc.
    ///
    /// # Errors
    /// As for [`shared`](Self::shared), if the arc's number of layers differs from `config.layers`, and if the arc
    /// has a pool with [`FixedOps::FullConvolutions`].
    pub fn fixed<'v>(
        config: &MacroConfig,
        arc: &MacroArc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<Start<'v>>,
    ) -> Result<Self, Error> {
        Self::fixed_within(config, arc, input, n_classes, start, MOST_WEIGHTS)
    }

    /// [`fixed`](Self::fixed) with an upper limit on the number of weights, for descriptions from an untrusted
    /// source.
    ///
    /// # Errors
    /// As for [`fixed`](Self::fixed), and if the network would have more than `most` weights.
    pub fn fixed_within<'v>(
        config: &MacroConfig,
        arc: &MacroArc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<Start<'v>>,
        most: usize,
    ) -> Result<Self, Error> {
        check_layers(arc, config)?;
        if config.fixed_ops == FixedOps::FullConvolutions
            && let Some(index) = arc.layers().iter().position(|layer| layer.op.id() > 3)
        {
            let op = arc.layers()[index].op;
            let problem = format!("layer {} is {op}, and there are full convolutions only", index + 1);
            return Err(Error::Arc(format!("{problem} (macro.fixed_ops); as-searched takes pools as well")));
        }
        Self::new(config, Some(arc), input, (n_classes, most.min(MOST_WEIGHTS)), start.into())
    }

    fn new(
        config: &MacroConfig,
        arc: Option<&MacroArc>,
        input: InputShape,
        (n_classes, most): (usize, usize),
        start: Start<'_>,
    ) -> Result<Self, Error> {
        config.validate()?;
        let sizes = [
            ("number of classes", n_classes, 2),
            ("number of channels", input.channels, 1),
            ("image height", input.height, 1),
            ("image width", input.width, 1),
        ];
        if let Some((key, value, least)) = sizes.into_iter().find(|(_, value, least)| value < least) {
            return Err(Error::Config { key, value: value.to_string(), allowed: format!("{least} or more") });
        }
        // A first build only counts weights, before memory is allocated.
        let mut places = Builder::new(None);
        MacroNetwork::new(&mut places, config, arc, input, n_classes);
        let weights = places.params.len();
        if weights > most {
            let value = format!("{} with {weights} weights in the whole network", config.filters);
            return Err(Error::Config { key: "macro.filters", value, allowed: format!("{most} weights") });
        }
        let mut builder = Builder::new(Some(on_the_host(start)?));
        let network = MacroNetwork::new(&mut builder, config, arc, input, n_classes);
        let Builder { params, running, .. } = builder;
        let MacroConfig { momentum, l2, clip_norm, .. } = *config;
        let params = params.build(NesterovConfig { lr: 0.0, momentum, l2, clip_norm })?;
        let running = Running::new(running);
        let (config, arc) = (config.clone(), arc.cloned());
        Ok(Self { config, input, arc, network, params, running, class_weights: None, smoothing: 0.0 })
    }

    /// Number of weights, batch norm included.
    pub fn n_params(&self) -> usize {
        self.params.len()
    }

    /// Multiply-adds per image at inference.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn macs(&self, arc: &MacroArc) -> Result<u64, Error> {
        self.check_arc(arc)?;
        // A batch of 0 images takes the same path and computes nothing.
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            let mut tape = Tape::new(&cpu, Statistics::Batch, false);
            let images = tape.input(self.map(&[], 0));
            self.network.forward(&mut tape, arc, images);
            Ok(tape.macs + self.network.classifier.macs())
        })
    }

    /// Logits `[n, classes]` of images `[n, c, h, w]` of F32, with dropout if `dropout` is given. Gradients are not
    /// tracked.
    ///
    /// Unlike shared cells, shared layers have moving statistics. They cover all arcs that used the layer in
    /// training.
    ///
    /// # Errors
    /// If the images or the arc do not fit the network, or if the images are on a GPU.
    pub fn logits<'i>(
        &self,
        arc: &MacroArc,
        images: impl Into<Images<'i>>,
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Tensor, Error> {
        self.check_arc(arc)?;
        let images = images.into().on_host()?;
        let n = check_images(images, self.input)?;
        let statistics = match norm {
            Norm::BatchStatistics => Statistics::Batch,
            Norm::RunningStatistics => Statistics::Running,
        };
        let evaluation = Evaluation { child: self, arc, statistics };
        let features = images.contiguous()?.apply_op1_no_bwd(&evaluation)?;
        let mut features = features.flatten_all()?.to_vec1::<f32>()?;
        if let Some(stream) = dropout {
            let keep = self.config.keep_prob;
            features.iter_mut().for_each(|x| *x *= (keep + stream.uniform()).floor() / keep);
        }
        let logits = self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            Ok(cpu.classify(&self.network.classifier, &features))
        })?;
        Ok(Tensor::from_vec(logits, (n, self.n_classes()), &Device::Cpu)?)
    }

    /// One training step: forward, backward, and the update of all weights and moving statistics.
    ///
    /// A step whose loss, gradient or statistics are not finite changes nothing.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, normalised; `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// If the batch or the arc does not fit the network.
    pub fn train_step(
        &mut self,
        arc: &MacroArc,
        images: &Tensor,
        labels: &Tensor,
        step: &Step,
    ) -> Result<StepStats, Error> {
        self.step(arc, images, &targets(labels, None)?, step)
    }

    fn step(
        &mut self,
        arc: &MacroArc,
        images: &Tensor,
        targets: &Targets,
        step: &Step,
    ) -> Result<StepStats, Error> {
        let noise = SeededNoise { seed: step.seed, step: step.global_step };
        let pass = self.pass(arc, images, targets, Some(&noise))?;
        let Pass { loss, gradients, moments } = pass;
        let mut stats = StepStats {
            loss: loss.mean,
            aux_loss: 0.0,
            correct: loss.correct,
            n: targets.labels.len(),
            grad_norm: f32::NAN,
        };
        // All values are checked before the first update, so that a failed step changes nothing.
        let moments_are_finite = moments.iter().all(|(_, of)| is_finite(&of.mean) && is_finite(&of.variance));
        if !(stats.loss.is_finite() && moments_are_finite && gradients.is_finite()) {
            return Ok(stats);
        }
        self.running.update(&moments)?;
        stats.grad_norm = on_pool(|| self.params.step(step.lr, &gradients))?;
        Ok(stats)
    }

    /// The loss of a batch and its gradient for every weight, without dropout and L2 penalty. Changes nothing.
    ///
    /// Shapes: as for [`train_step`](Self::train_step).
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn gradients(
        &self,
        arc: &MacroArc,
        images: &Tensor,
        labels: &Tensor,
    ) -> Result<(f32, Vec<NamedTensor>), Error> {
        let pass = self.pass(arc, images, &targets(labels, None)?, None)?;
        let gradients = self.params.read(|weights| weights.export_gradients(&pass.gradients, 0.0))?;
        Ok((pass.loss.mean, gradients))
    }

    /// A training pass that changes nothing. With `noise`, features have dropout.
    fn pass(
        &self,
        arc: &MacroArc,
        images: &Tensor,
        targets: &Targets,
        noise: Option<&dyn Noise>,
    ) -> Result<Pass, Error> {
        self.check_arc(arc)?;
        let n = check_images(images, self.input)?;
        check_targets(targets, n, self.network.classifier.classes)?;
        on_pool(|| self.params.read(|weights| self.pass_here(arc, (images, n), targets, noise, weights)))
    }

    fn pass_here(
        &self,
        arc: &MacroArc,
        (images, n): (&Tensor, usize),
        targets: &Targets,
        noise: Option<&dyn Noise>,
        weights: Weights<'_>,
    ) -> Result<Pass, Error> {
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, true);
        let images = images.contiguous()?;
        let guards = Guards::new([&images]);
        let map = self.map(guards.slices()?[0], n);
        drop(guards);
        let images = tape.input(map);
        let means = self.network.forward(&mut tape, arc, images).means;
        let (head, mut gradients) = (&self.network.classifier, cpu.gradients());
        let keep = self.config.keep_prob;
        let noise = noise.filter(|_| keep < 1.0);
        let factors = noise.map(|noise| cpu.drop_factors(noise, "dropout", n * head.channels, keep));
        let drop = |numbers: Vec<f32>| match &factors {
            Some(factors) => cpu.scale(&numbers, factors),
            None => numbers,
        };
        let features = drop(means.value.to_nchw());
        let logits = cpu.classify(head, &features);
        let (loss, grad) = cpu.cross_entropy(&logits, targets, head.classes, 1.0);
        let grad = drop(cpu.classify_backward(head, &features, &grad, &mut gradients));
        let moments = std::mem::take(&mut tape.batch_stats);
        let mut grads = vec![None; means.id + 1];
        grads[means.id] = Some(FeatureMap::from_nchw(&grad, n, head.channels, 1, 1));
        tape.backward(&[], &mut grads, &mut gradients, &|_, _, _| unreachable!("no layer is skipped"))?;
        Ok(Pass { loss, gradients, moments })
    }

    fn map(&self, images: &[f32], n: usize) -> FeatureMap {
        let InputShape { channels, height, width } = self.input;
        FeatureMap::from_nchw(images, n, channels, height, width)
    }

    fn check_arc(&self, arc: &MacroArc) -> Result<(), Error> {
        check_layers(arc, &self.config)?;
        match &self.arc {
            Some(own) if own != arc => {
                Err(Error::Arc(format!("the network was built for {own}, not for {arc}")))
            }
            _ => Ok(()),
        }
    }
}

fn check_layers(arc: &MacroArc, config: &MacroConfig) -> Result<(), Error> {
    if arc.n_layers() == config.layers {
        return Ok(());
    }
    let (got, want) = (arc.n_layers(), config.layers);
    Err(Error::Arc(format!("it has {got} layers, the network {want} (macro.layers)")))
}
