//! Labelled pictures wherever they are: with the host, copied to a GPU ahead of time, or there as a whole data set.

use enas_kernels::gpu::{self, Buffer, Chosen, Gpu, GpuMap, GpuPictures, Precision};

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

/// A batch on its way to a GPU, or there: the copy takes its turn among the device's work while the host goes on.
#[derive(Clone, Debug)]
pub struct Staged {
    images: Buffer,
    labels: Buffer,
    /// Length of the images.
    numbers: usize,
    n: usize,
    last_class: u32,
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
        }
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
    Host(&'a [f32], &'a [u32]),
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
            Examples::Host { images, labels } => (Source::Host(images, labels), count(images.len(), input)?),
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
            Source::Host(_, labels) => (labels.len(), last_class(labels)),
            Source::Staged(staged) => (staged.n, staged.last_class),
            Source::Chosen(_, last_class) => (self.len(), *last_class),
        };
        check_labels((n, last), self.len(), classes)
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
            Source::Host(images, labels) => Source::Host(&images[..n * c * h * w], &labels[..n]),
            Source::Staged(staged) => Source::Staged(staged),
            Source::Chosen(chosen, last) => Source::Chosen(chosen.first(n), *last),
        };
        Self { source, shape: (n, c, h, w) }
    }

    /// The pictures in lane layout; everything computed from them has this precision.
    pub(crate) fn map(&self, gpu: &Gpu, precision: Precision) -> GpuMap {
        match &self.source {
            Source::Host(images, _) => GpuMap::from_pictures(&gpu.upload(images), precision, self.shape),
            Source::Staged(staged) => GpuMap::from_pictures(&staged.images, precision, self.shape),
            Source::Chosen(chosen, _) => chosen.map(precision),
        }
    }

    /// The labels, perhaps followed by others.
    pub(crate) fn labels(&self, gpu: &Gpu) -> Buffer {
        match &self.source {
            Source::Host(_, labels) => gpu.upload_u32(labels),
            Source::Staged(staged) => staged.labels.clone(),
            Source::Chosen(chosen, _) => chosen.labels(),
        }
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
