//! Labelled images in host memory, on their way to a GPU, or on a GPU as a whole data set.

use candle_core::{DType, Tensor};
use enas_kernels::candle::read;
use enas_kernels::gpu::{self, Buffer, Gpu, GpuFeatureMap, GpuImages, GpuTargets, Precision, SelectedImages};

use crate::images::{check_images, check_labels, check_shape, check_targets, last_class, targets};
use crate::loss::{Second, Targets};
use crate::{Error, Examples, Images, InputShape, Mix};

/// A resident data set may use at most 1/`SHARE` of free GPU memory. Activations need most of the rest.
const SHARE: usize = 4;

/// A batch that is copied to a GPU in advance. The copy is queued among the device's work, and the host does not
/// wait.
#[derive(Clone, Debug)]
pub struct Staged {
    images: Buffer,
    /// Shape and type of the images.
    shape: (Vec<usize>, DType),
    labels: Buffer,
    /// Number of labels.
    n: usize,
    last_class: u32,
    mix: Option<StagedMix>,
}

/// The second class of every mixed image (mixup), copied to a GPU in advance.
#[derive(Clone, Debug)]
struct StagedMix {
    others: Buffer,
    shares: Buffer,
    /// The shorter one of the two lengths.
    n: usize,
    last_class: u32,
}

impl StagedMix {
    fn new(gpu: &Gpu, Second { others, shares }: &Second) -> Self {
        Self {
            others: gpu.upload_u32(others),
            shares: gpu.upload(shares),
            n: others.len().min(shares.len()),
            last_class: last_class(others),
        }
    }
}

impl Staged {
    /// Starts to copy `images` `[n, c, h, w]` of F32 and `labels` `[n]`, whole numbers. Errors on the GPU are
    /// reported by the current or the next training step.
    ///
    /// # Errors
    /// If they are not such tensors on the CPU.
    pub fn new(gpu: &Gpu, images: &Tensor, labels: &Tensor) -> Result<Self, Error> {
        Self::send(gpu, images, &targets(labels, None)?)
    }

    /// Like [`new`](Self::new), for images that are mixed from two.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn mixed(gpu: &Gpu, images: &Tensor, labels: &Tensor, mix: &Mix) -> Result<Self, Error> {
        Self::send(gpu, images, &targets(labels, Some(mix))?)
    }

    fn send(gpu: &Gpu, images: &Tensor, Targets { labels, mix }: &Targets) -> Result<Self, Error> {
        Ok(Self {
            images: read(&images.contiguous()?, |numbers| gpu.upload(numbers))?,
            shape: (images.dims().to_vec(), images.dtype()),
            labels: gpu.upload_u32(labels),
            n: labels.len(),
            last_class: last_class(labels),
            mix: mix.as_ref().map(|mix| StagedMix::new(gpu, mix)),
        })
    }
}

/// A labelled data set that stays on a GPU as bytes. The device makes normalised batches from it, which equal those
/// of the host bit for bit. Clones share it.
#[derive(Clone, Debug)]
pub struct ResidentImages {
    set: GpuImages,
    last_class: u32,
}

