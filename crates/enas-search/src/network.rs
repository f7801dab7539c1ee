//! A network of either space, as the loops and the model file use it.

use candle_core::Tensor;
use enas_arc::{Arc, Arch, SpaceKind};
use enas_child::{
    Batch, Child, FixedNetwork, InputShape, LoadedWeights, MacroChild, MacroConfig, Norm, Step, StepStats,
};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Stream;

use crate::config::{SearchConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::tensors::NamedTensor;

/// A network with its weights: cells (micro space), or layers (macro space).
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a run has one or two of them")]
pub(crate) enum Network {
    Micro(Child),
    /// On the CPU only.
    Macro(MacroChild),
}

/// Word for a GPU in the error that refuses it.
pub(crate) const GPU: &str = "a GPU (--device cpu goes without)";

/// The shape of a data set's images as network input.
pub(crate) fn input_of(data: &Dataset) -> InputShape {
    InputShape { channels: data.channels, height: data.height, width: data.width }
}

/// Settings of the macro network of one arc; the number of layers is that of the arc.
pub(crate) fn of_arc(config: Option<&MacroConfig>, layers: usize) -> MacroConfig {
    MacroConfig { layers, ..config.cloned().unwrap_or_default() }
}

impl Network {
    /// A network with shared weights for every architecture of the search space, at its random initialisation.
    pub(crate) fn shared(config: &SearchConfig, data: &Dataset) -> Result<Self> {
        let (input, classes, seed) = (input_of(data), data.classes.len(), config.run.seed());
        Ok(match config.space() {
            SpaceKind::Micro => Self::Micro(Child::shared(&config.child, input, classes, seed)?),
            SpaceKind::Macro => {
                Self::Macro(MacroChild::shared(&config.macro_network(), input, classes, seed)?)
            }
        })
    }

    /// A network with weights for one architecture, at its random initialisation.
    pub(crate) fn fixed(config: &TrainConfig, arch: &Arch, data: &Dataset) -> Result<Self> {
        let (input, classes, seed) = (input_of(data), data.classes.len(), config.run.seed());
        Ok(match arch {
            Arch::Micro(arc) => Self::Micro(Child::fixed(&config.child, arc, input, classes, seed)?),
            Arch::Macro(arc) => {
                let network = of_arc(config.macro_net.as_ref(), arc.n_layers());
                Self::Macro(MacroChild::fixed(&network, arc, input, classes, seed)?)
            }
        })
    }

    /// The network of cells; `None` in the macro space.
    pub(crate) fn micro(&self) -> Option<&Child> {
        match self {
            Self::Micro(child) => Some(child),
            Self::Macro(_) => None,
        }
    }

    /// The network of either space, for use without training.
    pub(crate) fn as_fixed(&self) -> &dyn FixedNetwork {
        match self {
            Self::Micro(child) => child,
            Self::Macro(child) => child,
        }
    }

    /// The network of cells; `what` names the function that needs it.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] for a network of the macro space.
    pub(crate) fn cells(&mut self, what: &'static str) -> Result<&mut Child> {
        match self {
            Self::Micro(child) => Ok(child),
            Self::Macro(_) => Err(Error::CellsOnly(what)),
        }
    }

    /// One training step; see [`Child::train_on`].
    pub(crate) fn train_on(
        &mut self,
        arch: &Arch,
        examples: &Batch,
        step: &Step,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<StepStats> {
        Ok(match (self, arch) {
            (Self::Micro(child), Arch::Micro(arc)) => child.train_on(arc, examples, step, meanwhile)?,
            (Self::Macro(child), Arch::Macro(arc)) => child.train_on(arc, examples, step, meanwhile)?,
            _ => return Err(of_another_space(arch)),
        })
    }

    /// Class scores (logits) `[n, classes]` of images `[n, c, h, w]`; see [`Child::logits`].
    pub(crate) fn logits(
        &self,
        arch: &Arch,
        images: impl Into<Batch>,
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Tensor> {
        Ok(match (self, arch) {
            (Self::Micro(child), Arch::Micro(arc)) => child.logits(arc, images, norm, dropout)?,
            (Self::Macro(child), Arch::Macro(arc)) => child.logits(arc, images, norm, dropout)?,
            _ => return Err(of_another_space(arch)),
        })
    }

    /// Multiply-adds per image at inference.
    pub(crate) fn macs(&self, arch: &Arch) -> Result<u64> {
        Ok(match (self, arch) {
            (Self::Micro(child), Arch::Micro(arc)) => child.macs(arc)?,
            (Self::Macro(child), Arch::Macro(arc)) => child.macs(arc)?,
            _ => return Err(of_another_space(arch)),
        })
    }

    /// The statistics that normalise scores with shared weights. Shared cells have only those of the batch; shared
    /// layers have moving statistics, which the authors' macro code uses for rewards.
    pub(crate) fn norm_of_scores(&self) -> Norm {
        match self {
            Self::Micro(_) => Norm::BatchStatistics,
            Self::Macro(_) => Norm::RunningStatistics,
        }
    }

    /// Trained weights, without the auxiliary head.
    pub(crate) fn n_params(&self) -> usize {
        match self {
            Self::Micro(child) => child.n_params(),
            Self::Macro(child) => child.n_params(),
        }
    }

    /// Weights of the auxiliary head.
    pub(crate) fn n_aux_params(&self) -> usize {
        self.micro().map_or(0, Child::n_aux_params)
    }

    /// The layout of the network in words.
    pub(crate) fn plan(&self) -> String {
        match self {
            Self::Micro(child) => child.layout().to_string(),
            Self::Macro(child) => child.layout(),
        }
    }

    /// All tensors that a saved model needs.
    pub(crate) fn weights(&self) -> Result<Vec<NamedTensor>> {
        Ok(match self {
            Self::Micro(child) => child.weights()?,
            Self::Macro(child) => child.weights()?,
        })
    }

    /// All tensors that continuing a training needs.
    pub(crate) fn state(&self) -> Result<Vec<NamedTensor>> {
        Ok(match self {
            Self::Micro(child) => child.state()?,
            Self::Macro(child) => child.state()?,
        })
    }

    /// Loads weights or a state.
    pub(crate) fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        match self {
            Self::Micro(child) => child.load(tensors)?,
            Self::Macro(child) => child.load(tensors)?,
        }
        Ok(())
    }

    /// Warm start: takes those weights of another network that fit.
    pub(crate) fn adopt(&mut self, tensors: &[NamedTensor]) -> Result<LoadedWeights> {
        Ok(self.cells("--warm-start")?.load_matching(tensors)?)
    }

    /// Sets class weights of the loss, `[classes]`; see [`Child::weigh_classes`].
    pub(crate) fn weigh_classes(&mut self, weights: &Tensor) -> Result<()> {
        match self {
            Self::Micro(child) => child.weigh_classes(weights)?,
            Self::Macro(child) => child.weigh_classes(weights)?,
        }
        Ok(())
    }

    /// Sets label smoothing; see [`Child::smooth_labels`].
    pub(crate) fn smooth_labels(&mut self, smoothing: f32) -> Result<()> {
        match self {
            Self::Micro(child) => child.smooth_labels(smoothing)?,
            Self::Macro(child) => child.smooth_labels(smoothing)?,
        }
        Ok(())
    }

    /// The GPU that computes; `None` on the CPU.
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        self.micro().and_then(Child::gpu)
    }

    /// The shape of the input.
    pub(crate) fn input(&self) -> InputShape {
        match self {
            Self::Micro(child) => child.input(),
            Self::Macro(child) => child.input(),
        }
    }
}

impl From<Child> for Network {
    fn from(child: Child) -> Self {
        Self::Micro(child)
    }
}

/// The cells of an architecture; `what` names the function that needs them.
///
/// # Errors
/// [`Error::CellsOnly`] for an architecture of the macro space.
pub(crate) fn cells<'a>(arch: &'a Arch, what: &'static str) -> Result<&'a Arc> {
    arch.micro().ok_or(Error::CellsOnly(what))
}

fn of_another_space(arch: &Arch) -> Error {
    let space = arch.space();
    Error::Mismatch(format!("the architecture is of the {space} space, the network is not"))
}
