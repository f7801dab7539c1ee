//! A trial: the training of one architecture alone, in memory, for comparing architectures.

use candle_core::Tensor;
use enas_arc::Arc;
use enas_child::{Child, Norm, Step};
use enas_data::{Dataset, Split};
use enas_kernels::candle::read;
use enas_kernels::gpu::Gpu;
use enas_run::config::{Settings as _, TrainConfig};
use enas_run::error::Result;
use enas_run::evaluation::even_batch;
use enas_run::loader::ImageSource;
use enas_run::memory::MemoryPlan;
use enas_run::network::{fixed_child, set_loss};
use enas_run::non_finite::NonFinite;

use crate::annealing::{self, SchedulePosition};
use crate::epoch::{epoch_plan, steps_per_epoch};
use crate::refine::{self, Refinement};

/// A trial: the training of one architecture alone. It writes no files and can be continued at any time.
///
/// It makes the same steps as [`train`](crate::train()) with the same settings, but without a time limit. Trials with
/// equal settings see the same images in the same order, so their losses can be compared step by step.
#[derive(Debug)]
pub struct Trial<'a> {
    config: &'a TrainConfig,
    arc: Arc,
    data: &'a Dataset,
    child: Child,
    train: ImageSource,
    refinement: Option<Refinement>,
    /// First and last step of a cosine decay of the learning rate to 0, which multiplies the schedule.
    annealing: Option<(u64, u64)>,
    /// The training loss of every step so far, in nats.
    losses: Vec<f32>,
    /// Whether a loss or gradient was not finite. No further step is made then.
    diverged: bool,
}

/// The prediction of a network for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageOutcome {
    /// Cross entropy, in nats.
    pub loss: f32,
    /// Whether the most likely class is the right one.
    pub is_right: bool,
}

impl<'a> Trial<'a> {
    /// A network for `arc` at its random initialisation. All settings apply, except those about files and time.
    ///
    /// # Errors
    /// Settings out of range; images that are too small for the network; errors of the GPU.
    pub fn new(
        config: &'a TrainConfig,
        arc: &Arc,
        data: &'a Dataset,
        gpu: Option<&Gpu>,
        memory: Option<&MemoryPlan>,
    ) -> Result<Self> {
        config.check()?;
        config.run.check_device(gpu)?;
        let mut child = fixed_child(config, arc, data)?;
        set_loss(&mut child, &config.run, data)?;
        if config.run.ema_decay > 0.0 {
            child.keep_average()?;
        }
        child.recompute(memory.map(|plan| plan.recompute).unwrap_or_default());
        if let Some(gpu) = gpu {
            child.use_gpu(gpu, config.run.activations.into())?;
        }
        let refinement = Refinement::new(&config.run, &data.train)?;
        let train = ImageSource::new(&data.train, &child)?;
        let arc = arc.clone();
        let losses = Vec::new();
        Ok(Self { config, arc, data, child, train, refinement, annealing: None, losses, diverged: false })
    }

    /// Multiplies the learning rate by half a cosine that falls from 1 at step `from` to 0 at step `to`.
    pub fn anneal(&mut self, from: u64, to: u64) {
        self.annealing = Some((from, to));
    }

    /// Trains to `steps` steps in all, or until numbers are not finite. After every step it calls `goes_on` with the
    /// number of steps and the last loss, and stops if that returns `false`.
    ///
    /// # Errors
    /// Errors of images and device.
    pub fn train_to(&mut self, steps: u64, goes_on: &mut dyn FnMut(u64, f32) -> bool) -> Result<()> {
        let per_epoch = self.steps_per_epoch();
        let mut is_wanted = true;
        while self.steps() < steps && !self.diverged && is_wanted {
            let epoch = self.steps() / per_epoch;
            let skip = self.steps() % per_epoch;
            let mut batches =
                self.train.epoch(&epoch_plan(&self.data.train, epoch, &self.config.run, skip))?;
            let mut next = batches.next();
            while let Some(batch) = next.take().transpose()? {
                let step = self.next_step();
                let meanwhile = &mut || next = batches.next();
                let stats = self.child.train_on(&self.arc, batch.examples(), &step, meanwhile)?;
                if NonFinite::of_step(&stats).is_some() {
                    self.diverged = true;
                    break;
                }
                if self.config.run.ema_decay > 0.0 {
                    self.child.update_average(refine::decay(self.config.run.ema_decay, step.global_step))?;
                }
                self.losses.push(stats.loss);
                is_wanted = goes_on(self.steps(), stats.loss);
                if self.steps() >= steps || !is_wanted {
                    break;
                }
            }
        }
        Ok(())
    }

