//! A batch that is copied to a GPU in advance.

use candle_core::{DType, Tensor};
use enas_kernels::candle::read;
use enas_kernels::gpu::{Buffer, Gpu, GpuFeatureMap, GpuTargets, Precision};

use super::checks::{check_gpu, check_labels, check_shape, largest_label};
use crate::config::InputShape;
use crate::error::Error;
use crate::loss::{SecondClasses, Targets};

/// Images and labels on a GPU, with what is needed to check them.
#[derive(Clone, Debug)]
pub(super) struct UploadedBatch {
    images: Buffer,
    /// Shape of the images.
    shape: Vec<usize>,
    dtype: DType,
    labels: Buffer,
    /// Number of labels.
    n_labels: usize,
    largest_label: u32,
    mix: Option<UploadedMix>,
}

/// The second class of every mixed image (mixup, cutmix), on a GPU.
#[derive(Clone, Debug)]
struct UploadedMix {
    others: Buffer,
    shares: Buffer,
    /// The shorter one of the two lengths.
    n: usize,
    largest_label: u32,
}

impl UploadedMix {
    fn new(gpu: &Gpu, SecondClasses { others, shares }: &SecondClasses) -> Self {
        Self {
            others: gpu.upload_u32(others),
            shares: gpu.upload(shares),
            n: others.len().min(shares.len()),
            largest_label: largest_label(others),
        }
    }
}

impl UploadedBatch {
    /// Starts to copy images and targets.
    pub(super) fn new(gpu: &Gpu, images: &Tensor, Targets { labels, mix }: &Targets) -> Result<Self, Error> {
        Ok(Self {
            images: buffer_of(images, gpu)?,
            shape: images.dims().to_vec(),
            dtype: images.dtype(),
            labels: gpu.upload_u32(labels),
            n_labels: labels.len(),
            largest_label: largest_label(labels),
            mix: mix.as_ref().map(|mix| UploadedMix::new(gpu, mix)),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    pub(super) fn check_images(&self, input: InputShape, gpu: &Gpu) -> Result<usize, Error> {
        check_gpu(self.images.gpu(), gpu)?;
        check_shape(&self.shape, self.dtype, input)
    }

    pub(super) fn check_labels(&self, n: usize, classes: usize) -> Result<(), Error> {
        check_labels(self.n_labels, self.largest_label, n, classes)?;
        let mix = self.mix.as_ref();
        mix.map_or(Ok(()), |mix| check_labels(mix.n, mix.largest_label, n, classes))
    }

    /// The first `n` images, or all if they are fewer.
    pub(super) fn first(&self, n: usize) -> Self {
        let mut first = self.clone();
        first.shape[0] = n.min(self.len());
        first
    }

    pub(super) fn images(&self, input: InputShape, precision: Precision) -> GpuFeatureMap {
        let shape = (self.len(), input.channels, input.height, input.width);
        GpuFeatureMap::from_images(&self.images, precision, shape)
    }

    pub(super) fn targets(&self) -> GpuTargets {
        let mix = self.mix.as_ref().map(|mix| (mix.others.clone(), mix.shares.clone()));
        GpuTargets { labels: self.labels.clone(), mix }
    }
}

/// The numbers of images on a GPU: the tensor's own memory if it is there, otherwise a copy.
pub(super) fn buffer_of(images: &Tensor, gpu: &Gpu) -> Result<Buffer, Error> {
    let images = images.contiguous()?;
    match images.device().is_cpu() {
        true => Ok(read(&images, |values| gpu.upload(values))?),
        false => Ok(Buffer::of(&images)?),
    }
}
