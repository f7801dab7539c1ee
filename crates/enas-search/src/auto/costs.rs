//! Time estimates for the phases of an automatic run, from a few steps of networks that are then dropped.

use std::time::Instant;

use enas_arc::Arc;
use enas_child::{Child, InputShape, Norm, Step};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::config::{RunConfig, SearchConfig, TrainConfig};
use enas_run::error::Result;
use enas_run::loader::ImageSource;
use enas_run::memory::MemoryPlan;

use super::config::AutoConfig;
use crate::epoch::{epoch_plan, steps_per_epoch};
use crate::finals;

/// Time in seconds that each phase would take if it did everything its configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work {
    pub(super) first: f64,
    pub(super) search: f64,
    pub(super) train: f64,
    /// Predicting the validation and test images once more, and those that the report explains.
    pub(super) predict: f64,
    /// One training step of the network that is trained at the end.
    pub(super) step: f64,
}

/// Forward passes of the report's occlusion maps: six images, each once as it is and once for each of 64 covered
/// parts.
pub(super) const EXPLAINED: usize = 6 * 65;
/// Number of steps that are timed, after one that is not.
const TIMED: u64 = 3;
/// Images of the forward pass that is timed.
const FORWARD: usize = 32;
/// After this many seconds no further step or forward pass is timed: a plan must not take the time of the training.
const LONG: f64 = 0.5;

/// Times a few steps of the shared and of the fixed network, each on its images.
pub(super) fn measure(
    config: &AutoConfig,
    first: &Arc,
    data: &Dataset,
    images: &Dataset,
    gpu: Option<&Gpu>,
    memory: Option<&MemoryPlan>,
) -> Result<Work> {
    let AutoConfig { search, train, .. } = config;
    let input = InputShape { channels: data.channels, height: data.height, width: data.width };
    let classes = data.classes.len();
    let seed = search.run.seed();
    let recompute = memory.map(|plan| plan.recompute).unwrap_or_default();
    let mut shared = Child::shared(&search.child, input, classes, seed)?;
    shared.recompute(recompute);
    let searching = of_search(search, &Costs::of(shared, first, &search.run, data, gpu)?, data);
    let mut fixed = Child::fixed(&train.child, first, input, classes, seed)?;
    fixed.recompute(recompute);
    let costs = Costs::of(fixed, first, &train.run, images, gpu)?;
    let finals = finals::steps_of_all(&search.finals) as f64 * costs.step;
    let training = |epochs| of_training(train, epochs, &costs, images);
    Ok(Work {
        first: training(config.first_epochs()),
        search: searching + finals,
        train: training(train.run.epochs),
        predict: costs.forward * (data.valid.len() + data.test.len() + EXPLAINED) as f64,
        step: costs.step,
    })
}

fn of_search(config: &SearchConfig, costs: &Costs, data: &Dataset) -> f64 {
    let score = costs.forward * data.valid.len() as f64;
    let updates = config.controller.steps.div_ceil(config.controller.train_every);
    let rewards = updates as f64 * config.controller.aggregate as f64 * config.reward.batch_size as f64;
    let epoch =
        steps_per_epoch(&data.train, &config.run) as f64 * costs.step + rewards * costs.forward + score;
    let contestants = (1 + config.select.samples + config.select.random) as f64;
    config.run.epochs as f64 * epoch + contestants * score
}

pub(super) fn of_training(config: &TrainConfig, epochs: u64, costs: &Costs, data: &Dataset) -> f64 {
    let steps = steps_per_epoch(&data.train, &config.run) as f64 * costs.step;
    let validation = costs.forward * data.valid.len() as f64;
    let (before, after) = config.refit.divide(epochs);
    let joining: usize = config.refit.images.parts().iter().map(|part| data.split(*part).len()).sum();
    let growth = 1.0 + joining as f64 / data.train.len().max(1) as f64;
    before as f64 * (steps + validation)
        + after as f64 * growth * steps
        + costs.forward * data.test.len() as f64
}

/// Time in seconds that a network takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Per training step.
    pub(crate) step: f64,
    /// Per image of a forward pass.
    pub(crate) forward: f64,
}

impl Costs {
    pub(crate) fn of(
        mut child: Child,
        arc: &Arc,
        run: &RunConfig,
        data: &Dataset,
        gpu: Option<&Gpu>,
    ) -> Result<Self> {
        if let Some(gpu) = gpu {
            child.use_gpu(gpu, run.activations.into())?;
        }
        let source = ImageSource::new(&data.train, &child)?;
        let mut batches = source.epoch(&epoch_plan(&data.train, 0, run, 0))?;
        let mut seconds: Vec<f64> = Vec::new();
        for global_step in 0..=TIMED {
            if seconds.iter().sum::<f64>() > LONG {
                break;
            }
            let Some(batch) = batches.next().transpose()? else { break };
            let step = Step { lr: 0.0, global_step, total_steps: TIMED + 1, seed: run.seed() };
            let began = Instant::now();
            child.train_on(arc, batch.examples(), &step, &mut || ())?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        let images = FORWARD.min(run.eval_batch).min(data.valid.len());
        let batch = ImageSource::new(&data.valid, &child)?.gather((0..images).collect())?;
        // Shared cells have no moving statistics.
        let norm = if child.arc().is_some() { Norm::RunningStatistics } else { Norm::BatchStatistics };
        let mut forward = f64::INFINITY;
        for _ in 0..2 {
            let began = Instant::now();
            child.logits(arc, batch.images(), norm, None)?;
            let taken = began.elapsed().as_secs_f64();
            forward = taken / images as f64;
            if taken > LONG {
                break;
            }
        }
        Ok(Self { step: typical(&seconds), forward })
    }
}

/// The mean without the first value, which includes one-time costs; a single value stands for itself.
fn typical(seconds: &[f64]) -> f64 {
    match seconds {
        [] => 0.0,
        [only] => *only,
        [_, rest @ ..] => rest.iter().sum::<f64>() / rest.len() as f64,
    }
}
