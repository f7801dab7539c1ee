//! Minibatches of a split: shuffled anew every epoch, in stored order, or drawn at random.
//!
//! The seed and the position alone determine the images of a batch and their augmentation. Worker threads prepare
//! batches in advance and cannot reorder or change them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::augment::{Mix, Shape};
use super::plan::{EpochPlan, Last, MIN_DECODING_WORKERS, PREFETCH};
use crate::dataset::split::Split;
use crate::error::Error;

/// A batch of images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// Normalised images, `[n, c, h, w]`.
    pub images: Vec<f32>,
    /// Channels, height and width of every image.
    pub shape: [usize; 3],
    /// Labels, `[n]`.
    pub labels: Vec<u32>,
    /// Indices in the split, `[n]`.
    pub indices: Vec<usize>,
    /// Second labels, if the images are mixed in pairs.
    pub mix: Option<Mix>,
}

impl ImageBatch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images; no method of [`Split`] makes such a batch.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Split {
    /// Batches of one epoch: every image once per pass, shuffled, augmented by the settings. With
    /// [`Sampling::Balanced`](crate::Sampling::Balanced) as many images, but every class equally often.
    ///
    /// # Errors
    /// [`Error::BatchSize`] if the batch size is zero or no batch would be left.
    pub fn epoch(&self, plan: &EpochPlan) -> Result<Batches, Error> {
        let n_batches = self.n_batches_of(self.len() * plan.passes, plan.batch_size, plan.last)?;
        let order = self.plan_order(plan);
        // Counted from the start of the epoch, so that augmentation does not depend on `skip`.
        let samples = samples(&order, self.len());
        let chunks = samples.chunks(plan.batch_size).take(n_batches).enumerate().skip(plan.skip);
        let chunk = |(step, samples): (usize, &[Sample])| BatchSpec {
            samples: samples.to_vec(),
            position: Some(BatchPosition { epoch: plan.epoch, step: step as u64 }),
        };
        Ok(Batches::start(self, chunks.map(chunk).collect(), plan.workers))
    }

    /// The indices of the images in the batches of [`epoch`](Self::epoch), for callers that store the images
    /// elsewhere.
    ///
    /// # Errors
    /// As [`epoch`](Self::epoch).
    pub fn epoch_indices(&self, plan: &EpochPlan) -> Result<Vec<Vec<usize>>, Error> {
        let n_batches = self.n_batches_of(self.len() * plan.passes, plan.batch_size, plan.last)?;
        let order = self.plan_order(plan);
        let chunks = order.chunks(plan.batch_size).take(n_batches).skip(plan.skip);
        Ok(chunks.map(<[usize]>::to_vec).collect())
    }

    /// All images in stored order without augmentation, for evaluation; the last batch may be short.
    ///
    /// # Errors
    /// [`Error::BatchSize`] if the batch size is zero.
    pub fn ordered(&self, batch_size: usize) -> Result<Batches, Error> {
        self.n_batches(batch_size, Last::Keep)?;
        let order: Vec<usize> = (0..self.len()).collect();
        let samples = samples(&order, self.len());
        let chunk = |samples: &[Sample]| BatchSpec { samples: samples.to_vec(), position: None };
        Ok(Batches::start(self, samples.chunks(batch_size).map(chunk).collect(), 1))
    }

    /// A full batch of random images without augmentation: the minibatch for a reward.
    ///
    /// Images are drawn without replacement. If the split has fewer than `batch_size` images, their counts differ by
    /// at most one. The draw depends only on the seed and `position` (epoch, step, …).
    ///
    /// # Errors
    /// [`Error::BatchSize`] if the batch size is zero; errors of [`image`](Self::image).
    pub fn draw(&self, position: &[u64], batch_size: usize) -> Result<ImageBatch, Error> {
        self.gather(self.draw_indices(position, batch_size)?)
    }

