//! The model file: a trained network with all that predicting needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use enas_arc::Arc;
use enas_child::{Child, InputShape, Norm};
use enas_data::{Holding, InputSpec, Normalization, NormalizationMode, Part, Skipped, Split};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::divergence::Symptom;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, even_batch};
use crate::feed::Source;
use crate::memory::MemoryPlan;
use crate::run::{SPLIT, stored_split};
use crate::seal::Seal;
use crate::tensors;
use crate::tta::{Tta, softmax};

/// A trained network that predicts with no configuration beside it.
///
/// The file is in the safetensors format. Its metadata are the fields of this model, each as JSON: `arc`,
/// `classes`, `data` (size, channels, resize rule, …), `normalization`, `child`, `accuracy`.
#[derive(Debug)]
pub struct Model {
    child: Child,
    about: About,
    /// Most pictures per evaluation step.
    eval_batch: usize,
    /// Where the file lies: in a run directory, if nobody moved it.
    folder: PathBuf,
}

/// The accuracies that training reported, 0 to 1.
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
    /// Format of the file; raised when older programs could no longer read it.
    pub(crate) enas_model: u32,
    /// Version of the program that wrote it.
    pub(crate) version: String,
    pub(crate) arc: Arc,
    pub(crate) classes: Vec<String>,
    pub(crate) child: enas_child::Config,
    pub(crate) data: enas_data::Config,
    /// Seed of the training, which decided about splits that the data did not have.
    pub(crate) seed: u64,
    pub(crate) normalization: Normalization,
    /// Most pictures per evaluation step in training.
    pub(crate) eval_batch: usize,
    /// The views of a picture that an answer is averaged over.
    #[serde(default, skip_serializing_if = "Tta::is_none")]
    pub(crate) tta: Tta,
    pub(crate) accuracy: Accuracies,
}

/// How a network is asked for its answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Most pictures per step.
    pub(crate) eval_batch: usize,
    /// The views of a picture that an answer is averaged over.
    pub(crate) tta: Tta,
}