    fn next_step(&self) -> Step {
        let steps = self.steps_per_epoch();
        let epochs = self.config.run.epochs;
        let at = SchedulePosition { epoch: self.steps() / steps, epochs, step: self.steps() % steps, steps };
        let lr = annealing::lr(&self.config.schedule, self.config.run.fit_schedule, at) * self.annealed();
        Step { lr, global_step: self.steps(), total_steps: epochs * steps, seed: self.config.run.seed() }
    }

    /// The factor of the cosine decay on the learning rate.
    fn annealed(&self) -> f32 {
        let Some((from, to)) = self.annealing.filter(|(from, _)| self.steps() > *from) else { return 1.0 };
        let done = (self.steps() - from) as f64 / (to - from).max(1) as f64;
        (0.5 + 0.5 * (std::f64::consts::PI * done.min(1.0)).cos()) as f32
    }

    /// Predictions for the images `indices` of a split, in that order.
    ///
    /// EMA weights with re-estimated BN statistics are used if the settings ask for them. Training then continues
    /// unaffected.
    ///
    /// # Errors
    /// Errors of images and device.
    pub fn outcomes(&mut self, split: &Split, indices: &[usize]) -> Result<Vec<ImageOutcome>> {
        let before = self.refinement.is_some().then(|| self.child.state()).transpose()?;
        if let Some(refinement) = &self.refinement {
            refinement.apply(&mut self.child, &self.arc, &self.train)?;
        }
        let answers = self.ask(split, indices);
        if let Some(state) = before {
            self.child.load(&state)?;
        }
        answers
    }

    fn ask(&self, split: &Split, indices: &[usize]) -> Result<Vec<ImageOutcome>> {
        let source = ImageSource::new(split, &self.child)?;
        let mut answers = Vec::with_capacity(indices.len());
        for batch in indices.chunks(even_batch(indices.len(), self.config.run.eval_batch)) {
            let batch = source.gather(batch.to_vec())?;
            let logits = self.child.logits(&self.arc, batch.images(), Norm::RunningStatistics, None)?;
            answers.extend(outcomes_of(&logits, &batch.labels)?);
        }
        Ok(answers)
    }

    /// Number of completed steps.
    pub fn steps(&self) -> u64 {
        self.losses.len() as u64
    }

    /// Number of steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        steps_per_epoch(&self.data.train, &self.config.run)
    }

    /// The training loss of every step so far, in nats.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// Mean training loss of the last two thirds of the steps, in nats: the score of an architecture after a short
    /// training. Infinite for a network that diverged or made no step.
    ///
    /// This is training speed estimation (Ru et al., NeurIPS 2021) without the first steps.
    pub fn late_loss(&self) -> f64 {
        if self.diverged { f64::INFINITY } else { late_loss(&self.losses) }
    }

    /// Whether numbers stopped being finite.
    pub fn has_diverged(&self) -> bool {
        self.diverged
    }

    /// The architecture.
    pub fn arc(&self) -> &Arc {
        &self.arc
    }

    /// The network.
    pub fn child(&self) -> &Child {
        &self.child
    }
}

/// The mean of the last two thirds of the losses; infinite if there are none.
pub(crate) fn late_loss(losses: &[f32]) -> f64 {
    let late = late(losses);
    if late.is_empty() {
        return f64::INFINITY;
    }
    late.iter().map(|&loss| f64::from(loss)).sum::<f64>() / late.len() as f64
}