    /// The indices of the images that [`draw`](Self::draw) draws, for callers that store the images elsewhere.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn draw_indices(&self, position: &[u64], batch_size: usize) -> Result<Vec<usize>, Error> {
        self.n_batches(batch_size, Last::Keep)?;
        let mut stream = self.data.seed.stream("draw", position);
        let mut chosen = Vec::with_capacity(batch_size);
        while chosen.len() < batch_size {
            let mut order: Vec<usize> = (0..self.len()).collect();
            let wanted = self.len().min(batch_size - chosen.len());
            // A partial Fisher–Yates shuffle: only the first `wanted` places are drawn.
            for i in 0..wanted {
                order.swap(i, i + stream.below(self.len() - i));
            }
            chosen.extend_from_slice(&order[..wanted]);
        }
        Ok(chosen)
    }

    /// A batch of the given images without augmentation.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn gather(&self, indices: Vec<usize>) -> Result<ImageBatch, Error> {
        let samples: Vec<Sample> = indices.into_iter().map(|index| Sample { index, repeat: 0 }).collect();
        self.batch(&BatchSpec { samples, position: None })
    }

    /// Number of batches in one pass.
    ///
    /// # Errors
    /// [`Error::BatchSize`] if the batch size is zero or no batch would be left.
    pub fn n_batches(&self, batch_size: usize, last: Last) -> Result<usize, Error> {
        self.n_batches_of(self.len(), batch_size, last)
    }

    /// Number of batches of `n` images.
    fn n_batches_of(&self, n: usize, batch_size: usize, last: Last) -> Result<usize, Error> {
        let wrong = |remedy| Error::BatchSize { batch_size, n, split: self.part().name(), remedy };
        if batch_size == 0 {
            return Err(wrong("the batch size must be at least 1"));
        }
        match (last, n / batch_size) {
            (Last::Drop, 0) => Err(wrong("lower the batch size or keep the last short batch")),
            (Last::Drop, n) => Ok(n),
            (Last::Keep, _) => Ok(n.div_ceil(batch_size)),
        }
    }

    fn batch(&self, BatchSpec { samples, position }: &BatchSpec) -> Result<ImageBatch, Error> {
        let size = self.data.shape.len();
        let mut images = vec![0.0; samples.len() * size];
        for (&Sample { index, repeat }, image) in samples.iter().zip(images.chunks_exact_mut(size)) {
            match position {
                Some(BatchPosition { epoch, .. }) => self.augmented_into(index, *epoch, repeat, image)?,
                None => self.normalized_into(index, image)?,
            }
        }
        let indices: Vec<usize> = samples.iter().map(|sample| sample.index).collect();
        let labels: Vec<u32> = indices.iter().map(|&i| self.data.labels[i]).collect();
        let mix = position.filter(|_| self.data.augment.mixes()).map(|BatchPosition { epoch, step }| {
            let mut stream = self.data.seed.stream("mix", &[epoch, step]);
            self.data.augment.mix(self.data.shape, &mut images, &labels, &mut stream)
        });
        let Shape { channels, height, width } = self.data.shape;
        Ok(ImageBatch { images, shape: [channels, height, width], labels, indices, mix })
    }

    /// Number of worker threads: `workers`, but at least [`MIN_DECODING_WORKERS`] if images have to be decoded.
    fn n_workers(&self, workers: usize) -> usize {
        if self.data.store.is_decoded() { workers } else { workers.max(MIN_DECODING_WORKERS) }
    }
}

/// The images of a batch.
#[derive(Clone, Debug)]
struct BatchSpec {
    samples: Vec<Sample>,
    /// Position in training; `None` without augmentation.
    position: Option<BatchPosition>,
}

/// Position of a batch in training.
#[derive(Clone, Copy, Debug)]
struct BatchPosition {
    epoch: u64,
    /// Number of batches before it in the epoch.
    step: u64,
}

/// One occurrence of an image in an epoch.
#[derive(Clone, Copy, Debug)]
struct Sample {
    index: usize,
    /// Number of earlier occurrences.
    repeat: u64,
}

/// Counts the earlier occurrences of each of `n` images.
fn samples(order: &[usize], n: usize) -> Vec<Sample> {
    let mut seen = vec![0; n];
    let sample = |&index: &usize| {
        seen[index] += 1;
        Sample { index, repeat: seen[index] - 1 }
    };
    order.iter().map(sample).collect()
}

/// Batches prepared in advance by worker threads, in order.
///
/// Dropping it early stops the threads and waits for them.
#[derive(Debug)]
pub struct Batches {
    /// Worker `k` of `n` makes the batches `k, k + n, k + 2n, …`.
    workers: Vec<LoaderThread>,
    next: usize,
    end: usize,
    waited: Duration,
}

#[derive(Debug)]
struct LoaderThread {
    batches: Receiver<Result<ImageBatch, Error>>,
    thread: JoinHandle<()>,
}

impl Batches {
    fn start(split: &Split, chunks: Vec<BatchSpec>, workers: usize) -> Self {
        let end = chunks.len();
        let n = split.n_workers(workers).clamp(1, end.max(1));
        let mut shares = vec![Vec::new(); n];
        chunks.into_iter().enumerate().for_each(|(i, chunk)| shares[i % n].push(chunk));
        let worker = |share| {
            let (sender, batches) = sync_channel(PREFETCH);
            let split = split.clone();
            LoaderThread { batches, thread: thread::spawn(move || send_batches(&split, share, &sender)) }
        };
        let workers = shares.into_iter().map(worker).collect();
        Self { workers, next: 0, end, waited: Duration::ZERO }
    }

    /// How long the caller has waited for batches so far: close to zero if the workers keep up.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// Makes batches until all are made, one fails, or the receiver is dropped.
fn send_batches(split: &Split, chunks: Vec<BatchSpec>, sender: &SyncSender<Result<ImageBatch, Error>>) {
    for chunk in chunks {
        let batch = split.batch(&chunk);
        let is_last = batch.is_err();
        if sender.send(batch).is_err() || is_last {
            return;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<ImageBatch, Error>;

    /// The next batch; `None` after the last one and after an error.
    fn next(&mut self) -> Option<Result<ImageBatch, Error>> {
        if self.next == self.end {
            return None;
        }
        let turn = self.next % self.workers.len();
        let asked = Instant::now();
        let answer = self.workers[turn].batches.recv();
        self.waited += asked.elapsed();
        match answer {
            Ok(batch) => {
                self.next = if batch.is_ok() { self.next + 1 } else { self.end };
                Some(batch)
            }
            // The channel closed before the last batch, so the worker panicked. Ending here would silently shorten
            // the epoch.
            Err(_) => match self.workers.swap_remove(turn).thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("a worker sends all of its batches before it ends"),
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl ExactSizeIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            // Dropping the receiver makes a blocked `send` fail, which ends the worker.
            drop(worker.batches);
            // A panic of the worker has been passed on already, or concerns batches that are not needed.
            drop(worker.thread.join());
        }
    }
}
