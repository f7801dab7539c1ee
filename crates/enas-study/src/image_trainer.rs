//! The trainer of an image study: trains in this process and searches in run directories.

use std::path::Path;

use enas_arc::Arc;
use enas_child::{Child, InputShape};
use enas_data::{Dataset, Seed, Split};
use enas_kernels::gpu::Gpu;
use enas_search::{ImageOutcome, MemoryPlan, Observer, Result, Run, SearchOutcome, Trial, search};

use crate::arcs::Size;
use crate::config::StudyConfig;
use crate::record::Measurements;
use crate::trainer::{SearchResult, Trainer};

/// The file that marks the directory of a run.
const MANIFEST: &str = "manifest.json";

/// Trains architectures on images and searches for architectures.
#[derive(Debug)]
pub struct ImageTrainer {
    config: StudyConfig,
    /// The images with the augmentation of searches.
    data: Dataset,
    /// The images with the augmentation of trainings.
    plain: Dataset,
    /// Indices of the validation images for choosing, and of those for reporting.
    halves: (Vec<usize>, Vec<usize>),
    memory: MemoryPlan,
    gpu: Option<Gpu>,
}

impl ImageTrainer {
    /// Loads the images of a study, in the splits that its seed and its numbers of images determine. Computes on
    /// `gpu` if given, otherwise on the CPU.
    ///
    /// # Errors
    /// Errors of loading, and [`enas_search::Error::Config`] if more memory is needed than allowed.
    pub fn load(config: &StudyConfig, gpu: Option<Gpu>) -> Result<Self> {
        config.check()?;
        config.search.run.check_device(gpu.as_ref())?;
        let memory = MemoryPlan::for_both(&config.search, &config.train, gpu.is_some())?;
        let seed = Seed::new(config.seed);
        let mut data = memory.load(&config.search.data, seed, None)?;
        if config.train_images.is_some() || config.valid_images.is_some() {
            let split = data.reduced(config.train_images, config.valid_images, seed)?;
            data = memory.load(&config.search.data, seed, Some(&split))?;
        }
        let plain = match data.with_augmentation(&config.train.data) {
            Some(plain) => plain,
            None => memory.load(&config.train.data, seed, Some(&data.split_file()))?,
        };
        let halves = data.valid.halves(seed);
        Ok(Self { config: config.clone(), data, plain, halves, memory, gpu })
    }

    /// The images, with the augmentation of searches.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// The same images in the order of another seed.
    fn reseeded(&self, data: &Dataset, config: &enas_data::Config, seed: u64) -> Result<Dataset> {
        let seed = Seed::new(seed);
        match data.reseeded(seed) {
            Some(data) => Ok(data),
            None => self.memory.load(config, seed, Some(&data.split_file())),
        }
    }

    /// Accuracy (0 to 1) and mean loss in nats on the given images of a split.
    fn measure(trial: &mut Trial<'_>, split: &Split, images: &[usize]) -> Result<(f64, f64)> {
        let answers = trial.outcomes(split, images)?;
        let mean = |value: fn(&ImageOutcome) -> f64| {
            answers.iter().map(value).sum::<f64>() / answers.len().max(1) as f64
        };
        Ok((
            mean(|answer| f64::from(u8::from(answer.is_right))),
            finite(mean(|answer| f64::from(answer.loss))),
        ))
    }

    /// All measurements of a finished training; `of_epochs` are accuracy and loss on the choosing half after each
    /// epoch.
    fn measured(
        &self,
        trial: &mut Trial<'_>,
        data: &Dataset,
        of_epochs: &[(f64, f64)],
    ) -> Result<Measurements> {
        let steps = trial.steps_per_epoch() as usize;
        let (epochs, skipped) = self.config.early();
        let losses: Vec<f64> = trial.losses().chunks(steps).map(mean).collect();
        let early = trial.losses().get(skipped * steps..epochs * steps).map_or(f64::MAX, mean);
        let Size { params, macs } = size(trial.child(), trial.arc())?;
        let late_loss = finite(trial.late_loss());
        let report = &self.halves.1;
        let all: Vec<usize> = (0..data.test.len()).collect();
        let (choose_accuracies, choose_losses): (Vec<f64>, Vec<f64>) = of_epochs.iter().copied().unzip();
        let choose_accuracy = choose_accuracies.last().copied().unwrap_or_default();
        let (report_accuracy, _) = Self::measure(trial, &data.valid, report)?;
        let (test_accuracy, test_loss) = Self::measure(trial, &data.test, &all)?;
        Ok(Measurements {
            params,
            macs,
            losses,
            choose_losses,
            choose_accuracies,
            early_loss: finite(early),
            late_loss,
            choose_accuracy,
            report_accuracy,
            test_accuracy,
            test_loss,
        })
    }
}

impl Trainer for ImageTrainer {
    fn size(&self, arc: &Arc) -> Result<Size> {
        let Dataset { channels, height, width, .. } = self.plain;
        let input = InputShape { channels, height, width };
        let child =
            Child::fixed(&self.config.train.child, arc, input, self.plain.classes.len(), Seed::new(0))?;
        size(&child, arc)
    }

    fn train(
        &mut self,
        arc: &Arc,
        seed: u64,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Measurements>> {
        let mut config = self.config.train.clone();
        config.run.seed = seed;
        let data = self.reseeded(&self.plain, &config.data, seed)?;
        let mut trial = Trial::new(&config, arc, &data, self.gpu.as_ref(), Some(&self.memory))?;
        let steps = config.run.epochs * trial.steps_per_epoch();
        let mut of_epochs = Vec::new();
        let mut is_wanted = true;
        for epoch in 1..=config.run.epochs {
            trial.train_to(epoch * trial.steps_per_epoch(), &mut |done, _| {
                is_wanted = goes_on(done as f64 / steps as f64);
                is_wanted
            })?;
            if !is_wanted {
                return Ok(None);
            }
            of_epochs.push(Self::measure(&mut trial, &data.valid, &self.halves.0)?);
        }
        self.measured(&mut trial, &data, &of_epochs).map(Some)
    }

    fn search(&mut self, seed: u64, dir: &Path, observer: &mut dyn Observer) -> Result<SearchResult> {
        let mut config = self.config.search.clone();
        config.run.seed = seed;
        let data = self.reseeded(&self.data, &config.data, seed)?;
        let mut run = if dir.join(MANIFEST).exists() {
            Run::resume(dir)?
        } else {
            Run::for_search(Some(dir), &config, &data)?
        };
        run.accepts(&config)?;
        if let Some(gpu) = &self.gpu {
            run.use_gpu(gpu.clone())?;
        }
        run.set_memory(self.memory.clone())?;
        let SearchOutcome { arc, valid_accuracy, random_valid_accuracy, seconds, finals, .. } =
            search(&config, &data, &mut run, observer)?;
        let small = finals.map(|finals| finals.picks.small);
        Ok(SearchResult { arc, small, valid_accuracy, random_valid_accuracy, seconds })
    }
}

fn size(child: &Child, arc: &Arc) -> Result<Size> {
    Ok(Size { params: child.n_params(), macs: child.macs(arc)? })
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len().max(1) as f64
}

/// A number that JSON can represent: a loss that is not finite becomes the largest finite number.
fn finite(loss: f64) -> f64 {
    if loss.is_finite() { loss } else { f64::MAX }
}