/// The format that this program writes, and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::File`] for a damaged, foreign or newer file, with the remedy.
    pub fn load(path: &Path) -> Result<Self> {
        let file = tensors::open(path)?;
        let broken = |problem: String| Error::File { path: path.to_owned(), problem };
        let about = About::parse(&file.metadata).map_err(&broken)?;
        // No network is built that the file does not hold the weights of.
        let damaged = || {
            let problem =
                "the file is damaged: its checksum is not that of its content; restore it or train again";
            broken(problem.into())
        };
        let mut child = match about.check().and_then(|()| about.child(file.numbers())) {
            Ok(child) => child,
            Err(_) if file.seal()? == Seal::Broken => return Err(damaged()),
            Err(e) => return Err(broken(format!("the stored network is impossible: {e}"))),
        };
        let contents = file.read()?;
        if contents.seal == Seal::Broken {
            return Err(damaged());
        }
        child
            .load(&contents.tensors)
            .map_err(|e| broken(format!("{e}; the file is damaged, train again")))?;
        let eval_batch = about.eval_batch;
        Ok(Self { child, about, eval_batch, folder: path.parent().unwrap_or(Path::new("")).to_owned() })
    }

    /// Class scores of pictures that were prepared like the training's validation pictures. Where the model averages
    /// its answer over several views of a picture, they are the logarithms of the mean probabilities.
    ///
    /// Shapes: `images` is `[n, c, h, w]`, normalised; the result `[n, classes]`.
    ///
    /// # Errors
    /// [`Error::Child`] when `images` is no whole number of pictures.
    pub fn logits(&self, images: &[f32]) -> Result<Vec<f32>> {
        self.about.tta.logits(&self.child, self.arc(), images)
    }

    /// Class probabilities: the softmax of [`Model::logits`]. Each row sums to 1.
    ///
    /// Shapes: `images` is `[n, c, h, w]`, normalised; the result `[n, classes]`.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn probabilities(&self, images: &[f32]) -> Result<Vec<f32>> {
        let mut rows = self.logits(images)?;
        rows.chunks_exact_mut(self.classes().len()).for_each(softmax);
        Ok(rows)
    }

    fn asking(&self) -> Asking {
        Asking { eval_batch: self.eval_batch, tta: self.about.tta }
    }

    /// Predicts a whole split, such as [`Model::load_split`] gives.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the split's pictures have another size or more classes.
    pub fn evaluate(&self, split: &Split) -> Result<Evaluation> {
        check(&self.child, self.classes(), split)?;
        let source = Source::new(split, &self.child)?;
        Ok(evaluate(&self.child, self.classes(), &source, self.asking())?.0)
    }

    /// Class probabilities of every picture of a split in stored order, as [`Model::evaluate`] finds them. Each row
    /// sums to 1.
    ///
    /// Shapes: the result is `[n, classes]`.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn split_probabilities(&self, split: &Split) -> Result<Vec<f32>> {
        check(&self.child, self.classes(), split)?;
        let mut rows = Vec::with_capacity(split.len() * self.classes().len());
        let source = Source::new(split, &self.child)?;
        each_batch(&self.child, &source, self.asking(), |logits, _| rows.extend_from_slice(logits))?;
        rows.chunks_exact_mut(self.classes().len()).for_each(softmax);
        Ok(rows)
    }

    /// Loads pictures to evaluate: prepared as in training, with the model's labels.
    ///
    /// Where `path` is the data the model was trained on, `part` is exactly what training called so. Elsewhere it is
    /// the split folder of that name, or all pictures where there are no split folders. Also returns the files that
    /// could not be used.
    ///
    /// # Errors
    /// Those of [`enas_data`], and [`Error::Mismatch`] for other classes than the model's.
    pub fn load_split(&self, path: &Path, part: Part) -> Result<(Split, Vec<Skipped>)> {
        let holding = MemoryPlan::holding(&self.data_at(path));
        self.load_held(path, part, holding)
    }

    /// [`load_split`](Self::load_split) with the pictures held as planned. From now on evaluations keep to the plan.
    ///
    /// # Errors
    /// As there.
    pub fn load_planned(
        &mut self,
        path: &Path,
        part: Part,
        plan: &MemoryPlan,
    ) -> Result<(Split, Vec<Skipped>)> {
        plan.begin();
        self.eval_batch = MemoryPlan::infer_batch(Some(plan), self.eval_batch);
        self.load_held(path, part, plan.holding)
    }

    fn load_held(&self, path: &Path, part: Part, holding: Holding) -> Result<(Split, Vec<Skipped>)> {
        let About { classes, data, normalization, .. } = &self.about;
        if same_place(path, &data.path) {
            return self.load_own(part, holding);
        }
        let how = (data.strict, holding);
        Ok(enas_data::load_labelled(path, part, classes, &data.input(), normalization, how)?)
    }

    /// How pictures at another place are read.
    pub fn data_at(&self, path: &Path) -> enas_data::Config {
        // Varied copies of training pictures are not what anyone wants to be measured on.
        let augment = enas_data::augment::Config::default();
        enas_data::Config { augment, path: path.to_owned(), ..self.about.data.clone() }
    }

    /// Most pictures per evaluation step.
    pub fn eval_batch(&self) -> usize {
        self.eval_batch
    }

    /// A part of the data the model was trained on.
    fn load_own(&self, part: Part, holding: Holding) -> Result<(Split, Vec<Skipped>)> {
        let config = self.data_at(&self.about.data.path);
        let seed = Seed::new(self.about.seed);
        // A run that took over the split of a search keeps it beside the model; its own seed would draw another.
        let stored = self.folder.join(SPLIT).is_file().then(|| stored_split(&self.folder)).transpose()?;
        let data = enas_data::load_held(&config, seed, stored.as_ref(), holding)?;
        if data.classes != self.about.classes {
            return Err(Error::Mismatch(format!(
                "{} has the classes {}; the model knows {}",
                config.path.display(),
                data.classes.join(", "),
                self.about.classes.join(", ")
            )));
        }
        let split = data.split(part);
        // In reference mode each part has moments of its own, of which a model file holds only training's.
        let split = match config.normalization {
            NormalizationMode::PerChannel => split.with_normalization(self.about.normalization.clone()),
            NormalizationMode::Reference => split.clone(),
        };
        Ok((split, data.skipped))
    }

    /// The architecture.
    pub fn arc(&self) -> &Arc {
        &self.about.arc
    }

    /// Class names in the order of the label numbers.
    pub fn classes(&self) -> &[String] {
        &self.about.classes
    }

    /// Channels, height and width of the pictures it takes.
    pub fn input(&self) -> InputShape {
        self.child.input()
    }

    /// How a picture file becomes input: for [`enas_data::prepare_file`], to be followed by
    /// [`Model::normalization`].
    pub fn input_spec(&self) -> InputSpec {
        self.about.data.input()
    }

    /// The normalisation that its pictures need.
    pub fn normalization(&self) -> &Normalization {
        &self.about.normalization
    }

    /// How the training's pictures were read.
    pub fn data_config(&self) -> &enas_data::Config {
        &self.about.data
    }

    /// The accuracies that training reported.
    pub fn accuracy(&self) -> Accuracies {
        self.about.accuracy
    }

    /// Version of the program that trained it.
    pub fn version(&self) -> &str {
        &self.about.version
    }

    /// Computes on `gpu` instead of the CPU, in single precision.
    ///
    /// # Errors
    /// If the network does not fit into its memory.
    pub fn use_gpu(&mut self, gpu: &Gpu) -> Result<()> {
        Ok(self.child.use_gpu(gpu, Precision::F32)?)
    }

    /// Writes the model to another file, complete or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save_copy(&self, path: &Path) -> Result<()> {
        save(path, &self.child, &self.about)
    }

    /// The network.
    pub fn child(&self) -> &Child {
        &self.child
    }
}

