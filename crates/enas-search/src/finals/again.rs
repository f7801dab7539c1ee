//! Repeats a training of the last round of the finals, to check a search's claim.

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::config::SearchConfig;
use enas_run::error::Result;
use enas_run::memory::MemoryPlan;

use super::recipe::{ROUNDS, recipe};
use crate::trial::{ImageOutcome, Trial};

/// Trains the network of `arc` to `steps` steps in all, as the last round of the finals does, and returns its answers
/// on the test images.
///
/// `goes_on` receives the number of steps done; if it returns `false`, the result is `None`. `config.run.seed` and
/// the order of `data` determine the result. For an independent repetition, load both with another seed.
///
/// # Errors
/// Settings out of range; errors of images and device.
pub fn train_as_finalist(
    config: &SearchConfig,
    arc: &Arc,
    steps: u64,
    data: &Dataset,
    gpu: Option<&Gpu>,
    memory: Option<&MemoryPlan>,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Vec<ImageOutcome>>> {
    let per_epoch = crate::epoch::steps_per_epoch(&data.train, &config.run);
    let recipe = recipe(config, per_epoch);
    let mut trial = Trial::new(&recipe, arc, data, gpu, memory)?;
    // The learning rate falls as in the last round, which starts where the second ended.
    trial.anneal(steps * ROUNDS[1] / ROUNDS[2], steps);
    let mut is_wanted = true;
    trial.train_to(steps, &mut |done, _| {
        is_wanted = goes_on(done);
        is_wanted
    })?;
    if !is_wanted {
        return Ok(None);
    }
    let all: Vec<usize> = (0..data.test.len()).collect();
    trial.outcomes(&data.test, &all).map(Some)
}
