//! The model file: a trained network with everything that prediction needs.

use std::path::{Path, PathBuf};

use enas_arc::{Arc, Arch};
use enas_child::{Child, FixedNetwork, InputShape, MacroChild};
use enas_data::{InputSpec, Normalization, Storage};
use enas_kernels::gpu::{Gpu, Precision};

use super::metadata::{Accuracies, ModelMetadata, Refitted};
use crate::error::{Error, Result};
use crate::files::checksum::Checksum;
use crate::files::safetensors;
use crate::network::{GPU, Network, cells};

/// A trained network that predicts without further configuration.
///
/// The file is in the safetensors format. Its metadata hold the fields of this model, each as JSON: `arc`, `classes`,
/// `data` (size, channels, resize rule, …), `normalization`, `child`, `accuracy`, `temperature`.
#[derive(Debug)]
pub struct Model {
    pub(super) network: Network,
    pub(super) metadata: ModelMetadata,
    /// Maximum number of images per evaluation step.
    pub(super) eval_batch: usize,
    /// How images are stored; `None` if no memory plan says it.
    pub(super) storage: Option<Storage>,
    /// The folder of the file: a run directory, unless the file was moved.
    pub(super) folder: PathBuf,
}

/// Word used in the error that refuses a macro model.
const THIS: &str = "this";

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged file, another kind of file or a newer format, with the remedy; [`Error::Io`] if
    /// it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let file = safetensors::open(path)?;
        let broken = |problem: String| Error::File { path: path.to_owned(), problem };
        let metadata = ModelMetadata::parse(&file.metadata).map_err(&broken)?;
        // Before building the network, its size is compared with the number of values in the file.
        let damaged = || {
            let problem =
                "the file is damaged: its checksum is not that of its content; restore it or train again";
            broken(problem.into())
        };
        let mut network = match metadata.check().and_then(|()| metadata.network(file.numbers())) {
            Ok(network) => network,
            Err(_) if file.checksum()? == Checksum::Broken => return Err(damaged()),
            Err(e) => return Err(broken(format!("the stored network is impossible: {e}"))),
        };
        let contents = file.read()?;
        if contents.checksum == Checksum::Broken {
            return Err(damaged());
        }
        network
            .load(&contents.tensors)
            .map_err(|e| broken(format!("{e}; the file is damaged, train again")))?;
        let eval_batch = metadata.eval_batch;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { network, metadata, eval_batch, storage: None, folder })
    }

    /// Maximum number of images per evaluation step.
    pub fn eval_batch(&self) -> usize {
        self.eval_batch
    }

    /// The architecture, of either space.
    pub fn arch(&self) -> &Arch {
        &self.metadata.arc
    }

    /// The architecture of a network of cells.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] for a network of the macro space.
    pub fn arc(&self) -> Result<&Arc> {
        cells(&self.metadata.arc, THIS)
    }

    /// Class names in the order of the label numbers.
    pub fn classes(&self) -> &[String] {
        &self.metadata.classes
    }

    /// Channels, height and width of the input.
    pub fn input(&self) -> InputShape {
        self.network.input()
    }

    /// How an image file is converted to input, for [`enas_data::prepare_file`]. Apply [`Model::normalization`]
    /// afterwards.
    pub fn input_spec(&self) -> InputSpec {
        self.metadata.data.input()
    }

    /// The normalisation of the input.
    pub fn normalization(&self) -> &Normalization {
        &self.metadata.normalization
    }

    /// How the training's images were read.
    pub fn data_config(&self) -> &enas_data::Config {
        &self.metadata.data
    }

    /// The fitted temperature; `None` if the validation split had too few mistakes.
    pub fn calibration(&self) -> Option<f64> {
        self.metadata.temperature
    }

    /// The images of the refit, if there was one.
    pub fn refit(&self) -> Option<Refitted> {
        self.metadata.refit
    }

    /// The accuracies reported by the training.
    pub fn accuracy(&self) -> Accuracies {
        self.metadata.accuracy
    }

    /// The temperature that logits are divided by for calibrated probabilities (Guo et al., ICML 2017). It is fitted
    /// on the validation split at the end of the training. 1 if that split had too few mistakes, and in models of
    /// early versions.
    pub fn temperature(&self) -> f64 {
        self.metadata.temperature.unwrap_or(1.0)
    }

    /// Version of the program that trained it.
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// Computes on `gpu` instead of the CPU, in single precision.
    ///
    /// # Errors
    /// If the network does not fit into the GPU's memory; [`Error::CellsOnly`] for a macro network.
    pub fn use_gpu(&mut self, gpu: &Gpu) -> Result<()> {
        match &mut self.network {
            Network::Micro(child) => Ok(child.use_gpu(gpu, Precision::F32)?),
            Network::Macro(_) => Err(Error::CellsOnly(GPU)),
        }
    }

    /// Writes the model to another file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn save_copy(&self, path: &Path) -> Result<()> {
        save(path, &self.network, &self.metadata)
    }

    /// The network of either space, for programs that use it without training.
    pub fn network(&self) -> &dyn FixedNetwork {
        self.network.as_fixed()
    }

    /// The network of cells.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] for a network of the macro space.
    pub fn child(&self) -> Result<&Child> {
        self.network.micro().ok_or(Error::CellsOnly(THIS))
    }

    /// The network of the macro space; `None` for a network of cells.
    pub fn macro_child(&self) -> Option<&MacroChild> {
        match &self.network {
            Network::Micro(_) => None,
            Network::Macro(child) => Some(child),
        }
    }

    /// All tensors of the network.
    ///
    /// # Errors
    /// As [`Network::weights`].
    pub fn weights(&self) -> Result<Vec<safetensors::NamedTensor>> {
        self.network.weights()
    }

    /// Number of trained weights, without the auxiliary head.
    pub fn n_params(&self) -> usize {
        self.network.n_params()
    }

    /// Multiply-adds per image.
    ///
    /// # Errors
    /// None for a loaded model.
    pub fn macs(&self) -> Result<u64> {
        self.network.macs(self.arch())
    }
}

/// Writes the model file of a network atomically.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn save(path: &Path, network: &Network, metadata: &ModelMetadata) -> Result<()> {
    safetensors::write(path, &metadata.to_map(), &network.weights()?)
}