/// The last two thirds of the losses.
pub(crate) fn late(losses: &[f32]) -> &[f32] {
    &losses[losses.len() / 3..]
}

/// Loss and correctness per image, from logits `[n, classes]` of F32 and labels `[n]` of U32.
///
/// # Errors
/// If the tensors have other shapes or types.
pub(crate) fn outcomes_of(logits: &Tensor, labels: &Tensor) -> Result<Vec<ImageOutcome>> {
    let ((_, classes), labels) = (logits.dims2()?, labels.to_vec1::<u32>()?);
    let answer = |(scores, label): (&[f32], u32)| {
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
        let own = scores[label as usize];
        let first = scores.iter().position(|&score| score == most);
        ImageOutcome { loss: sum.ln() + most - own, is_right: first == Some(label as usize) }
    };
    Ok(read(logits, |logits| logits.chunks_exact(classes.max(1)).zip(labels).map(answer).collect())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use enas_run::config::ConfigBuilder;

    const ARC: &str = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3";

    fn config(assignments: &[&str]) -> TrainConfig {
        let tiny =
            ["child.filters=4", "child.layers=1", "child.nodes=2", "run.batch_size=128", "run.epochs=2"];
        tiny.iter()
            .chain(assignments)
            .fold(ConfigBuilder::preset("quick"), |layers, a| layers.set(*a))
            .load()
            .unwrap()
    }

    fn trial<'a>(config: &'a TrainConfig, data: &'a Dataset) -> Trial<'a> {
        Trial::new(config, &ARC.parse().unwrap(), data, None, None).unwrap()
    }

    #[test]
    fn a_trial_in_parts_is_the_whole_trial_and_answers_change_nothing() {
        let config = config(&["run.ema_decay=0.9", "run.bn_reestimate=2", "child.drop_path_keep=0.8"]);
        let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed())).unwrap();
        let mut whole = trial(&config, &data);
        let mut parts = trial(&config, &data);
        whole.train_to(15, &mut |_, _| true).unwrap();
        for steps in [4, 11, 15] {
            parts.train_to(steps, &mut |_, _| true).unwrap();
            assert_eq!(parts.steps(), steps);
            assert_eq!(parts.outcomes(&data.valid, &[3, 1]).unwrap().len(), 2);
        }
        assert_eq!(parts.losses(), whole.losses());
        let all: Vec<usize> = (0..data.valid.len()).collect();
        assert_eq!(parts.outcomes(&data.valid, &all).unwrap(), whole.outcomes(&data.valid, &all).unwrap());
        assert!(whole.late_loss() < f64::from(whole.losses()[0]), "it learns: {:?}", whole.losses());
    }

    #[test]
    fn a_network_that_diverges_is_the_worst_of_all() {
        let config = config(&["schedule.lr_max=1e30", "child.clip_norm=0"]);
        let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed())).unwrap();
        let mut trial = trial(&config, &data);
        trial.train_to(22, &mut |_, _| true).unwrap();
        assert!(trial.has_diverged() && trial.late_loss() == f64::INFINITY, "{:?}", trial.losses());
    }

    #[test]
    fn the_beginning_of_a_training_does_not_count() {
        assert_eq!(late_loss(&[9.0, 2.0, 1.0]), 1.5);
        assert_eq!(late_loss(&[]), f64::INFINITY);
    }

    #[test]
    fn answers_are_cross_entropies() {
        let logits = Tensor::new(&[[0.0f32, 0.0], [1000.0, 0.0]], &Device::Cpu).unwrap();
        let answers = outcomes_of(&logits, &Tensor::new(&[1u32, 0], &Device::Cpu).unwrap()).unwrap();
        assert!((answers[0].loss - 2f32.ln()).abs() < 1e-6 && !answers[0].is_right);
        assert_eq!(answers[1], ImageOutcome { loss: 0.0, is_right: true });
    }
}
