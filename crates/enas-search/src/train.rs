//! The training of one architecture from scratch, and the model file it produces.

mod measure;
mod measured;
mod outcome;
mod plan;
mod progress;
mod refit;
mod state;

use std::time::Instant;

use enas_arc::{Arc, Arch};
use enas_data::Dataset;

pub use self::outcome::{Ended, Refit, TrainOutcome};
use self::state::Training;
use crate::child_epoch::{go_back, train_child};
use crate::observer::Observer;
use crate::session::Session;
use enas_run::config::TrainConfig;
use enas_run::directory::run::{Run, SaveReason, State};
use enas_run::error::Result;
use enas_run::non_finite::finite;

/// Trains a network with weights of its own for `arc` and writes `model.safetensors`.
///
/// The model file exists from the end of the first epoch on; an interruption before that writes the network of that
/// moment. Resumes from the newest checkpoint if `run` has one. Load `data` with `config.run.seed()`, or by
/// [`Run::load_data`].
///
/// # Errors
/// - [`Error::Interrupted`](enas_run::Error::Interrupted) if the observer asked to stop. A checkpoint was written.
/// - [`Error::Diverged`](enas_run::Error::Diverged) if numbers stopped being finite although the run had gone back
///   once.
/// - Errors of data, network and disk.
pub fn train(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome> {
    let outcome = train_any(config, &Arch::from(arc), data, run, observer)?;
    Ok(outcome.map(|_| arc.clone()))
}

/// [`train`] for an architecture of either space.
///
/// # Errors
/// As [`train`], and [`Error::CellsOnly`](enas_run::Error::CellsOnly) if the settings or the run ask for what the macro
/// space does not support.
pub fn train_any(
    config: &TrainConfig,
    arch: &Arch,
    data: &Dataset,
    run: &mut Run,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome<Arch>> {
    let mut training =
        Training::start_or_resume(config, arch, data, Session::new(&config.run, run, observer))?;
    while training.at.epoch < training.at.epochs {
        training.epoch().or_else(|error| go_back(&mut training, error))?;
    }
    training.finish()
}

impl Training<'_> {
    /// One epoch over the training split, or the rest of it after a resume; then measure, log and save.
    fn epoch(&mut self) -> Result<()> {
        match train_child(self) {
            Ok(waited) => self.waited = waited,
            Err(stopped) => return self.leave_a_model(stopped),
        }
        self.end_epoch()
    }

    /// Ends an epoch: measures the network, keeps the model if it is to be kept, reports, plans the rest and saves.
    fn end_epoch(&mut self) -> Result<()> {
        // Checked first, so that weights that are not finite are neither kept nor reported.
        let tensors = finite(self.child.state()?, self.at.epoch + 1, self.at.step)?;
        // During a refit there is nothing to measure on: the validation images are training images.
        match self.at.measured {
            None => {
                let began = Instant::now();
                self.refined(&tensors, Self::measure)?;
                self.measuring = Some(began.elapsed().as_secs_f64());
            }
            Some(_) => self.report(None, None)?,
        }
        self.plan_the_rest();
        let is_over = self.at.epoch >= self.at.epochs;
        // The end of a refit: its network replaces the measured one in the model file.
        if let Some(measured) = self.at.measured.filter(|_| is_over) {
            self.refined(&tensors, |training| training.keep_refitted(&measured))?;
        }
        let turns = self.is_to_be_refitted();
        if turns {
            self.turn_to_refit()?;
        }
        let moment = if is_over || turns { SaveReason::Forced } else { SaveReason::EndOfEpoch };
        self.session.save(State { progress: self.at.clone(), tensors }, moment)
    }
}
