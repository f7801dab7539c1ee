//! Batches of images, with their labels if they are for training, in host memory or on a GPU.
//!
//! A [`Batch`] is checked in two steps. Its constructors check what depends on the batch alone. The network checks
//! that images and labels fit it, and after that no operation on the batch fails for that reason.

mod checks;
mod resident;
mod uploaded;

use candle_core::Tensor;
use enas_kernels::gpu::{Gpu, GpuFeatureMap, GpuTargets, Precision};

pub use self::checks::MixedLabels;
use self::checks::{check_device, check_shape, check_targets, targets_of};
use self::resident::ResidentBatch;
pub use self::resident::ResidentImages;
use self::uploaded::{UploadedBatch, buffer_of};
use crate::config::InputShape;
use crate::error::Error;
use crate::loss::Targets;

/// A batch of images, with their labels if it is for training. `into` converts a tensor of images. Clones share the
/// images.
#[derive(Clone, Debug)]
pub struct Batch {
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    /// A tensor, in host memory or on the network's GPU. Without labels the targets are empty.
    Host { images: Tensor, targets: Targets },
    /// Copied to a GPU in advance.
    Uploaded(UploadedBatch),
    /// Some images of a data set on a GPU.
    Resident(ResidentBatch),
}

impl From<&Tensor> for Batch {
    fn from(images: &Tensor) -> Self {
        Self::with_targets(images, Targets::default())
    }
}

impl From<&Self> for Batch {
    fn from(batch: &Self) -> Self {
        batch.clone()
    }
}

impl Batch {
    /// Normalised images `[n, c, h, w]` of F32, and their labels `[n]`, whole numbers. A pass on a GPU first copies
    /// images that are not there.
    ///
    /// # Errors
    /// If the labels are not such a tensor.
    pub fn labelled(images: &Tensor, labels: &Tensor) -> Result<Self, Error> {
        Ok(Self::with_targets(images, targets_of(labels, None)?))
    }

    /// Like [`labelled`](Self::labelled), for images that are mixed from two.
    ///
    /// # Errors
    /// As for [`labelled`](Self::labelled).
    pub fn mixed(images: &Tensor, labels: &Tensor, mix: &MixedLabels) -> Result<Self, Error> {
        Ok(Self::with_targets(images, targets_of(labels, Some(mix))?))
    }

    fn with_targets(images: &Tensor, targets: Targets) -> Self {
        Self { storage: Storage::Host { images: images.clone(), targets } }
    }

    /// The same batch on a GPU. The copy is queued among the device's work, and the host does not wait. Errors on the
    /// GPU are reported by the current or the next training step. A batch that is on a GPU stays where it is.
    ///
    /// # Errors
    /// If the images are not a tensor of F32 on the CPU or this GPU.
    pub fn upload(&self, gpu: &Gpu) -> Result<Self, Error> {
        let Storage::Host { images, targets } = &self.storage else { return Ok(self.clone()) };
        Ok(Self { storage: Storage::Uploaded(UploadedBatch::new(gpu, images, targets)?) })
    }

    /// Images and targets for a network in host memory; an error if they are on a GPU.
    pub(crate) fn on_host(&self) -> Result<(&Tensor, &Targets), Error> {
        match &self.storage {
            Storage::Host { images, targets } => Ok((images, targets)),
            Storage::Uploaded(_) | Storage::Resident(_) => {
                Err(Error::Batch("the images are on a GPU, the network is not".to_owned()))
            }
        }
    }

    /// Checks the images for a network that takes `input` and is computed on `gpu`, or on the CPU. Returns their
    /// number.
    pub(crate) fn check_images(&self, input: InputShape, gpu: Option<&Gpu>) -> Result<usize, Error> {
        match (&self.storage, gpu) {
            (Storage::Uploaded(batch), Some(gpu)) => batch.check_images(input, gpu),
            (Storage::Resident(batch), Some(gpu)) => batch.check_images(input, gpu),
            _ => {
                let (images, _) = self.on_host()?;
                check_device(images, gpu)?;
                check_shape(images.dims(), images.dtype(), input)
            }
        }
    }

    /// Checks the labels of `n` images for a network of `classes` classes.
    pub(crate) fn check_labels(&self, n: usize, classes: usize) -> Result<(), Error> {
        match &self.storage {
            Storage::Host { targets, .. } => check_targets(targets, n, classes),
            Storage::Uploaded(batch) => batch.check_labels(n, classes),
            Storage::Resident(batch) => batch.check_labels(classes),
        }
    }

    /// Number of images. The batch was checked.
    pub(crate) fn len(&self) -> usize {
        match &self.storage {
            Storage::Host { images, .. } => images.dims().first().copied().unwrap_or(0),
            Storage::Uploaded(batch) => batch.len(),
            Storage::Resident(batch) => batch.len(),
        }
    }

    /// The first `n` images of a batch that was checked.
    pub(crate) fn first(&self, n: usize) -> Result<Self, Error> {
        let storage = match &self.storage {
            Storage::Host { images, targets } => {
                let Targets { labels, mix } = targets;
                let labels = labels[..n.min(labels.len())].to_vec();
                let images = images.narrow(0, 0, n.min(self.len()))?;
                Storage::Host { images, targets: Targets { labels, mix: mix.clone() } }
            }
            Storage::Uploaded(batch) => Storage::Uploaded(batch.first(n)),
            Storage::Resident(batch) => Storage::Resident(batch.first(n)),
        };
        Ok(Self { storage })
    }

    /// The images in the kernels' blocked layout, for a network that takes `input`. Everything computed from them has
    /// this precision. The batch was checked.
    pub(crate) fn images_on(
        &self,
        gpu: &Gpu,
        input: InputShape,
        precision: Precision,
    ) -> Result<GpuFeatureMap, Error> {
        Ok(match &self.storage {
            Storage::Host { images, .. } => {
                let buffer = buffer_of(images, gpu)?;
                let shape = (self.len(), input.channels, input.height, input.width);
                GpuFeatureMap::from_images(&buffer, precision, shape)
            }
            Storage::Uploaded(batch) => batch.images(input, precision),
            Storage::Resident(batch) => batch.choose()?.map(precision),
        })
    }

    /// [`images_on`](Self::images_on), with the labels, and those of the second classes if images are mixed.
    pub(crate) fn examples_on(
        &self,
        gpu: &Gpu,
        input: InputShape,
        precision: Precision,
    ) -> Result<(GpuFeatureMap, GpuTargets), Error> {
        Ok(match &self.storage {
            Storage::Host { targets, .. } => {
                (self.images_on(gpu, input, precision)?, upload_targets(gpu, targets))
            }
            Storage::Uploaded(batch) => (batch.images(input, precision), batch.targets()),
            Storage::Resident(batch) => {
                let chosen = batch.choose()?;
                (chosen.map(precision), GpuTargets { labels: chosen.labels(), mix: None })
            }
        })
    }
}

impl ResidentImages {
    /// The batch of the images at `indices`.
    ///
    /// # Errors
    /// If there are no indices, or if one of them is not below [`len`](Self::len).
    pub fn batch(&self, indices: Vec<usize>) -> Result<Batch, Error> {
        Ok(Batch { storage: Storage::Resident(ResidentBatch::new(self, indices)?) })
    }
}

/// Copies targets to a GPU.
pub(crate) fn upload_targets(gpu: &Gpu, Targets { labels, mix }: &Targets) -> GpuTargets {
    let labels = gpu.upload_u32(labels);
    let mix = mix.as_ref().map(|mix| (gpu.upload_u32(&mix.others), gpu.upload(&mix.shares)));
    GpuTargets { labels, mix }
}
