//! Images and labels as networks take them, and whether they fit.

use candle_core::{DType, Tensor};

use crate::examples::{ResidentPictures, Staged};
use crate::loss::{Second, Targets};
use crate::{Error, InputShape};

/// The images of a batch, wherever they are. A tensor becomes one with `into`.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// `[n, c, h, w]` of F32 in the host's memory, normalised. On a GPU a pass begins by copying them there.
    Tensor(&'a Tensor),
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

/// The images of a batch with their labels, for training.
#[derive(Clone, Copy, Debug)]
pub enum Examples<'a> {
    /// In the host's memory. On a GPU a step begins by copying them there.
    Tensors {
        /// `[n, c, h, w]` of F32, normalised.
        images: &'a Tensor,
        /// `[n]`, whole numbers.
        labels: &'a Tensor,
        /// The second class of each image, where images are mixed from two.
        mix: Option<&'a Mix>,
    },
    /// Copied to the network's GPU ahead of time, with their labels.
    Staged(&'a Staged),
    /// Some of the pictures that stay on the network's GPU, with their labels.
    Resident {
        /// All of them.
        set: &'a ResidentPictures,
        /// Positions in the set, `[n]`.
        indices: &'a [usize],
    },
}

/// The second class of every image of a batch, where images are mixed from two (mixup, cutmix).
#[derive(Clone, Debug)]
pub struct Mix {
    /// The other class, `[n]`, whole numbers.
    pub others: Tensor,
    /// How much the first class counts, 0 to 1, `[n]` of F32; the other one counts for the rest.
    pub shares: Tensor,
}

impl<'a> From<&'a Tensor> for Images<'a> {
    fn from(images: &'a Tensor) -> Self {
        Self::Tensor(images)
    }
}

impl<'a> From<Examples<'a>> for Images<'a> {
    fn from(examples: Examples<'a>) -> Self {
        match examples {
            Examples::Tensors { images, .. } => Self::Tensor(images),
            Examples::Staged(staged) => Self::Staged(staged),
            Examples::Resident { set, indices } => Self::Resident { set, indices },
        }
    }
}

impl<'a> Images<'a> {
    /// Those of a network in the host's memory.
    pub(crate) fn on_host(self) -> Result<&'a Tensor, Error> {
        match self {
            Self::Tensor(images) => Ok(images),
            Self::Staged(_) | Self::Resident { .. } => {
                Err(Error::Batch("the pictures are on a GPU, the network is not".to_owned()))
            }
        }
    }
}

impl<'a> Examples<'a> {
    /// Images and what they are compared with, of a network in the host's memory.
    pub(crate) fn on_host(self) -> Result<(&'a Tensor, Targets), Error> {
        let images = Images::from(self).on_host()?;
        Ok((images, self.targets()?))
    }

    /// What the images are compared with, as far as that is in the host's memory.
    pub(crate) fn targets(self) -> Result<Targets, Error> {
        match self {
            Self::Tensors { labels, mix, .. } => targets(labels, mix),
            Self::Staged(_) | Self::Resident { .. } => Ok(Targets::default()),
        }
    }
}

/// What images are compared with.
pub(crate) fn targets(labels: &Tensor, mix: Option<&Mix>) -> Result<Targets, Error> {
    let second = |Mix { others, shares }: &Mix| {
        Ok::<_, Error>(Second { others: classes(others)?, shares: shares.to_vec1()? })
    };
    Ok(Targets { labels: classes(labels)?, mix: mix.map(second).transpose()? })
}

/// Labels as numbers of classes.
fn classes(labels: &Tensor) -> Result<Vec<u32>, Error> {
    match (labels.rank(), labels.dtype()) {
        (1, DType::U8 | DType::U32 | DType::I64) => Ok(labels.to_dtype(DType::U32)?.to_vec1()?),
        (_, dtype) => {
            let got = labels.dims();
            Err(Error::Batch(format!("labels are {got:?} of {dtype:?}, the network takes [n] of U32")))
        }
    }
}

/// Checks that images on the host are those of a network that takes `input`; gives how many there are.
pub(crate) fn check_images(images: &Tensor, input: InputShape) -> Result<usize, Error> {
    if !images.device().is_cpu() {
        return Err(Error::Batch("tensors of candle are taken on the CPU alone".to_owned()));
    }
    check_shape(images.dims(), images.dtype(), input)
}

/// Checks the shape of images; gives how many there are.
pub(crate) fn check_shape(got: &[usize], dtype: DType, input: InputShape) -> Result<usize, Error> {
    let InputShape { channels, height, width } = input;
    match got {
        [n, rest @ ..] if *n > 0 && *rest == [channels, height, width] && dtype == DType::F32 => Ok(*n),
        _ => {
            let wanted = format!("[n, {channels}, {height}, {width}] of F32 with n above 0");
            Err(Error::Batch(format!("images are {got:?} of {dtype:?}, the network takes {wanted}")))
        }
    }
}

/// Checks `labels`, whose number and largest are given, for `n` images.
pub(crate) fn check_labels(labels: (usize, u32), n: usize, classes: usize) -> Result<(), Error> {
    match labels {
        (got, _) if got != n => Err(Error::Batch(format!("{got} labels for {n} images"))),
        (_, last) if last as usize >= classes => {
            Err(Error::Batch(format!("label {last}, but there are {classes} classes")))
        }
        _ => Ok(()),
    }
}

/// Checks what a batch of `n` images on the host is compared with.
pub(crate) fn check_targets(targets: &Targets, n: usize, classes: usize) -> Result<(), Error> {
    check_labels((targets.labels.len(), last_class(&targets.labels)), n, classes)?;
    let Some(Second { others, shares }) = &targets.mix else { return Ok(()) };
    check_labels((others.len().min(shares.len()), last_class(others)), n, classes)?;
    match shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
        Some(share) => Err(Error::Batch(format!("the share {share} of a class is not within 0 to 1"))),
        None => Ok(()),
    }
}

/// The largest label.
pub(crate) fn last_class(labels: &[u32]) -> u32 {
    labels.iter().copied().max().unwrap_or(0)
}
