//! The plan of an epoch, and how many batches are prepared in advance.

/// What happens to the images that do not fill the last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Last {
    /// They form a shorter batch.
    #[default]
    Keep,
    /// They are left out of this epoch; other epochs leave out other images.
    Drop,
}

/// One pass over a split, or several passes that count as one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochPlan {
    /// Number of the epoch; it determines the order and the augmentation.
    pub epoch: u64,
    /// Passes over the split, at least 1. A batch may span two passes.
    pub passes: usize,
    /// Images per batch.
    pub batch_size: usize,
    /// What happens to the images that do not fill the last batch.
    pub last: Last,
    /// Batches to skip at the beginning, to resume in the middle of an epoch.
    pub skip: usize,
    /// Number of worker threads; results do not depend on it.
    pub workers: usize,
}

impl EpochPlan {
    /// One full pass that keeps the last short batch, prepared by one thread.
    pub fn new(epoch: u64, batch_size: usize) -> Self {
        Self { epoch, passes: 1, batch_size, last: Last::Keep, skip: 0, workers: 1 }
    }
}

/// Queue length per worker: enough to bridge short delays at little memory.
pub(super) const PREFETCH: usize = 2;

/// Minimum number of workers if images have to be decoded for each batch.
pub(crate) const MIN_DECODING_WORKERS: usize = 2;

/// Maximum number of batches in memory: queued ones, one in preparation per worker, and the one in use. `is_decoded`
/// tells whether images are stored decoded.
pub(crate) fn max_batches_in_memory(is_decoded: bool) -> usize {
    (PREFETCH + 1) * if is_decoded { 1 } else { MIN_DECODING_WORKERS } + 1
}
