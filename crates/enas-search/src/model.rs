//! The model file: a trained network with everything that prediction needs.

mod data;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use enas_arc::{Arc, Arch};
use enas_child::{Child, FixedNetwork, InputShape, MacroChild, MacroConfig, Norm};
use enas_data::{Dataset, InputSpec, Normalization, Split};
use enas_kernels::candle::{read, write};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::calibration;
use crate::config::RefitImages;
use crate::divergence::Symptom;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, even_batch};
use crate::feed::Source;
use crate::network::{GPU, Network, cells, of_arc};
use crate::seal::Seal;
use crate::tensors;
use crate::tta::{Tta, to_probabilities};

/// A trained network that predicts without further configuration.
///
/// The file is in the safetensors format. Its metadata hold the fields of this model, each as JSON: `arc`, `classes`,
/// `data` (size, channels, resize rule, …), `normalization`, `child`, `accuracy`, `temperature`.
#[derive(Debug)]
pub struct Model {
    network: Network,
    about: About,
    /// Maximum number of images per evaluation step.
    eval_batch: usize,
    /// The folder of the file: a run directory, unless the file was moved.
    folder: PathBuf,
}

/// The accuracies reported by the training, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracies {
    /// On the validation split.
    pub valid: f64,
    /// On the test split, once the training is complete.
    pub test: Option<f64>,
}

/// The metadata of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Format version of the file; raised when older programs can no longer read it.
    pub(crate) enas_model: u32,
    /// Version of the program that wrote it.
    pub(crate) version: String,
    pub(crate) arc: Arch,
    pub(crate) classes: Vec<String>,
    pub(crate) child: enas_child::Config,
    /// The settings of a macro network.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub(crate) macro_net: Option<MacroConfig>,
    pub(crate) data: enas_data::Config,
    /// Seed of the training, from which splits are drawn if the data set has none.
    pub(crate) seed: u64,
    pub(crate) normalization: Normalization,
    /// Maximum number of images per evaluation step in training.
    pub(crate) eval_batch: usize,
    /// The views of test-time augmentation.
    #[serde(default, skip_serializing_if = "Tta::is_none")]
    pub(crate) tta: Tta,
    pub(crate) accuracy: Accuracies,
    /// Temperature that logits are divided by; `None` if the validation split has too few mistakes to fit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    /// The images of a refit, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refit: Option<Refitted>,
}

/// The images of a refit. The reported accuracies are those of the network before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refitted {
    /// Which images joined the training images.
    pub images: RefitImages,
    /// Total number of training images in the refit.
    pub fitted: usize,
}

/// The splits that a network is measured on at the end of its training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The validation split, for the temperature, and the test split.
    Both,
    /// The test split only, because the network has learned from the validation split.
    Test,
}

/// How a network is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Maximum number of images per step.
    pub(crate) eval_batch: usize,
    /// The views of test-time augmentation.
    pub(crate) tta: Tta,
}

/// Word used in the error that refuses a macro model.
const THIS: &str = "this";

