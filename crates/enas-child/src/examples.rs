//! Labelled pictures wherever they are: with the host, copied to a GPU ahead of time, or there as a whole data set.

use candle_core::{DType, Tensor};
use enas_kernels::candle::read;
use enas_kernels::gpu::{self, Buffer, Chosen, Gpu, GpuMap, GpuPictures, GpuTargets, Precision};

use crate::loss::{Mix, Targets};
use crate::{Error, InputShape};

/// One picture in so many parts of the memory that is free is what a resident data set may take: activations need most.
const SHARE: usize = 4;

/// The pictures of a batch with their labels.
#[derive(Clone, Copy, Debug)]
pub enum Examples<'a> {
    /// In the host's memory. On a GPU a step begins by copying them there.
    Host {
        /// `[n, c, h, w]`, normalised.
        images: &'a [f32],
        /// `[n]`; only training looks at them.
        labels: &'a [u32],
    },
    /// In the host's memory, each picture mixed from two, for training.
    Mixed {
        /// `[n, c, h, w]`, normalised.
        images: &'a [f32],
        /// The first class of each, `[n]`.
        labels: &'a [u32],
        /// The other class, and how much the first one counts.
        mix: &'a Mix,
    },
    /// Copied to the network's GPU ahead of time.
    Staged(&'a Staged),
    /// Some of the pictures that stay on the network's GPU.
    Resident {
        /// All of them.
        set: &'a ResidentPictures,
        /// Positions in the set, `[n]`.
        indices: &'a [usize],
    },
}

impl Examples<'_> {
    /// Calls `body` with a batch that lies in tensors of candle on the CPU; images are not copied if they are contiguous.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, `labels` `[n]`, whole numbers.
    ///
    /// # Errors
    /// If a tensor is another one, and those of `body`.
    pub fn with<R>(
        images: &Tensor,
        labels: &Tensor,
        body: impl FnOnce(Examples<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (images, labels) = (images.contiguous()?, labels.to_dtype(DType::U32)?.to_vec1::<u32>()?);
        read(&images, |images| body(Examples::Host { images, labels: &labels }))?
    }
}

/// A batch on its way to a GPU, or there: the copy takes its turn among the device's work while the host goes on.
#[derive(Clone, Debug)]
pub struct Staged {
    images: Buffer,
    labels: Buffer,
    /// Length of the images.
    numbers: usize,
    n: usize,
    last_class: u32,
    mix: Option<StagedMix>,
}

/// The second class of every picture, copied to a GPU ahead of time.
#[derive(Clone, Debug)]
struct StagedMix {
    others: Buffer,
    shares: Buffer,
    /// How many there are of the scarcer one.
    n: usize,
    last_class: u32,
}

impl StagedMix {
    fn new(gpu: &Gpu, mix: &Mix) -> Self {
        let Mix { others, shares } = mix;
        Self {
            others: gpu.upload_u32(others),
            shares: gpu.upload(shares),
            n: others.len().min(shares.len()),
            last_class: last_class(others),
        }
    }
}

impl Staged {
    /// Begins to copy `images` `[n, c, h, w]` and `labels` `[n]`. What goes wrong is reported by the step that is under
    /// way, or the next.
    pub fn new(gpu: &Gpu, images: &[f32], labels: &[u32]) -> Self {
        Self {
            images: gpu.upload(images),
            labels: gpu.upload_u32(labels),
            numbers: images.len(),
            n: labels.len(),
            last_class: last_class(labels),
            mix: None,
        }
    }

    /// As [`new`](Self::new) for pictures that are mixed from two.
    pub fn mixed(gpu: &Gpu, images: &[f32], labels: &[u32], mix: &Mix) -> Self {
        Self { mix: Some(StagedMix::new(gpu, mix)), ..Self::new(gpu, images, labels) }
    }
}

/// A labelled data set that stays on a GPU as bytes, from which the device itself makes normalised batches. They equal
/// those of the host to the bit. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ResidentPictures {
    set: GpuPictures,
    last_class: u32,
}

