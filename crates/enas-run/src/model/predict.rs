//! Predictions of a model: class scores and probabilities of images and splits, and the end of a training.

use std::path::Path;

use candle_core::{Device, Tensor};
use enas_child::InputShape;
use enas_data::{Dataset, Split};
use enas_kernels::candle::{read, write};
use enas_kernels::gpu::Gpu;

use super::evaluate::{EvalOptions, Measure, check, each_batch, evaluate};
use super::file::{Model, save};
use crate::calibration;
use crate::error::{Error, Result};
use crate::evaluation::Evaluation;
use crate::loader::ImageSource;
use crate::tta::to_probabilities;

impl Model {
    /// Class scores (logits) of images that were prepared like the training's validation images. With test-time
    /// augmentation they are logarithms of the mean probabilities over the views.
    ///
    /// Shapes: `images` is `[n, c, h, w]` of F32, normalised; the result is `[n, classes]`.
    ///
    /// # Errors
    /// [`Error::Child`] if `images` has another shape.
    pub fn logits(&self, images: &Tensor) -> Result<Tensor> {
        self.metadata.tta.logits(&self.network, self.arch(), images)
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
    pub fn images<P: AsRef<[u8]>>(&self, pixels: &[P]) -> Result<Tensor> {
        let InputShape { channels, height, width } = self.input();
        let len = channels * height * width;
        let mut images = vec![0.0; pixels.len() * len];
        for (bytes, image) in pixels.iter().zip(images.chunks_exact_mut(len)) {
            let bytes = bytes.as_ref();
            if bytes.len() != len {
                let got = bytes.len();
                return Err(Error::Mismatch(format!(
                    "an image has {got} bytes, the network takes {channels}x{height}x{width}"
                )));
            }
            self.normalization().apply(bytes, image);
        }
        Ok(Tensor::from_vec(images, (pixels.len(), channels, height, width), &Device::Cpu)?)
    }

    fn eval_options(&self) -> EvalOptions {
        EvalOptions { eval_batch: self.eval_batch, tta: self.metadata.tta }
    }

    /// Predicts a whole split, such as one from [`Model::load_split`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the images have another size or the split has more classes.
    pub fn evaluate(&self, split: &Split) -> Result<Evaluation> {
        check(&self.network, self.classes(), split)?;
        let source = ImageSource::of(split, &self.network)?;
        Ok(evaluate(&self.network, self.arch(), self.classes(), &source, self.eval_options())?.0)
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
        let source = ImageSource::of(split, &self.network)?;
        each_batch(&self.network, self.arch(), &source, self.eval_options(), |logits, _| {
            Ok(read(logits, |logits| rows.extend_from_slice(logits))?)
        })?;
        let rows = Tensor::from_vec(rows, shape, &Device::Cpu)?;
        to_probabilities(&rows)?;
        Ok(rows)
    }
}

/// Completes a model file with the temperature and the test accuracy. Returns the accuracy on the validation split
/// and the predictions on the test split. Computes on `gpu` if there is one, `eval_batch` images at a time.
///
/// # Errors
/// [`Error::File`] or [`Error::Io`] if the file cannot be read or written; errors of reading the images and of the GPU.
pub fn conclude(
    path: &Path,
    data: &Dataset,
    gpu: Option<&Gpu>,
    eval_batch: usize,
    measure: Measure,
) -> Result<(f64, Evaluation)> {
    let mut model = Model::load(path)?;
    model.eval_batch = eval_batch;
    if let Some(gpu) = gpu {
        model.use_gpu(gpu)?;
    }
    if measure == Measure::Both {
        let valid = model.split_probabilities(&data.valid)?;
        model.metadata.temperature =
            calibration::kept(&valid, &Tensor::new(data.valid.labels(), &Device::Cpu)?)?;
    }
    let tested = model.evaluate(&data.test)?;
    model.metadata.accuracy.test = Some(tested.accuracy());
    save(path, &model.network, &model.metadata)?;
    Ok((model.metadata.accuracy.valid, tested))
}
