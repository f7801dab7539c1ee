//! How a training split is cut into the steps of an epoch.

use enas_data::{EpochPlan, Last, Split};

/// One pass over the training split from its step `skip` on.
///
/// What does not fill a batch is left out, as the batch statistics of a few pictures would be noise; other epochs leave
/// out others.
pub(crate) fn epoch_plan(train: &Split, epoch: u64, batch_size: usize, skip: u64) -> EpochPlan {
    let last = if train.len() < batch_size { Last::Keep } else { Last::Drop };
    EpochPlan { last, skip: skip as usize, ..EpochPlan::new(epoch, batch_size) }
}

/// Steps of a whole [`epoch_plan`].
pub(crate) fn steps_per_epoch(train: &Split, batch_size: usize) -> u64 {
    (train.len() / batch_size).max(1) as u64
}
