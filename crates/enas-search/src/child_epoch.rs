//! What a search and the training of one architecture have in common: the epoch that trains a network's weights, and
//! the return to the last epoch after a divergence.

use std::time::Duration;

use enas_arc::Arch;
use enas_child::{Step, StepStats};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::epoch::epoch_plan;
use crate::observer::Position;
use crate::session::Session;
use enas_run::checkpoint::Checkpoint;
use enas_run::config::RunConfig;
use enas_run::directory::run::{SaveReason, State};
use enas_run::divergence::LOWERED;
use enas_run::error::{Error, Result};
use enas_run::loader::ImageSource;
use enas_run::network::Network;
use enas_run::non_finite::{self, NonFinite, explain};

/// The learning-rate factor of runs that have not gone back.
pub(crate) fn full_lr() -> f32 {
    1.0
}

/// The parts of a loop that every training step works with.
pub(crate) struct LoopParts<'l, 'a> {
    /// The network in training.
    pub(crate) child: &'l mut Network,
    /// The images to train on.
    pub(crate) images: &'l ImageSource,
    /// Settings of the run.
    pub(crate) config: &'l RunConfig,
    /// Reports, checkpoints and time limits.
    pub(crate) session: &'l mut Session<'a>,
}

/// A loop that trains the weights of a network: a search, or the training of one architecture.
pub(crate) trait ChildLoop<'a> {
    /// The position that a checkpoint stores.
    type Progress: Serialize + DeserializeOwned;

    /// The architecture of a training step: m ~ π(m; θ) in a search, always the same one in a training.
    fn arc_of_step(&mut self, global_step: u64) -> Arch;
    /// The present step: learning rate and position.
    fn step(&self) -> Step;
    /// The present position, counted for display.
    fn place(&self) -> Position;
    /// Counts a step that has changed the weights.
    fn count(&mut self, step: &Step, stats: &StepStats) -> Result<()>;
    /// Whether the time limit ends this epoch.
    fn is_out_of_time(&self) -> bool;
    /// Called after every step: writes a checkpoint if one is due or the observer asks to stop; see [`Session::tick`].
    fn save_if_due(&mut self) -> Result<()>;

    /// What a training step works with.
    fn parts(&mut self) -> LoopParts<'_, 'a>;

    /// Position and tensors, all of them finite.
    fn state(&self) -> Result<State<Self::Progress>>;
    /// The factor on all learning rates: [`full_lr`], or [`LOWERED`] after the run went back.
    fn lr_factor(&self) -> f32;
    /// Continues from a checkpoint, or from the beginning, with all learning rates multiplied by `lr_factor`.
    fn restart(&mut self, from: Option<Checkpoint<Self::Progress>>, lr_factor: f32) -> Result<()>;
}

/// Trains a network for one epoch, or for the rest of it after a resume. Returns the time spent waiting for batches.
///
/// # Errors
/// - [`Error::Diverged`] if a step's statistics are not finite. That step changed no weights.
/// - [`Error::Interrupted`] if the observer asked to stop.
/// - Errors of images, network and disk.
pub(crate) fn train_child<'a, L: ChildLoop<'a>>(of: &mut L) -> Result<Duration> {
    let place = of.place();
    let LoopParts { images, config, session, .. } = of.parts();
    let plan = epoch_plan(images.split(), place.epoch - 1, config, place.step);
    session.restart_clock();
    let mut batches = images.epoch(&plan)?;
    let mut next = batches.next();
    while let Some(batch) = next.take().transpose()? {
        let step = of.step();
        let arc = of.arc_of_step(step.global_step); // m ~ π(m; θ)
        // Prefetch: the next batch is prepared while a GPU computes this step.
        let prefetch = &mut || next = batches.next();
        let stats = of.parts().child.train_on(&arc, batch.examples(), &step, prefetch)?; // ω moves along -∇_ω L(m; ω)
        if let Some(non_finite) = NonFinite::of_step(&stats) {
            return Err(diverged(of, non_finite, &arc, &step));
        }
        of.count(&step, &stats)?;
        let place = of.place();
        of.parts().session.child_step(place, step.lr, &stats)?;
        of.save_if_due()?;
        if of.is_out_of_time() {
            break;
        }
    }
    Ok(batches.waited())
}

/// Handles the first divergence: restores the end of the last epoch and lowers the learning rates.
///
/// # Errors
/// Every other error, and a second divergence.
pub(crate) fn go_back<'a, L: ChildLoop<'a>>(of: &mut L, error: Error) -> Result<()> {
    let found = non_finite::recoverable(error, of.lr_factor() < full_lr())?;
    let complete = of.place().epoch - 1;
    let checkpoint = of.parts().session.go_back::<L::Progress>(&found, complete)?;
    of.restart(checkpoint, LOWERED)?;
    let state = of.state()?;
    of.parts().session.save(state, SaveReason::Forced)
}

/// The error for a step with a value that is not finite. The step changed no weights.
fn diverged<'a, L: ChildLoop<'a>>(of: &mut L, non_finite: NonFinite, arc: &Arch, step: &Step) -> Error {
    let Position { epoch, step: done, .. } = of.place();
    let LoopParts { child, images, config, .. } = of.parts();
    let plan = epoch_plan(images.split(), epoch - 1, config, done);
    explain(non_finite.at(epoch, done + 1), child, arc, images.split(), &plan, step).into()
}
