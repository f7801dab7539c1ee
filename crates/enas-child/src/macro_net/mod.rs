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
mod settings;
mod state;
mod train;

use enas_arc::MacroArc;
use enas_kernels::FeatureMap;
use enas_kernels::candle::NesterovConfig;

pub use self::config::{FixedOps, MacroConfig};
use self::network::MacroNetwork;
use crate::batch::Batch;
use crate::config::{InputShape, check_own_arc, check_sizes, check_weights};
use crate::error::Error;
use crate::loss::LossSettings;
use crate::network::builder::Builder;
use crate::params::{InitialWeights, MAX_WEIGHTS, NetworkRunningStats, Params};

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
    running: NetworkRunningStats,
    loss: LossSettings,
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
        start: impl Into<InitialWeights<'v>>,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, start.into(), MAX_WEIGHTS)
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
        start: impl Into<InitialWeights<'v>>,
    ) -> Result<Self, Error> {
        Self::fixed_within(config, arc, input, n_classes, start, MAX_WEIGHTS)
    }

    /// [`fixed`](Self::fixed) with an upper limit on the number of weights, for descriptions from an untrusted
    /// source.
    ///
    /// # Errors
    /// As for [`fixed`](Self::fixed), and if the network would have more than `max_weights` weights.
    pub fn fixed_within<'v>(
        config: &MacroConfig,
        arc: &MacroArc,
        input: InputShape,
        n_classes: usize,
        start: impl Into<InitialWeights<'v>>,
        max_weights: usize,
    ) -> Result<Self, Error> {
        check_layers(arc, config)?;
        if config.fixed_ops == FixedOps::FullConvolutions
            && let Some(index) = arc.layers().iter().position(|layer| layer.op.id() > 3)
        {
            let op = arc.layers()[index].op;
            let problem = format!("layer {} is {op}, and there are full convolutions only", index + 1);
            return Err(Error::Arc(format!("{problem} (macro.fixed_ops); as-searched takes pools as well")));
        }
        Self::new(config, Some(arc), input, n_classes, start.into(), max_weights.min(MAX_WEIGHTS))
    }

    fn new(
        config: &MacroConfig,
        arc: Option<&MacroArc>,
        input: InputShape,
        n_classes: usize,
        start: InitialWeights<'_>,
        max_weights: usize,
    ) -> Result<Self, Error> {
        config.validate()?;
        check_sizes(input, n_classes)?;
        // A first build only counts weights, before memory is allocated.
        let mut counter = Builder::new(None);
        MacroNetwork::new(&mut counter, config, arc, input, n_classes);
        check_weights("macro.filters", config.filters, counter.params.len(), max_weights)?;
        let mut builder = Builder::new(Some(start.into_cpu_builder()?));
        let network = MacroNetwork::new(&mut builder, config, arc, input, n_classes);
        let Builder { params, running, .. } = builder;
        let MacroConfig { momentum, l2, clip_norm, .. } = *config;
        let params = params.build(NesterovConfig { lr: 0.0, momentum, l2, clip_norm })?;
        Ok(Self {
            config: config.clone(),
            input,
            arc: arc.cloned(),
            network,
            params,
            running: NetworkRunningStats::new(running),
            loss: LossSettings::default(),
        })
    }

    /// Number of weights, batch norm included.
    pub fn n_params(&self) -> usize {
        self.params.len()
    }

    fn map(&self, images: &[f32], n: usize) -> FeatureMap {
        let InputShape { channels, height, width } = self.input;
        FeatureMap::from_nchw(images, n, channels, height, width)
    }

    /// Checks a batch and its arc; returns the number of images.
    fn check_batch(&self, arc: &MacroArc, batch: &Batch) -> Result<usize, Error> {
        self.check_arc(arc)?;
        batch.check_images(self.input, None)
    }

    fn check_arc(&self, arc: &MacroArc) -> Result<(), Error> {
        check_layers(arc, &self.config)?;
        check_own_arc(self.arc.as_ref(), arc)
    }
}

fn check_layers(arc: &MacroArc, config: &MacroConfig) -> Result<(), Error> {
    if arc.n_layers() == config.layers {
        return Ok(());
    }
    let got = arc.n_layers();
    let want = config.layers;
    Err(Error::Arc(format!("it has {got} layers, the network {want} (macro.layers)")))
}