impl About {
    /// A network of this description, with its random start, if it has no more than `most` weights.
    fn child(&self, most: usize) -> Result<Child> {
        let InputSpec { channels, height, width, .. } = self.data.input();
        let (input, seed) = (InputShape { channels, height, width }, Seed::new(self.seed));
        Ok(Child::fixed_within(&self.child, &self.arc, input, self.classes.len(), seed, most)?)
    }

    /// Refuses what no training wrote and no prediction could use.
    fn check(&self) -> Result<()> {
        self.data.check()?;
        let Normalization { mean, std } = &self.normalization;
        let channels = self.data.channels;
        let usable = mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if mean.len() != channels || std.len() != channels || !usable {
            let found = format!("means {mean:?} and deviations {std:?} for {channels} channels");
            return Err(Error::Mismatch(format!("pictures cannot be normalised by {found}")));
        }
        if self.eval_batch == 0 {
            return Err(Error::Mismatch("it evaluates 0 pictures at a time".into()));
        }
        Ok(())
    }

    /// Takes the metadata of a file apart.
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

/// Writes the model file of a network, complete or not at all.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub(crate) fn save(path: &Path, child: &Child, about: &About) -> Result<()> {
    tensors::write(path, &about.metadata(), &child.weights()?)
}

/// Adds the test accuracy, measured on `gpu` if there is one, `eval_batch` pictures at a time, to a model file; returns its accuracy on the validation
/// split and its predictions on the test split.
pub(crate) fn conclude(
    path: &Path,
    test: &Split,
    (gpu, eval_batch): (Option<&Gpu>, usize),
) -> Result<(f64, Evaluation)> {
    let mut model = Model::load(path)?;
    model.eval_batch = eval_batch;
    if let Some(gpu) = gpu {
        model.use_gpu(gpu)?;
    }
    let tested = model.evaluate(test)?;
    model.about.accuracy.test = Some(tested.accuracy());
    save(path, &model.child, &model.about)?;
    Ok((model.about.accuracy.valid, tested))
}

/// Checks that a split has the pictures and classes of a network.
fn check(child: &Child, classes: &[String], split: &Split) -> Result<()> {
    let InputShape { channels, height, width } = child.input();
    if split.picture_len() != channels * height * width {
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

/// The predictions of a fixed network, normalised by its running statistics, on a whole split; and whether any class
/// score was no finite number.
pub(crate) fn evaluate(
    child: &Child,
    classes: &[String],
    source: &Source,
    asking: Asking,
) -> Result<(Evaluation, Option<Symptom>)> {
    check(child, classes, source.split())?;
    let (mut evaluation, mut symptom) = (Evaluation::new(classes), None);
    each_batch(child, source, asking, |logits, labels| {
        evaluation.count(logits, labels);
        symptom = symptom.take().or_else(|| Symptom::of_logits(logits));
    })?;
    Ok((evaluation, symptom))
}

/// Hands over the logits and labels of a whole split, batch by batch in stored order.
fn each_batch(
    child: &Child,
    source: &Source,
    Asking { eval_batch, tta }: Asking,
    mut take: impl FnMut(&[f32], &[u32]),
) -> Result<()> {
    if tta != Tta::None {
        // Views are made by the host, wherever the pictures are.
        for batch in source.split().ordered(even_batch(source.split().len(), eval_batch))? {
            let batch = batch?;
            take(&tta.logits(child, own_arc(child), &batch.images)?, &batch.labels);
        }
        return Ok(());
    }
    for batch in source.ordered(even_batch(source.split().len(), eval_batch))? {
        let batch = batch?;
        let logits = child.logits_on(own_arc(child), batch.examples(), Norm::RunningStatistics, None)?;
        take(&logits, &batch.labels);
    }
    Ok(())
}

/// Whether two paths are written alike or lead to the same place.
fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn own_arc(child: &Child) -> &Arc {
    child.arc().expect("a trained network has one arc")
}