impl ResidentPictures {
    /// Copies a data set to a GPU, if it takes no more than a quarter of the memory that is free there and no more than
    /// 16 GiB; otherwise `None`.
    ///
    /// `image` gives the picture at each position below the number of `labels`, `[c, h, w]`; `tables` the normalised
    /// number for each of the 256 values of a byte, channel by channel.
    ///
    /// # Errors
    /// [`Error::Batch`] if a picture or the tables do not have the shape of `input`; what the GPU reports.
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
        if !GpuPictures::bytes(n, shape).is_some_and(fits) {
            return Ok(None);
        }
        match GpuPictures::upload(gpu, shape, (0..n).map(image), labels, tables) {
            Ok(set) => Ok(Some(Self { set, last_class: last_class(labels) })),
            Err(gpu::Error::OutOfMemory { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// A batch that was found to fit the network and its GPU.
#[derive(Clone, Debug)]
pub(crate) struct Batch<'a> {
    source: Source<'a>,
    /// `(n, c, h, w)`
    shape: (usize, usize, usize, usize),
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Host(&'a [f32], &'a [u32], Option<&'a Mix>),
    Staged(&'a Staged),
    /// With the largest label of the set they are chosen from.
    Chosen(Chosen<'a>, u32),
}

impl<'a> Batch<'a> {
    /// Checks pictures for a network on `gpu` that takes `input`.
    pub(crate) fn on(gpu: &Gpu, input: InputShape, examples: Examples<'a>) -> Result<Self, Error> {
        let InputShape { channels: c, height: h, width: w } = input;
        let here = |other: &Gpu| match other.is(gpu) {
            true => Ok(()),
            false => Err(Error::Batch("the pictures are on another GPU than the network".to_owned())),
        };
        let (source, n) = match examples {
            Examples::Host { images, labels } => {
                (Source::Host(images, labels, None), count(images.len(), input)?)
            }
            Examples::Mixed { images, labels, mix } => {
                (Source::Host(images, labels, Some(mix)), count(images.len(), input)?)
            }
            Examples::Staged(staged) => {
                here(staged.images.gpu())?;
                (Source::Staged(staged), count(staged.numbers, input)?)
            }
            Examples::Resident { set, indices } => {
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

    /// Checks the labels, which only training needs.
    pub(crate) fn check_labels(&self, classes: usize) -> Result<(), Error> {
        let (n, last) = match &self.source {
            Source::Host(_, labels, _) => (labels.len(), last_class(labels)),
            Source::Staged(staged) => (staged.n, staged.last_class),
            Source::Chosen(_, last_class) => (self.len(), *last_class),
        };
        check_labels((n, last), self.len(), classes)?;
        match &self.source {
            Source::Host(_, _, Some(mix)) => check_mix(mix, self.len(), classes),
            Source::Staged(Staged { mix: Some(mix), .. }) => {
                check_labels((mix.n, mix.last_class), self.len(), classes)
            }
            _ => Ok(()),
        }
    }

    /// Number of pictures.
    pub(crate) fn len(&self) -> usize {
        self.shape.0
    }

    /// The first `n` of them.
    pub(crate) fn first(&self, n: usize) -> Self {
        let (all, c, h, w) = self.shape;
        let n = n.min(all);
        let source = match &self.source {
            Source::Host(images, labels, mix) => Source::Host(&images[..n * c * h * w], &labels[..n], *mix),
            Source::Staged(staged) => Source::Staged(staged),
            Source::Chosen(chosen, last) => Source::Chosen(chosen.first(n), *last),
        };
        Self { source, shape: (n, c, h, w) }
    }

    /// The pictures in lane layout; everything computed from them has this precision.
    pub(crate) fn map(&self, gpu: &Gpu, precision: Precision) -> GpuMap {
        match &self.source {
            Source::Host(images, ..) => GpuMap::from_pictures(&gpu.upload(images), precision, self.shape),
            Source::Staged(staged) => GpuMap::from_pictures(&staged.images, precision, self.shape),
            Source::Chosen(chosen, _) => chosen.map(precision),
        }
    }

    /// The classes, perhaps followed by others.
    pub(crate) fn targets(&self, gpu: &Gpu) -> GpuTargets {
        let (labels, mix) = match &self.source {
            Source::Host(_, labels, mix) => (gpu.upload_u32(labels), mix.map(|mix| StagedMix::new(gpu, mix))),
            Source::Staged(staged) => (staged.labels.clone(), staged.mix.clone()),
            Source::Chosen(chosen, _) => (chosen.labels(), None),
        };
        GpuTargets { labels, mix: mix.map(|mix| (mix.others, mix.shares)) }
    }
}

/// Number of pictures in so many numbers.
pub(crate) fn count(numbers: usize, input: InputShape) -> Result<usize, Error> {
    let InputShape { channels, height, width } = input;
    let size = channels * height * width;
    if numbers == 0 || !numbers.is_multiple_of(size) {
        return Err(Error::Batch(format!("{numbers} numbers are not images of {channels}x{height}x{width}")));
    }
    Ok(numbers / size)
}

/// Checks `labels`, whose number and largest are given, for `n` pictures.
pub(crate) fn check_labels(labels: (usize, u32), n: usize, classes: usize) -> Result<(), Error> {
    match labels {
        (got, _) if got != n => Err(Error::Batch(format!("{got} labels for {n} images"))),
        (_, last) if last as usize >= classes => {
            Err(Error::Batch(format!("label {last}, but there are {classes} classes")))
        }
        _ => Ok(()),
    }
}

/// Checks what a batch of `n` pictures on the host is compared with.
pub(crate) fn check_targets(targets: &Targets, n: usize, classes: usize) -> Result<(), Error> {
    check_labels((targets.labels.len(), last_class(&targets.labels)), n, classes)?;
    targets.mix.as_ref().map_or(Ok(()), |mix| check_mix(mix, n, classes))
}

fn check_mix(mix: &Mix, n: usize, classes: usize) -> Result<(), Error> {
    let found = mix.others.len().min(mix.shares.len());
    check_labels((found, last_class(&mix.others)), n, classes)?;
    match mix.shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
        Some(share) => Err(Error::Batch(format!("the share {share} of a class is not within 0 to 1"))),
        None => Ok(()),
    }
}

/// The largest label.
pub(crate) fn last_class(labels: &[u32]) -> u32 {
    labels.iter().copied().max().unwrap_or(0)
}

fn choose<'a>(set: &'a ResidentPictures, indices: &[usize]) -> Result<Chosen<'a>, Error> {
    if indices.is_empty() {
        return Err(Error::Batch("a batch of no pictures".to_owned()));
    }
    set.set.choose(indices).ok_or_else(|| {
        let (n, worst) = (set.len(), indices.iter().max().unwrap_or(&0));
        Error::Batch(format!("there is no picture {worst} among the {n} on the GPU, counted from 0"))
    })
}
