//! The refit, the second part of a training: it continues with the images that the network was measured on.

use std::time::Duration;

use enas_child::schedule::{Cosine, Schedule, Staircase};
use enas_run::config::RefitImages;
use enas_run::error::{Error, Result};
use enas_run::files::atomic;
use enas_run::loader::ImageSource;
use enas_run::model::{self, Measure, Refitted};

use super::measured::{Measured, fitted_images};
use super::state::Training;
use crate::budget::Budget;
use crate::observer::Event;

impl Training<'_> {
    /// The epoch at which the present part ends.
    pub(super) fn end_of_part(&self) -> u64 {
        if self.at.measured.is_some() { self.at.epochs } else { self.at.epochs - self.at.refit_epochs }
    }

    /// Epochs before the present part.
    pub(super) fn epochs_before(&self) -> u64 {
        self.at.measured.map_or(0, |measured| measured.epochs)
    }

    /// The time limit of the present part, and the seconds of it that are spent.
    pub(super) fn clock(&self) -> (Budget, f64) {
        let budget = self.session.budget;
        let seconds = self.session.run.seconds();
        match self.at.measured {
            Some(Measured { seconds: before, .. }) => {
                (budget.less(Duration::from_secs_f64(before.max(0.0))), seconds - before)
            }
            // The first part leaves `refit.share` of the time to the refit.
            None if self.at.refit_epochs > 0 => (budget.part(1.0 - self.config.refit.share), seconds),
            None => (budget, seconds),
        }
    }

    /// The epoch at which the present part will end, as far as the time allows.
    pub(super) fn epochs_in_part(&self) -> u64 {
        let (before, (budget, spent)) = (self.epochs_before(), self.clock());
        let refit = &self.config.refit;
        let wanted = match self.at.measured {
            Some(measured) => refit.epochs_after(measured.epochs).min(self.config.run.epochs - before),
            None => refit.divide(self.config.run.epochs).0,
        };
        let done = self.at.epoch + 1 - before;
        // A rate that follows the clock has reached its end wherever the part ends: the last epoch may be cut short.
        before
            + match self.schedule().is_per_step() {
                true => budget.epochs_and_a_part(wanted, done, spent, self.reserve()),
                false => budget.epochs(wanted, done, spent, self.reserve()),
            }
    }

    /// Epochs of the refit if the first part ends at epoch `end`.
    pub(super) fn epochs_after_part(&self, end: u64) -> u64 {
        let left = self.config.run.epochs.saturating_sub(end);
        if self.at.refit_epochs > 0 { self.config.refit.epochs_after(end).min(left) } else { 0 }
    }

    /// The learning-rate schedule of the present part. The refit scales the largest rate by `refit.lr`.
    pub(super) fn schedule(&self) -> Schedule {
        let factor = self.config.refit.lr;
        match (&self.config.schedule, self.at.measured) {
            (schedule, None) => *schedule,
            (Schedule::Cosine(cosine), Some(_)) => {
                Schedule::Cosine(Cosine { lr_max: cosine.lr_max * factor, ..*cosine })
            }
            (Schedule::Staircase(stairs), Some(_)) => {
                Schedule::Staircase(Staircase { lr: stairs.lr * factor, ..*stairs })
            }
        }
    }

    /// Number of the present step within the whole training, and the total number of steps.
    pub(super) fn global_step(&self) -> (u64, u64) {
        let (before, epochs) = self.at.measured.map_or((0, 0), |m| (m.steps, m.epochs));
        let steps = self.steps();
        (before + (self.at.epoch - epochs) * steps + self.at.step, before + (self.at.epochs - epochs) * steps)
    }

    /// Whether the first part has just ended and a refit follows.
    pub(super) fn is_to_be_refitted(&self) -> bool {
        self.at.refit_epochs > 0 && self.at.measured.is_none() && self.at.epoch >= self.end_of_part()
    }

    /// Measures the kept network, stores it as the measured model, and starts the refit.
    ///
    /// # Errors
    /// Errors of the model file and of the images.
    pub(super) fn turn_to_refit(&mut self) -> Result<()> {
        let path = self.session.run.model_path();
        let (_, tested) =
            model::conclude(&path, self.data, self.child.gpu(), self.eval_batch(), Measure::Both)?;
        let kept = model::Model::load(&path)?;
        let bytes = std::fs::read(&path).map_err(|source| Error::io("cannot read", &path, source))?;
        atomic::write(&self.session.run.measured_path(), &[&bytes])?;
        let steps = self.at.epoch * self.steps();
        self.at.measured = Some(Measured {
            epochs: self.at.epoch,
            steps,
            seconds: self.session.run.seconds(),
            accuracy: kept.accuracy(),
            test_macro_f1: tested.macro_f1(),
            test_balanced: Some(tested.balanced()),
            temperature: kept.calibration(),
        });
        self.at.refit_epochs = 0;
        self.train =
            ImageSource::of(&fitted_images(self.data, self.config.refit.images, true)?, &self.child)?;
        self.session.observer.event(&Event::Refit {
            images: self.train.split().len(),
            epochs: self.at.epochs - self.at.epoch,
        });
        Ok(())
    }

    /// Writes the network at the end of the refit, with the accuracies of the measured one. Until then the measured
    /// network stays in the model file, because a network in the middle of its schedule would be worse.
    pub(super) fn keep_refitted(&self, measured: &Measured) -> Result<()> {
        let mut about = self.about(measured.accuracy.valid);
        // The measured network was trained for a shorter time. If its answers were too timid, those of this one need
        // not be.
        about.temperature = measured.temperature.map(|temperature| temperature.max(1.0));
        about.accuracy.test =
            (self.config.refit.images == RefitImages::All).then_some(measured.accuracy.test).flatten();
        about.refit = Some(Refitted { images: self.config.refit.images, fitted: self.train.split().len() });
        model::save(&self.session.run.model_path(), &self.child, &about)
    }
}
