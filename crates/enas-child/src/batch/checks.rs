//! Checks of images and labels, and the targets that labels mean.

use candle_core::{DType, Tensor};
use enas_kernels::gpu::Gpu;

use crate::config::InputShape;
use crate::error::Error;
use crate::loss::{SecondClasses, Targets};

/// The second class of every image of a batch, if images are mixed from two (mixup, cutmix).
#[derive(Clone, Debug)]
pub struct MixedLabels {
    /// The second class, `[n]`, whole numbers.
    pub others: Tensor,
    /// Weight of the first class, 0 to 1, `[n]` of F32. The second class has the remaining weight.
    pub shares: Tensor,
}

/// The targets of a batch, from its labels and the second classes.
pub(super) fn targets_of(labels: &Tensor, mix: Option<&MixedLabels>) -> Result<Targets, Error> {
    let second = |MixedLabels { others, shares }: &MixedLabels| {
        Ok::<_, Error>(SecondClasses { others: classes(others)?, shares: shares.to_vec1()? })
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

/// Refuses images on another GPU than the network.
pub(super) fn check_gpu(of_images: &Gpu, of_network: &Gpu) -> Result<(), Error> {
    match of_images.is(of_network) {
        true => Ok(()),
        false => Err(Error::Batch("the images are on another GPU than the network".to_owned())),
    }
}

/// Refuses a tensor of images that is neither on the CPU nor on the network's GPU.
pub(super) fn check_device(images: &Tensor, of_network: Option<&Gpu>) -> Result<(), Error> {
    let own = of_network.and_then(Gpu::device);
    if images.device().is_cpu() || own.is_some_and(|own| own.same_device(images.device())) {
        return Ok(());
    }
    let device = images.device();
    Err(Error::Batch(format!("the images are on {device:?}, which is not the network's device")))
}

/// Checks the shape of images; returns their number.
pub(super) fn check_shape(got: &[usize], dtype: DType, input: InputShape) -> Result<usize, Error> {
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
pub(super) fn check_labels(n_labels: usize, largest: u32, n: usize, classes: usize) -> Result<(), Error> {
    if n_labels != n {
        return Err(Error::Batch(format!("{n_labels} labels for {n} images")));
    }
    if largest as usize >= classes {
        return Err(Error::Batch(format!("label {largest}, but there are {classes} classes")));
    }
    Ok(())
}

/// Checks the targets of `n` images in host memory.
pub(super) fn check_targets(targets: &Targets, n: usize, classes: usize) -> Result<(), Error> {
    check_labels(targets.labels.len(), largest_label(&targets.labels), n, classes)?;
    let Some(SecondClasses { others, shares }) = &targets.mix else { return Ok(()) };
    check_labels(others.len().min(shares.len()), largest_label(others), n, classes)?;
    match shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
        Some(share) => Err(Error::Batch(format!("the share {share} of a class is not within 0 to 1"))),
        None => Ok(()),
    }
}

/// The largest label.
pub(super) fn largest_label(labels: &[u32]) -> u32 {
    labels.iter().copied().max().unwrap_or(0)
}
