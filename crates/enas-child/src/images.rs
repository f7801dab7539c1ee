//! Images and labels in the form that networks take, and checks that they fit.

use candle_core::{DType, Tensor};

use crate::examples::{ResidentImages, Staged};
use crate::loss::{Second, Targets};
use crate::{Error, InputShape};

/// The images of a batch, in any place. `into` converts a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// `[n, c, h, w]` of F32 in host memory, normalised. A pass on a GPU first copies them there.
    Tensor(&'a Tensor),
    /// Copied to the network's GPU in advance.
    Staged(&'a Staged),
    /// Some images of a data set on the network's GPU.
    Resident {
        /// The data set.
        set: &'a ResidentImages,
        /// Positions in the data set, `[n]`.
        indices: &'a [usize],
    },
}

/// The images of a batch with their labels, for training.
#[derive(Clone, Copy, Debug)]
pub enum Examples<'a> {
    /// In host memory. A step on a GPU first copies them there.
    Tensors {
        /// `[n, c, h, w]` of F32, normalised.
        images: &'a Tensor,
        /// `[n]`, whole numbers.
        labels: &'a Tensor,
        /// The second class of each image, if images are mixed from two.
        mix: Option<&'a Mix>,
    },
    /// Copied to the network's GPU in advance, with their labels.
    Staged(&'a Staged),
    /// Some images of a data set on the network's GPU, with their labels.
    Resident {
        /// The data set.
        set: &'a ResidentImages,
        /// Positions in the data set, `[n]`.
        indices: &'a [usize],
    },
}

/// The second class of every image of a batch, if images are mixed from two (mixup, cutmix).
#[derive(Clone, Debug)]
pub struct Mix {
    /// The second class, `[n]`, whole numbers.
    pub others: Tensor,
    /// Weight of the first class, 0 to 1, `[n]` of F32. The second class has the remaining weight.
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
    /// The images for a network in host memory; an error if they are on a GPU.
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
    /// Images and targets for a network in host memory.
    pub(crate) fn on_host(self) -> Result<(&'a Tensor, Targets), Error> {
        let images = Images::from(self).on_host()?;
        Ok((images, self.targets()?))
    }

    /// The targets, as far as they are in host memory.
    pub(crate) fn targets(self) -> Result<Targets, Error> {
        match self {
            Self::Tensors { labels, mix, .. } => targets(labels, mix),
            Self::Staged(_) | Self::Resident { .. } => Ok(Targets::default()),
        }
    }
}

/// The targets of a batch, from its labels and the second classes.
pub(crate) fn targets(labels: &Tensor, mix: Option<&Mix>) -> Result<Targets, Error> {
    let second = |Mix { others, shares }: &Mix| {
        Ok::<_, Error>(Second { others: classes(others)?, shares: shares.to_vec1()? })
    };
    Ok(Targets { labels: classes(labels)?, mix: mix.map(second).transpose()? })
}

/// Labels as class numbers.
fn classes(labels: &Tensor) -> Result<Vec<u32>, Error> {
    match (labels.rank(), labels.dtype()) {
        (1, DType::U8 | DType::U32 | DType::I64) => Ok(labels.to_dtype(DType::U32)?.to_vec1()?),
        (_, dtype) => {
            let got = labels.dims();
            Err(Error::Batch(format!("labels are {got:?} of {dtype:?}, the network takes [n] of U32")))
        }
    }
}

/// Checks images in host memory for a network that takes `input`; returns their number.
pub(crate) fn check_images(images: &Tensor, input: InputShape) -> Result<usize, Error> {
    if !images.device().is_cpu() {
        return Err(Error::Batch("tensors of candle are taken on the CPU alone".to_owned()));
    }
    check_shape(images.dims(), images.dtype(), input)
}

/// Checks the shape of images; returns their number.
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

/// Checks labels for `n` images, given as their number and the largest label.
pub(crate) fn check_labels(labels: (usize, u32), n: usize, classes: usize) -> Result<(), Error> {
    match labels {
        (got, _) if got != n => Err(Error::Batch(format!("{got} labels for {n} images"))),
        (_, last) if last as usize >= classes => {
            Err(Error::Batch(format!("label {last}, but there are {classes} classes")))
        }
        _ => Ok(()),
    }
}

/// Checks the targets of `n` images in host memory.
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
