//! A network of either space, as the loops and the model file use it.

use candle_core::Tensor;
use enas_arc::{Arc, Arch, SpaceKind};
use enas_child::{
    Batch, Child, FixedNetwork, InputShape, LoadedWeights, MacroChild, MacroConfig, Norm, Step, StepStats,
};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_rng::Stream;

use crate::config::{RunConfig, SearchConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::files::safetensors::NamedTensor;

/// A network with its weights: cells (micro space), or layers (macro space).
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a run has one or two of them")]
pub enum Network {
    /// Cells.
    Micro(Child),
    /// Whole networks of layers, on the CPU only.
    Macro(MacroChild),
}

/// Word for a GPU in the error that refuses it.
pub const GPU: &str = "a GPU (--device cpu goes without)";

/// The shape of a data set's images as network input.
pub fn input_of(data: &Dataset) -> InputShape {
    InputShape { channels: data.channels, height: data.height, width: data.width }
}

/// Settings of the macro network of one arc; the number of layers is that of the arc.
pub fn of_arc(config: Option<&MacroConfig>, layers: usize) -> MacroConfig {
    MacroConfig { layers, ..config.cloned().unwrap_or_default() }
}

impl Network {
    /// A network with shared weights for every architecture of the search space, at its random initialisation.
    ///
    /// # Errors
    /// [`Error::Child`] if the settings do not fit the images.
    pub fn shared(config: &SearchConfig, data: &Dataset) -> Result<Self> {
        let input = input_of(data);
        let classes = data.classes.len();
        let seed = config.run.seed();
        Ok(match config.space() {
            SpaceKind::Micro => Self::Micro(Child::shared(&config.child, input, classes, seed)?),
            SpaceKind::Macro => {
                Self::Macro(MacroChild::shared(&config.macro_network(), input, classes, seed)?)
            }
        })
    }

    /// A network with weights for one architecture, at its random initialisation.
    ///
    /// # Errors
    /// As [`shared`](Self::shared), and if they do not fit the architecture.
    pub fn fixed(config: &TrainConfig, arch: &Arch, data: &Dataset) -> Result<Self> {
        let input = input_of(data);
        let classes = data.classes.len();
        let seed = config.run.seed();
        Ok(match arch {
            Arch::Micro(arc) => Self::Micro(Child::fixed(&config.child, arc, input, classes, seed)?),
            Arch::Macro(arc) => {
                let network = of_arc(config.macro_net.as_ref(), arc.n_layers());
                Self::Macro(MacroChild::fixed(&network, arc, input, classes, seed)?)
            }
        })
    }

    /// The network of cells; `None` in the macro space.
    pub fn micro(&self) -> Option<&Child> {
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
    pub fn cells(&mut self, what: &'static str) -> Result<&mut Child> {
        match self {
            Self::Micro(child) => Ok(child),
            Self::Macro(_) => Err(Error::CellsOnly(what)),
        }
    }

    /// One training step; see [`Child::train_on`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an architecture of the other space; otherwise as [`Child::train_on`].
    pub fn train_on(
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
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an architecture of the other space; otherwise as [`Child::logits`].
    pub fn logits(
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
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an architecture of the other space.
    pub fn macs(&self, arch: &Arch) -> Result<u64> {
        Ok(match (self, arch) {
            (Self::Micro(child), Arch::Micro(arc)) => child.macs(arc)?,
            (Self::Macro(child), Arch::Macro(arc)) => child.macs(arc)?,
            _ => return Err(of_another_space(arch)),
        })
    }

    /// The statistics that normalise scores with shared weights. Shared cells have only those of the batch; shared
    /// layers have moving statistics, which the authors' macro code uses for rewards.
    pub fn norm_of_scores(&self) -> Norm {
        match self {
            Self::Micro(_) => Norm::BatchStatistics,
            Self::Macro(_) => Norm::RunningStatistics,
        }
    }

    /// Trained weights, without the auxiliary head.
    pub fn n_params(&self) -> usize {
        match self {
            Self::Micro(child) => child.n_params(),
            Self::Macro(child) => child.n_params(),
        }
    }

    /// Weights of the auxiliary head.
    pub fn n_aux_params(&self) -> usize {
        self.micro().map_or(0, Child::n_aux_params)
    }

    /// The layout of the network in words.
    pub fn plan(&self) -> String {
        match self {
            Self::Micro(child) => child.layout().to_string(),
            Self::Macro(child) => child.layout(),
        }
    }

    /// All tensors that a saved model needs.
    ///
    /// # Errors
    /// [`Error::Child`] if the GPU does not return them.
    pub fn weights(&self) -> Result<Vec<NamedTensor>> {
        Ok(match self {
            Self::Micro(child) => child.weights()?,
            Self::Macro(child) => child.weights()?,
        })
    }

    /// All tensors that continuing a training needs.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn state(&self) -> Result<Vec<NamedTensor>> {
        Ok(match self {
            Self::Micro(child) => child.state()?,
            Self::Macro(child) => child.state()?,
        })
    }

    /// Loads weights or a state.
    ///
    /// # Errors
    /// [`Error::Child`] if a tensor is missing or has another shape.
    pub fn load(&mut self, tensors: &[NamedTensor]) -> Result<()> {
        match self {
            Self::Micro(child) => child.load(tensors)?,
            Self::Macro(child) => child.load(tensors)?,
        }
        Ok(())
    }

    /// Warm start: takes those weights of another network that fit.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] for a network of the macro space.
    pub fn adopt(&mut self, tensors: &[NamedTensor]) -> Result<LoadedWeights> {
        Ok(self.cells("--warm-start")?.load_matching(tensors)?)
    }

    /// Sets class weights and label smoothing of the loss, as the settings of a run say.
    ///
    /// # Errors
    /// Weights that do not fit the classes.
    pub fn set_loss(&mut self, run: &RunConfig, data: &Dataset) -> Result<()> {
        match self {
            Self::Micro(child) => set_loss(child, run, data),
            Self::Macro(child) => {
                if let Some(weights) = run.class_weights.of(data.train.labels(), &data.classes)? {
                    child.weigh_classes(&weights)?;
                }
                Ok(child.smooth_labels(run.label_smoothing)?)
            }
        }
    }

    /// The GPU that computes; `None` on the CPU.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.micro().and_then(Child::gpu)
    }

    /// The shape of the input.
    pub fn input(&self) -> InputShape {
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

/// A network of cells at its random initialisation.
pub fn fixed_child(config: &TrainConfig, arc: &Arc, data: &Dataset) -> Result<Child> {
    Ok(Child::fixed(&config.child, arc, input_of(data), data.classes.len(), config.run.seed())?)
}

/// Sets class weights and label smoothing of a child's loss, as the settings of a run say.
///
/// # Errors
/// Weights that do not fit the classes.
pub fn set_loss(child: &mut Child, run: &RunConfig, data: &Dataset) -> Result<()> {
    if let Some(weights) = run.class_weights.of(data.train.labels(), &data.classes)? {
        child.weigh_classes(&weights)?;
    }
    Ok(child.smooth_labels(run.label_smoothing)?)
}

/// The cells of an architecture; `what` names the function that needs them.
///
/// # Errors
/// [`Error::CellsOnly`] for an architecture of the macro space.
pub fn cells<'a>(arch: &'a Arch, what: &'static str) -> Result<&'a Arc> {
    arch.micro().ok_or(Error::CellsOnly(what))
}

fn of_another_space(arch: &Arch) -> Error {
    let space = arch.space();
    Error::Mismatch(format!("the architecture is of the {space} space, the network is not"))
}