/// The format version that this program writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged file, another kind of file or a newer format, with the remedy; [`Error::Io`] if
    /// it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let file = tensors::open(path)?;
        let broken = |problem: String| Error::File { path: path.to_owned(), problem };
        let about = About::parse(&file.metadata).map_err(&broken)?;
        // Before building the network, its size is compared with the number of values in the file.
        let damaged = || {
            let problem =
                "the file is damaged: its checksum is not that of its content; restore it or train again";
            broken(problem.into())
        };
        let mut network = match about.check().and_then(|()| about.network(file.numbers())) {
            Ok(network) => network,
            Err(_) if file.seal()? == Seal::Broken => return Err(damaged()),
            Err(e) => return Err(broken(format!("the stored network is impossible: {e}"))),
        };
        let contents = file.read()?;
        if contents.seal == Seal::Broken {
            return Err(damaged());
        }
        network
            .load(&contents.tensors)
            .map_err(|e| broken(format!("{e}; the file is damaged, train again")))?;
        let eval_batch = about.eval_batch;
        Ok(Self { network, about, eval_batch, folder: path.parent().unwrap_or(Path::new("")).to_owned() })
    }

    /// Class scores (logits) of images that were prepared like the training's validation images. With test-time
    /// augmentation they are logarithms of the mean probabilities over the views.
    ///
    /// Shapes: `images` is `[n, c, h, w]` of F32, normalised; the result is `[n, classes]`.
    ///
    /// # Errors
    /// [`Error::Child`] if `images` has another shape.
    pub fn logits(&self, images: &Tensor) -> Result<Tensor> {
        self.about.tta.logits(&self.network, self.arch(), images)
    }

    /// Calibrated class probabilities: the softmax of [`Model::logits`] divided by [`Model::temperature`]. Each row
    /// sums to 1.
    ///
    /// Shapes: `images` is `[n, c, h, w]` of F32, normalised; the result is `[n, classes]`.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor> {
        let rows = self.logits(images)?;
        let scale = (1.0 / self.temperature()) as f32;
        write(&rows, |rows| rows.iter_mut().for_each(|logit| *logit *= scale))?;
        to_probabilities(&rows)?;
        Ok(rows)
    }

    /// Uncalibrated class probabilities: the softmax of [`Model::logits`]. Each row sums to 1.
    ///
    /// Shapes: `images` is `[n, c, h, w]` of F32, normalised; the result is `[n, classes]`.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn raw_probabilities(&self, images: &Tensor) -> Result<Tensor> {
        let rows = self.logits(images)?;
        to_probabilities(&rows)?;
        Ok(rows)
    }

    /// Normalises images that were prepared by [`Model::input_spec`], for [`Model::logits`].
    ///
    /// Shapes: each image is `[c, h, w]`, one byte per value; the result is `[n, c, h, w]` of F32.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if an image has another size.
    pub fn images<P: AsRef<[u8]>>(&self, pictures: &[P]) -> Result<Tensor> {
        let InputShape { channels, height, width } = self.input();
        let len = channels * height * width;
        let mut images = vec![0.0; pictures.len() * len];
        for (picture, image) in pictures.iter().zip(images.chunks_exact_mut(len)) {
            let picture = picture.as_ref();
            if picture.len() != len {
                let got = picture.len();
                return Err(Error::Mismatch(format!(
                    "a picture has {got} bytes, the network takes {channels}x{height}x{width}"
                )));
            }
            self.normalization().apply(picture, image);
        }
        Ok(Tensor::from_vec(images, (pictures.len(), channels, height, width), &Device::Cpu)?)
    }

    fn asking(&self) -> Asking {
        Asking { eval_batch: self.eval_batch, tta: self.about.tta }
    }

    /// Predicts a whole split, such as one from [`Model::load_split`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the images have another size or the split has more classes.
    pub fn evaluate(&self, split: &Split) -> Result<Evaluation> {
        check(&self.network, self.classes(), split)?;
        let source = Source::of(split, &self.network)?;
        Ok(evaluate((&self.network, self.arch()), self.classes(), &source, self.asking())?.0)
    }

    /// Uncalibrated class probabilities of every image of a split in stored order. Each row sums to 1.
    ///
    /// Shapes: the result is `[n, classes]`.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn split_probabilities(&self, split: &Split) -> Result<Tensor> {
        check(&self.network, self.classes(), split)?;
        let shape = (split.len(), self.classes().len());
        let mut rows: Vec<f32> = Vec::with_capacity(shape.0 * shape.1);
        let source = Source::of(split, &self.network)?;
        each_batch((&self.network, self.arch()), &source, self.asking(), |logits, _| {
            Ok(read(logits, |logits| rows.extend_from_slice(logits))?)
        })?;
        let rows = Tensor::from_vec(rows, shape, &Device::Cpu)?;
        to_probabilities(&rows)?;
        Ok(rows)
    }

    /// Maximum number of images per evaluation step.
    pub fn eval_batch(&self) -> usize {
        self.eval_batch
    }

    /// The architecture, of either space.
    pub fn arch(&self) -> &Arch {
        &self.about.arc
    }

    /// The architecture of a network of cells.
    ///
    /// # Errors
    /// [`Error::CellsOnly`] for a network of the macro space.
    pub fn arc(&self) -> Result<&Arc> {
        cells(&self.about.arc, THIS)
    }

    /// Class names in the order of the label numbers.
    pub fn classes(&self) -> &[String] {
        &self.about.classes
    }

    /// Channels, height and width of the input.
    pub fn input(&self) -> InputShape {
        self.network.input()
    }

    /// How an image file is converted to input, for [`enas_data::prepare_file`]. Apply [`Model::normalization`]
    /// afterwards.
    pub fn input_spec(&self) -> InputSpec {
        self.about.data.input()
    }

    /// The normalisation of the input.
    pub fn normalization(&self) -> &Normalization {
        &self.about.normalization
    }

    /// How the training's images were read.
    pub fn data_config(&self) -> &enas_data::Config {
        &self.about.data
    }

    /// The fitted temperature; `None` if the validation split had too few mistakes.
    pub(crate) fn calibration(&self) -> Option<f64> {
        self.about.temperature
    }

    /// The images of the refit, if there was one.
    pub fn refit(&self) -> Option<Refitted> {
        self.about.refit
    }

    /// The accuracies reported by the training.
    pub fn accuracy(&self) -> Accuracies {
        self.about.accuracy
    }

    /// The temperature that logits are divided by for calibrated probabilities (Guo et al., ICML 2017). It is fitted
    /// on the validation split at the end of the training. 1 if that split had too few mistakes, and in models of
    /// early versions.
    pub fn temperature(&self) -> f64 {
        self.about.temperature.unwrap_or(1.0)
    }

    /// Version of the program that trained it.
    pub fn version(&self) -> &str {
        &self.about.version
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
        save(path, &self.network, &self.about)
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
    pub(crate) fn weights(&self) -> Result<Vec<tensors::NamedTensor>> {
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

impl About {
    /// A network of this description at its random initialisation.
    ///
    /// # Errors
    /// If it needs more than `most` weights, or the description is invalid.
    fn network(&self, most: usize) -> Result<Network> {
        let InputSpec { channels, height, width, .. } = self.data.input();
        let (input, seed) = (InputShape { channels, height, width }, Seed::new(self.seed));
        let classes = self.classes.len();
        Ok(match &self.arc {
            Arch::Micro(arc) => {
                Network::Micro(Child::fixed_within(&self.child, arc, input, classes, seed, most)?)
            }
            Arch::Macro(arc) => {
                let config = of_arc(self.macro_net.as_ref(), arc.n_layers());
                Network::Macro(MacroChild::fixed_within(&config, arc, input, classes, seed, most)?)
            }
        })
    }

    /// Refuses values that no training writes and no prediction can use.
    fn check(&self) -> Result<()> {
        self.data.check()?;
        let Normalization { mean, std } = &self.normalization;
        let channels = self.data.channels;
        let usable = mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if mean.len() != channels || std.len() != channels || !usable {
            let found = format!("means {mean:?} and deviations {std:?} for {channels} channels");
            return Err(Error::Mismatch(format!("pictures cannot be normalised by {found}")));
        }
        if self.temperature.is_some_and(|t| !(t.is_finite() && t > 0.0)) {
            return Err(Error::Mismatch("its temperature is not a number above 0".into()));
        }
        if self.eval_batch == 0 {
            return Err(Error::Mismatch("it evaluates 0 pictures at a time".into()));
        }
        Ok(())
    }

    /// Parses the metadata of a file.
    fn parse(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let Some(format) = metadata.get("enas_model") else {
            return Err(
                "this is a safetensors file, but not a model of this program; `enas train` writes one".into(),
            );
        };
        if format.parse::<u32>().is_ok_and(|format| format > FORMAT) {
            return Err(format!(
                "the model has format {format}, this program reads up to {FORMAT}; use a newer version"
            ));
        }
        let parse = |(key, text): (&String, &String)| Some((key.clone(), serde_json::from_str(text).ok()?));
        let fields: serde_json::Map<_, _> = metadata.iter().filter_map(parse).collect();
        serde_json::from_value(fields.into()).map_err(|e| {
            format!("the description of the model is damaged or of another version ({e}); train again")
        })
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let value = serde_json::to_value(self).expect("plain data");
        let fields = value.as_object().expect("a structure is an object");
        fields.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
    }
}

/// Writes the model file of a network atomically.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub(crate) fn save(path: &Path, network: &Network, about: &About) -> Result<()> {
    tensors::write(path, &about.metadata(), &network.weights()?)
}

/// Completes a model file with the temperature and the test accuracy. Returns the accuracy on the validation split
/// and the predictions on the test split. Computes on `gpu` if there is one, `eval_batch` images at a time.
pub(crate) fn conclude(
    path: &Path,
    data: &Dataset,
    (gpu, eval_batch): (Option<&Gpu>, usize),
    measure: Measure,
) -> Result<(f64, Evaluation)> {
    let mut model = Model::load(path)?;
    model.eval_batch = eval_batch;
    if let Some(gpu) = gpu {
        model.use_gpu(gpu)?;
    }
    if measure == Measure::Both {
        let valid = model.split_probabilities(&data.valid)?;
        model.about.temperature =
            calibration::kept(&valid, &Tensor::new(data.valid.labels(), &Device::Cpu)?)?;
    }
    let tested = model.evaluate(&data.test)?;
    model.about.accuracy.test = Some(tested.accuracy());
    save(path, &model.network, &model.about)?;
    Ok((model.about.accuracy.valid, tested))
}

/// Checks that a split has the image size and the classes of a network.
fn check(network: &Network, classes: &[String], split: &Split) -> Result<()> {
    let InputShape { channels, height, width } = network.input();
    if split.image_len() != channels * height * width {
        return Err(Error::Mismatch(format!(
            "the network takes pictures of {channels}x{height}x{width}; these differ"
        )));
    }
    if let Some(label) = split.labels().iter().find(|&&label| label as usize >= classes.len()) {
        return Err(Error::Mismatch(format!(
            "the network knows {} classes; a picture has label {label}",
            classes.len()
        )));
    }
    Ok(())
}

/// Predictions on a whole split with moving statistics, and a symptom if any class score was not finite.
pub(crate) fn evaluate(
    (network, arch): (&Network, &Arch),
    classes: &[String],
    source: &Source,
    asking: Asking,
) -> Result<(Evaluation, Option<Symptom>)> {
    check(network, classes, source.split())?;
    let (mut evaluation, mut symptom) = (Evaluation::new(classes), None);
    each_batch((network, arch), source, asking, |logits, labels| {
        let found = Symptom::of_logits(logits)?;
        symptom = symptom.take().or(found);
        evaluation.count(logits, labels)
    })?;
    Ok((evaluation, symptom))
}

/// Calls `take` with logits `[n, classes]` and labels `[n]` of a whole split, batch by batch in stored order.
fn each_batch(
    (network, arch): (&Network, &Arch),
    source: &Source,
    Asking { eval_batch, tta }: Asking,
    mut take: impl FnMut(&Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    if tta != Tta::None {
        // The host computes the views, even if the images are on the GPU.
        for batch in source.split().ordered(even_batch(source.split().len(), eval_batch))? {
            let (images, labels) = batch?.into_tensors(&Device::Cpu)?;
            take(&tta.logits(network, arch, &images)?, &labels)?;
        }
        return Ok(());
    }
    for batch in source.ordered(even_batch(source.split().len(), eval_batch))? {
        let batch = batch?;
        let logits = network.logits(arch, batch.images(), Norm::RunningStatistics, None)?;
        take(&logits, &batch.labels)?;
    }
    Ok(())
}
