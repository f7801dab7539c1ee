//! The division of a training split into the steps of an epoch.

use enas_data::{EpochPlan, Last, Split};
use enas_run::config::RunConfig;

/// One epoch over the training split, from its step `skip` on.
///
/// Images that do not fill a batch are left out, because the batch statistics of a few images would be noisy. Every
/// epoch leaves out others.
pub(crate) fn epoch_plan(train: &Split, epoch: u64, run: &RunConfig, skip: u64) -> EpochPlan {
    let passes = run.passes as usize;
    let last = if train.len() * passes < run.batch_size { Last::Keep } else { Last::Drop };
    EpochPlan { last, passes, skip: skip as usize, ..EpochPlan::new(epoch, run.batch_size) }
}

/// Number of steps of a complete [`epoch_plan`].
pub(crate) fn steps_per_epoch(train: &Split, run: &RunConfig) -> u64 {
    (train.len() * run.passes as usize / run.batch_size).max(1) as u64
}