impl ResidentImages {
    /// Copies a data set to a GPU, if it takes at most a quarter of the free memory there and at most 16 GiB.
    /// Otherwise returns `None`.
    ///
    /// `image` returns the bytes of the image at a position below `labels.len()`, `[c, h, w]`. `tables` has one entry
    /// per channel: the normalised value of each of the 256 byte values.
    ///
    /// # Errors
    /// [`Error::Batch`] if an image or the tables do not have the shape of `input`; errors of the GPU.
    pub fn place<'a>(
        gpu: &Gpu,
        input: InputShape,
        image: impl Fn(usize) -> &'a [u8],
        labels: &[u32],
        tables: &[[f32; 256]],
    ) -> Result<Option<Self>, Error> {
        let InputShape { channels, height, width } = input;
        let (shape, n) = ((channels, height, width), labels.len());
        if tables.len() != channels {
            return Err(Error::Batch(format!("{} tables for {channels} channels", tables.len())));
        }
        if let Some(i) = (0..n).find(|i| image(*i).len() != channels * height * width) {
            let got = image(i).len();
            return Err(Error::Batch(format!(
                "picture {i} has {got} bytes, not {channels}x{height}x{width}"
            )));
        }
        let fits = |bytes: usize| gpu.free_bytes().is_none_or(|free| bytes <= free / SHARE);
        if !GpuImages::bytes(n, shape).is_some_and(fits) {
            return Ok(None);
        }
        match GpuImages::upload(gpu, shape, (0..n).map(image), labels, tables) {
            Ok(set) => Ok(Some(Self { set, last_class: last_class(labels) })),
            Err(gpu::Error::OutOfMemory { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// A batch that was checked against the network and its GPU.
#[derive(Clone, Debug)]
pub(crate) struct Batch<'a> {
    source: Source<'a>,
    /// `(n, c, h, w)`.
    shape: (usize, usize, usize, usize),
}

#[derive(Clone, Debug)]
enum Source<'a> {
    /// Contiguous images and their targets. Targets are empty if they are not needed.
    Host(Tensor, Targets),
    Staged(&'a Staged),
    /// With the largest label of the set they are chosen from.
    Chosen(SelectedImages<'a>, u32),
}

impl<'a> Batch<'a> {
    /// Checks images for a network on `gpu` that takes `input`.
    pub(crate) fn on(gpu: &Gpu, input: InputShape, images: Images<'a>) -> Result<Self, Error> {
        let InputShape { channels: c, height: h, width: w } = input;
        let here = |other: &Gpu| match other.is(gpu) {
            true => Ok(()),
            false => Err(Error::Batch("the pictures are on another GPU than the network".to_owned())),
        };
        let (source, n) = match images {
            Images::Tensor(images) => {
                let n = check_images(images, input)?;
                (Source::Host(images.contiguous()?, Targets::default()), n)
            }
            Images::Staged(staged) => {
                here(staged.images.gpu())?;
                (Source::Staged(staged), check_shape(&staged.shape.0, staged.shape.1, input)?)
            }
            Images::Resident { set, indices } => {
                here(set.set.gpu())?;
                if set.set.shape() != (c, h, w) {
                    let (channels, height, width) = set.set.shape();
                    let got = format!("{channels}x{height}x{width}, not {c}x{h}x{w}");
                    return Err(Error::Batch(format!("the pictures on the GPU are of {got}")));
                }
                (Source::Chosen(choose(set, indices)?, set.last_class), indices.len())
            }
        };
        Ok(Self { source, shape: (n, c, h, w) })
    }

    /// Like [`on`](Self::on), with labels for a network of `classes` classes.
    pub(crate) fn labelled(
        gpu: &Gpu,
        input: InputShape,
        examples: Examples<'a>,
        classes: usize,
    ) -> Result<Self, Error> {
        let mut batch = Self::on(gpu, input, examples.into())?;
        let n = batch.len();
        match &mut batch.source {
            Source::Host(_, targets) => {
                *targets = examples.targets()?;
                check_targets(targets, n, classes)?;
            }
            Source::Staged(staged) => {
                check_labels((staged.n, staged.last_class), n, classes)?;
                let mix = staged.mix.as_ref();
                mix.map_or(Ok(()), |mix| check_labels((mix.n, mix.last_class), n, classes))?;
            }
            Source::Chosen(_, last_class) => check_labels((n, *last_class), n, classes)?,
        }
        Ok(batch)
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.shape.0
    }

    /// The first `n` images.
    pub(crate) fn first(&self, n: usize) -> Result<Self, Error> {
        let (all, c, h, w) = self.shape;
        let n = n.min(all);
        let source = match &self.source {
            Source::Host(images, Targets { labels, mix }) => {
                let targets = Targets { labels: labels[..n.min(labels.len())].to_vec(), mix: mix.clone() };
                Source::Host(images.narrow(0, 0, n)?, targets)
            }
            Source::Staged(staged) => Source::Staged(staged),
            Source::Chosen(chosen, last) => Source::Chosen(chosen.first(n), *last),
        };
        Ok(Self { source, shape: (n, c, h, w) })
    }

    /// The images in the kernels' blocked layout. Everything computed from them has this precision.
    pub(crate) fn map(&self, gpu: &Gpu, precision: Precision) -> Result<GpuFeatureMap, Error> {
        Ok(match &self.source {
            Source::Host(images, _) => {
                let images = read(images, |numbers| gpu.upload(numbers))?;
                GpuFeatureMap::from_pictures(&images, precision, self.shape)
            }
            Source::Staged(staged) => GpuFeatureMap::from_pictures(&staged.images, precision, self.shape),
            Source::Chosen(chosen, _) => chosen.map(precision),
        })
    }

    /// The labels, with those of the second classes if images are mixed.
    pub(crate) fn targets(&self, gpu: &Gpu) -> GpuTargets {
        let (labels, mix) = match &self.source {
            Source::Host(_, Targets { labels, mix }) => {
                (gpu.upload_u32(labels), mix.as_ref().map(|mix| StagedMix::new(gpu, mix)))
            }
            Source::Staged(staged) => (staged.labels.clone(), staged.mix.clone()),
            Source::Chosen(chosen, _) => (chosen.labels(), None),
        };
        GpuTargets { labels, mix: mix.map(|mix| (mix.others, mix.shares)) }
    }
}

fn choose<'a>(set: &'a ResidentImages, indices: &[usize]) -> Result<SelectedImages<'a>, Error> {
    if indices.is_empty() {
        return Err(Error::Batch("a batch of no pictures".to_owned()));
    }
    set.set.choose(indices).ok_or_else(|| {
        let (n, worst) = (set.len(), indices.iter().max().unwrap_or(&0));
        Error::Batch(format!("there is no picture {worst} among the {n} on the GPU, counted from 0"))
    })
}
