//! What both loops do around their steps: reporting, checkpoints, stopping and time limits.

use std::path::Path;
use std::time::Instant;

use enas_child::StepStats;
use enas_run::checkpoint::Checkpoint;
use enas_run::config::{MOST, RunConfig};
use enas_run::directory::run::{Run, SaveReason, State};
use enas_run::divergence::{Divergence, LOWERED};
use enas_run::error::{Error, Result};
use enas_run::log::tensorboard::EventsOffset;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::observer::{EpochSummary, Event, Observer, Position};

/// A run while a loop works on it.
pub(crate) struct Session<'a> {
    pub(crate) run: &'a mut Run,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) budget: Budget,
    log_every: u64,
    /// The end of the previous step.
    step_began: Instant,
}

impl<'a> Session<'a> {
    pub(crate) fn new(config: &RunConfig, run: &'a mut Run, observer: &'a mut dyn Observer) -> Self {
        run.checkpoint_every(config.checkpoint_seconds);
        if let Some(plan) = run.memory() {
            observer.event(&Event::Memory(plan));
        }
        let budget = Budget::new(config.time).less(run.before());
        let log_every = config.log_every;
        Self { run, observer, budget, log_every, step_began: Instant::now() }
    }

    /// Restarts the measurement of a step, after other work.
    pub(crate) fn restart_clock(&mut self) {
        self.step_began = Instant::now();
    }

    /// Reports a step of the child. Its numbers must be finite.
    pub(crate) fn child_step(&mut self, place: Position, lr: f32, stats: &StepStats) -> Result<()> {
        #[derive(Serialize)]
        struct Line {
            epoch: u64,
            step: u64,
            loss: f32,
            aux_loss: f32,
            accuracy: f32,
            lr: f32,
            grad_norm: f32,
            images_per_second: f64,
        }
        let Position { epoch, step, .. } = place;
        let accuracy = stats.correct as f32 / stats.n as f32;
        let images_per_second = stats.n as f64 / self.step_began.elapsed().as_secs_f64().max(1e-9);
        self.restart_clock();
        let StepStats { loss, aux_loss, grad_norm, .. } = *stats;
        if step.is_multiple_of(self.log_every) {
            let line = Line { epoch, step, loss, aux_loss, accuracy, lr, grad_norm, images_per_second };
            self.run.log("step", place.overall(), &line)?;
        }
        self.observer.event(&Event::Step { place, loss, accuracy, lr, images_per_second });
        Ok(())
    }

    /// Reports a complete epoch.
    pub(crate) fn epoch(&mut self, summary: &EpochSummary) -> Result<()> {
        self.run.log("epoch", summary.epoch, summary)?;
        self.observer.event(&Event::Epoch(summary));
        Ok(())
    }

    /// Reports a new number of epochs, if it differs by more than 10 %.
    pub(crate) fn replan(&mut self, before: u64, epochs: u64) {
        if 10 * epochs.abs_diff(before) > before {
            self.observer.event(&Event::Replanned { epochs });
        }
    }

    /// Writes a checkpoint, or holds it in memory; see [`Run::save`].
    pub(crate) fn save<P: Serialize + DeserializeOwned>(
        &mut self,
        state: State<P>,
        reason: SaveReason,
    ) -> Result<()> {
        self.save_since(state, reason, Instant::now())
    }

    fn save_since<P: Serialize + DeserializeOwned>(
        &mut self,
        state: State<P>,
        reason: SaveReason,
        began: Instant,
    ) -> Result<()> {
        if let Some(path) = self.run.save(state, reason, began)? {
            self.observer.event(&Event::Saved { path: &path });
        }
        Ok(())
    }

    /// Reports a divergence and finds the state to continue from, after at most `complete` epochs; `None` for the
    /// start of the run. `metrics.jsonl` keeps everything; the TensorBoard log loses the events after that state.
    pub(crate) fn go_back<P: Serialize + DeserializeOwned>(
        &mut self,
        found: &Divergence,
        complete: u64,
    ) -> Result<Option<Checkpoint<P>>> {
        #[derive(Serialize)]
        struct Line<'a> {
            epoch: u64,
            step: u64,
            what: &'a str,
            layer: Option<&'a str>,
            #[serde(rename = "pictures")]
            images: &'a [String],
            lr_factor: f32,
        }
        tracing::warn!(
            "{found}; going back to the beginning of the epoch with {LOWERED} times the learning rate"
        );
        let checkpoint = self.run.end_of_last_epoch(complete)?;
        self.run.forget_events(checkpoint.as_ref().map_or(Some(EventsOffset::START), |c| c.events))?;
        let Divergence { what, epoch, step, layer, images, .. } = found;
        let line =
            Line { epoch: *epoch, step: *step, what, layer: layer.as_deref(), images, lr_factor: LOWERED };
        self.run.log("rollback", *epoch, &line)?;
        self.observer.event(&Event::WentBack { divergence: found, epoch: complete });
        Ok(checkpoint)
    }

    /// Called after every step. Writes a checkpoint if one is due or the observer asks to stop; stopping ends the
    /// run.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after the observer asked to stop; errors of `state`.
    pub(crate) fn tick<P: Serialize + DeserializeOwned>(
        &mut self,
        state: impl FnOnce() -> Result<State<P>>,
    ) -> Result<()> {
        let stop = self.observer.should_stop();
        if stop || self.run.checkpoint_is_due() {
            let began = Instant::now();
            self.save_since(state()?, SaveReason::WithinEpoch, began)?;
            self.restart_clock();
        }
        if stop { Err(Error::Interrupted { run: self.run.dir().to_owned() }) } else { Ok(()) }
    }
}

/// Refuses a position that no run in `dir` can have reached. Continuing from it could overflow.
pub(crate) fn check_position(dir: &Path, epoch: u64, epochs: u64, step: u64) -> Result<()> {
    if epoch <= epochs && epochs <= MOST && step <= MOST {
        return Ok(());
    }
    let problem = format!(
        "the newest checkpoint is from epoch {epoch} of {epochs}, step {step}, which is impossible; remove the \
         checkpoint"
    );
    Err(Error::RunDirectory { path: dir.to_owned(), problem })
}

/// Sums over the child's steps in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunningMean {
    steps: u64,
    loss: f64,
    correct: u64,
    #[serde(rename = "pictures")]
    images: u64,
}

impl RunningMean {
    pub(crate) fn add(&mut self, stats: &StepStats) {
        self.steps += 1;
        self.loss += f64::from(stats.loss);
        self.correct += stats.correct as u64;
        self.images += stats.n as u64;
    }

    /// Mean loss per step, in nats.
    pub(crate) fn loss(&self) -> f64 {
        mean(self.loss, self.steps)
    }

    /// Share of the images classified correctly, 0 to 1.
    pub(crate) fn accuracy(&self) -> f64 {
        mean(self.correct as f64, self.images)
    }
}

/// A mean; 0 if `n` is 0.
pub(crate) fn mean(sum: f64, n: u64) -> f64 {
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_no_run_can_come_to_are_refused() {
        let check = |epoch, epochs, step| check_position(Path::new("r"), epoch, epochs, step);
        check(0, 1, 0).unwrap();
        check(MOST, MOST, MOST).unwrap();
        for (epoch, epochs, step) in [(2, 1, 0), (0, u64::MAX, 0), (u64::MAX, u64::MAX, 0), (0, 1, u64::MAX)]
        {
            let error = check(epoch, epochs, step).unwrap_err().to_string();
            assert!(error.starts_with("r: ") && error.contains("remove the checkpoint"), "{error}");
        }
    }
}
