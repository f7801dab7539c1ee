//! A labelled data set on a GPU, and batches of it.

use enas_kernels::gpu::{self, Gpu, GpuImages, SelectedImages};

use super::checks::{check_gpu, check_labels, largest_label};
use crate::config::InputShape;
use crate::error::Error;

/// A resident data set may use at most 1/`SHARE` of free GPU memory. Activations need most of the rest.
const SHARE: usize = 4;

/// A labelled data set that stays on a GPU as bytes. The device makes normalised batches from it, which equal those
/// of the host bit for bit. Clones share it.
#[derive(Clone, Debug)]
pub struct ResidentImages {
    set: GpuImages,
    largest_label: u32,
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
        let shape = (channels, height, width);
        let n = labels.len();
        if tables.len() != channels {
            return Err(Error::Batch(format!("{} tables for {channels} channels", tables.len())));
        }
        if let Some(i) = (0..n).find(|i| image(*i).len() != channels * height * width) {
            let got = image(i).len();
            return Err(Error::Batch(format!("image {i} has {got} bytes, not {channels}x{height}x{width}")));
        }
        let fits = |bytes: usize| gpu.free_bytes().is_none_or(|free| bytes <= free / SHARE);
        if !GpuImages::bytes(n, shape).is_some_and(fits) {
            return Ok(None);
        }
        match GpuImages::upload(gpu, shape, (0..n).map(image), labels, tables) {
            Ok(set) => Ok(Some(Self { set, largest_label: largest_label(labels) })),
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

/// Some images of a resident data set, by position.
#[derive(Clone, Debug)]
pub(super) struct ResidentBatch {
    set: ResidentImages,
    indices: Vec<usize>,
}

impl ResidentBatch {
    pub(super) fn new(set: &ResidentImages, indices: Vec<usize>) -> Result<Self, Error> {
        let Some(&largest) = indices.iter().max() else {
            return Err(Error::Batch("a batch of no images".to_owned()));
        };
        if largest >= set.len() {
            return Err(no_such_image(largest, set.len()));
        }
        Ok(Self { set: set.clone(), indices })
    }

    pub(super) fn len(&self) -> usize {
        self.indices.len()
    }

    pub(super) fn check_images(&self, input: InputShape, gpu: &Gpu) -> Result<usize, Error> {
        check_gpu(self.set.set.gpu(), gpu)?;
        let InputShape { channels: c, height: h, width: w } = input;
        let (channels, height, width) = self.set.set.shape();
        if (channels, height, width) != (c, h, w) {
            let got = format!("{channels}x{height}x{width}, not {c}x{h}x{w}");
            return Err(Error::Batch(format!("the images on the GPU are of {got}")));
        }
        Ok(self.indices.len())
    }

    /// Every label of the data set must be a class of the network.
    pub(super) fn check_labels(&self, classes: usize) -> Result<(), Error> {
        let n = self.indices.len();
        check_labels(n, self.set.largest_label, n, classes)
    }

    /// The first `n` images, or all if they are fewer.
    pub(super) fn first(&self, n: usize) -> Self {
        let n = n.min(self.indices.len());
        Self { set: self.set.clone(), indices: self.indices[..n].to_vec() }
    }

    /// Sends the indices to the GPU.
    pub(super) fn choose(&self) -> Result<SelectedImages<'_>, Error> {
        let largest = || self.indices.iter().copied().max().unwrap_or(0);
        self.set.set.choose(&self.indices).ok_or_else(|| no_such_image(largest(), self.set.len()))
    }
}

fn no_such_image(index: usize, n: usize) -> Error {
    Error::Batch(format!("there is no image {index} among the {n} on the GPU, counted from 0"))
}
