//! The images of the loops: resident on the GPU if a split fits there, otherwise sent by the host batch by batch.
//!
//! The split determines the images of a batch in both cases, and their values are equal to the bit.

use std::time::Duration;

use candle_core::{Device, Tensor};
use enas_child::{Child, MixedLabels, ResidentImages};
use enas_data::{Batches, EpochPlan, ImageBatch, Split};
use enas_kernels::gpu::Gpu;

use crate::error::{Error, Result};
use crate::network::Network;

/// A split as a network reads it. Clones share the images.
#[derive(Clone, Debug)]
pub struct ImageSource {
    split: Split,
    /// All images on the network's GPU; `None` if that is impossible: the host augments training images anew in every
    /// epoch, and large splits do not fit.
    resident: Option<ResidentImages>,
    /// The network's GPU; `None` on the CPU.
    gpu: Option<Gpu>,
}

/// A batch of images that pass through the network together.
#[derive(Debug)]
pub struct Minibatch {
    examples: enas_child::Batch,
    /// `[n]` of U32.
    pub labels: Tensor,
}

impl ImageSource {
    /// The images of `split` for `child`, which must be on its final device. Image sizes must agree.
    ///
    /// # Errors
    /// [`Error::Child`] if the GPU refuses the images.
    pub fn new(split: &Split, child: &Child) -> Result<Self> {
        let gpu = child.gpu().cloned();
        let resident = match &gpu {
            Some(gpu) if !split.is_augmented() && split.decoded(0).is_some() => place(gpu, split, child)?,
            _ => None,
        };
        Ok(Self { split: split.clone(), resident, gpu })
    }

    /// [`Self::new`] for a network of either space.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(split: &Split, network: &Network) -> Result<Self> {
        match network {
            Network::Micro(child) => Self::new(split, child),
            Network::Macro(_) => Ok(Self { split: split.clone(), resident: None, gpu: None }),
        }
    }

    /// The split.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// Batches of an epoch; see [`Split::epoch`].
    ///
    /// # Errors
    /// As [`Split::epoch`].
    pub fn epoch(&self, plan: &EpochPlan) -> Result<Epoch> {
        let batches = match self.resident {
            Some(_) => Prepared::Resident(self.split.epoch_indices(plan)?.into_iter()),
            None => Prepared::Host(self.split.epoch(plan)?),
        };
        Ok(Epoch { source: self.clone(), batches })
    }

    /// Batches of all images in stored order; see [`Split::ordered`].
    pub(crate) fn ordered(&self, batch_size: usize) -> Result<Epoch> {
        let batches = match self.resident {
            Some(_) => {
                let all: Vec<usize> = (0..self.split.len()).collect();
                let chunks: Vec<Vec<usize>> = all.chunks(batch_size).map(<[usize]>::to_vec).collect();
                Prepared::Resident(chunks.into_iter())
            }
            None => Prepared::Host(self.split.ordered(batch_size)?),
        };
        Ok(Epoch { source: self.clone(), batches })
    }

    /// A randomly drawn batch; see [`Split::draw`].
    ///
    /// # Errors
    /// As [`Split::draw`].
    pub fn draw(&self, position: &[u64], batch_size: usize) -> Result<Minibatch> {
        self.gather(self.split.draw_indices(position, batch_size)?)
    }

    /// A batch of the given images; see [`Split::gather`].
    ///
    /// # Errors
    /// As [`Split::gather`].
    pub fn gather(&self, indices: Vec<usize>) -> Result<Minibatch> {
        Ok(match &self.resident {
            Some(set) => {
                let labels: Vec<u32> = indices.iter().map(|&i| self.split.labels()[i]).collect();
                let labels = Tensor::from_vec(labels, indices.len(), &Device::Cpu)?;
                Minibatch { examples: set.batch(indices)?, labels }
            }
            None => Minibatch::of_host(self.split.gather(indices)?)?,
        })
    }

    /// A batch prepared by the host. With a GPU, its transfer starts here.
    fn send(&self, batch: ImageBatch) -> Result<Minibatch> {
        let Minibatch { examples, labels } = Minibatch::of_host(batch)?;
        let examples = match &self.gpu {
            Some(gpu) => examples.upload(gpu)?,
            None => examples,
        };
        Ok(Minibatch { examples, labels })
    }
}

fn place(gpu: &Gpu, split: &Split, child: &Child) -> Result<Option<ResidentImages>> {
    let tables: Vec<[f32; 256]> = split.normalization().tables().collect();
    let image = |i| split.decoded(i).expect("only decoded images are placed");
    let resident = ResidentImages::place(gpu, child.input(), image, split.labels(), &tables)?;
    if resident.is_none() {
        tracing::info!("the {} images stay with the host: they would fill the GPU", split.part().name());
    }
    Ok(resident)
}

/// The second labels of mixed images, as tensors for the network.
fn mix(enas_data::augment::Mix { others, shares }: enas_data::augment::Mix) -> Result<MixedLabels> {
    let n = others.len();
    let others = Tensor::from_vec(others, n, &Device::Cpu)?;
    let n = shares.len();
    Ok(MixedLabels { others, shares: Tensor::from_vec(shares, n, &Device::Cpu)? })
}

impl Minibatch {
    /// Takes a batch of the host; its values are moved, not copied.
    fn of_host(mut batch: ImageBatch) -> Result<Self> {
        let mix = batch.mix.take().map(mix).transpose()?;
        let (images, labels) = batch.into_tensors(&Device::Cpu)?;
        let examples = match mix {
            Some(mix) => enas_child::Batch::mixed(&images, &labels, &mix)?,
            None => enas_child::Batch::labelled(&images, &labels)?,
        };
        Ok(Self { examples, labels })
    }

    /// Whether the batch has no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// The batch as input for a forward pass.
    pub fn images(&self) -> &enas_child::Batch {
        &self.examples
    }

    /// The batch as input for a training step.
    pub fn examples(&self) -> &enas_child::Batch {
        &self.examples
    }
}

/// Batches in order. A request for the next one during a step overlaps its transfer to the GPU with the computation.
#[derive(Debug)]
pub struct Epoch {
    source: ImageSource,
    batches: Prepared,
}

#[derive(Debug)]
enum Prepared {
    Host(Batches),
    Resident(std::vec::IntoIter<Vec<usize>>),
}

impl Epoch {
    /// How long the caller has waited for batches so far.
    pub fn waited(&self) -> Duration {
        match &self.batches {
            Prepared::Host(batches) => batches.waited(),
            Prepared::Resident(_) => Duration::ZERO,
        }
    }
}

impl Iterator for Epoch {
    type Item = Result<Minibatch>;

    fn next(&mut self) -> Option<Result<Minibatch>> {
        match &mut self.batches {
            Prepared::Host(batches) => batches
                .next()
                .map(|batch| batch.map_err(Error::from).and_then(|batch| self.source.send(batch))),
            Prepared::Resident(chunks) => chunks.next().map(|indices| self.source.gather(indices)),
        }
    }
}
