//! Trainings of the last round of the finals, done again: what a claim of a search is checked by.

use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;

use super::recipe::{ROUNDS, recipe};
use crate::config::SearchConfig;
use crate::error::Result;
use crate::memory::MemoryPlan;
use crate::trial::{Answer, Trial};

/// Trains the network of `arc` as the last round of a search's finals does, to `steps` steps in all, and returns what it
/// says of the test images. `None` if `goes_on`, which is called with the steps done, says no.
///
/// `config.run.seed` and the order of `data` decide the outcome, so both are to be another seed's where a training is
/// repeated.
///
/// # Errors
/// Settings out of range; what images and device report.
pub fn train_as_finalist(
    config: &SearchConfig,
    (arc, steps): (&Arc, u64),
    data: &Dataset,
    (gpu, memory): (Option<&Gpu>, Option<&MemoryPlan>),
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Vec<Answer>>> {
    let per_epoch = crate::epoch::steps_per_epoch(&data.train, &config.run);
    let recipe = recipe(config, per_epoch);
    let mut trial = Trial::new(&recipe, arc, data, (gpu, memory))?;
    // As in the last round, which begins where the second ended.
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
    trial.answers(&data.test, &all).map(Some)
}
