//! How many epochs a training has, its learning rate, and the time to reserve for its end.

use super::progress::Progress;
use super::state::Training;
use crate::annealing::{self, SchedulePosition};
use crate::observer::Event;
use crate::refine::Refinement;
use enas_run::config::RefitImages;
use enas_run::directory::run::FollowUpWork;

/// The step of the first epoch after which a time limit is compared with the measured speed.
const TIMED: u64 = 3;

impl Training<'_> {
    /// Advances to the next epoch and plans how many there will be.
    pub(super) fn plan_the_rest(&mut self) {
        let done = self.at.epoch + 1;
        let seconds = self.session.run.seconds();
        let planned = self.epochs_in_part();
        self.session.replan(self.at.epochs, planned + self.epochs_after_part(planned));
        let planned = if self.is_out_of_patience() { done } else { planned };
        self.at.refit_epochs = self.epochs_after_part(planned);
        self.at.next_epoch(planned + self.at.refit_epochs, seconds);
    }

    /// Early stopping: whether `run.patience` epochs passed without a better one. Reports it if that ends the
    /// training.
    fn is_out_of_patience(&mut self) -> bool {
        let patience = self.config.run.patience;
        let epochs = self.at.since_best;
        let is_over = self.at.measured.is_none()
            && patience > 0
            && epochs >= patience
            && self.at.epoch + 1 < self.end_of_part();
        if is_over {
            self.session.observer.event(&Event::RanOutOfPatience { epochs });
        }
        is_over
    }

    /// The learning rate at step `step` of this epoch.
    pub(super) fn lr(&self, step: u64) -> f32 {
        let before = self.epochs_before();
        let epoch = self.at.epoch - before;
        let epochs = self.end_of_part() - before;
        let at = SchedulePosition { epoch, epochs, step, steps: self.steps() };
        let (schedule, (budget, spent)) = (self.schedule(), self.clock());
        let share = budget.share(spent, self.reserve());
        let by_time = share.and_then(|share| annealing::lr_by_time(&schedule, share, at));
        let fit = self.config.run.fit_schedule;
        self.at.lr_factor * by_time.unwrap_or_else(|| annealing::lr(&schedule, fit, at))
    }

    /// Seconds to reserve for the work after the last step of the present part: the measurement of the network, and
    /// what follows the run.
    pub(super) fn reserve(&self) -> f64 {
        let valid = self.data.valid.len();
        let test = self.data.test.len();
        let predicted = match (&self.at.measured, self.config.refit.images) {
            // The first part ends with the network on the validation split and the kept model on both splits.
            (None, _) => 2 * valid + test,
            (Some(_), RefitImages::Validation) => test,
            (Some(_), _) => 0,
        };
        // The first part of two is not followed by the end of the run.
        let is_last = self.at.measured.is_some() || self.at.refit_epochs == 0;
        let follow_up = if is_last { self.session.run.follow_up() } else { FollowUpWork::default() };
        let images = self.refined_images() + predicted + follow_up.images;
        follow_up.seconds + images as f64 * self.seconds_per_image()
    }

    /// Images that re-estimate the BN statistics before a measurement.
    fn refined_images(&self) -> usize {
        self.refinement.as_ref().map_or(0, Refinement::images)
    }

    /// Seconds of a forward pass per image.
    fn seconds_per_image(&self) -> f64 {
        match self.measuring {
            Some(seconds) => seconds / (self.refined_images() + self.data.valid.len()).max(1) as f64,
            None if self.at.step == 0 => 0.0,
            // Before the first measurement: a forward pass is estimated as a third of a training step, with a margin.
            None => 0.4 * self.step_seconds() / self.config.run.batch_size as f64,
        }
    }

    /// Mean seconds of this epoch's steps so far, without the first one, which includes one-time costs.
    pub(super) fn step_seconds(&self) -> f64 {
        let seconds = self.session.run.seconds();
        match self.first_step_ended {
            Some(ended) if self.at.step > 1 => (seconds - ended) / (self.at.step - 1) as f64,
            _ => (seconds - self.at.epoch_began) / self.at.step.max(1) as f64,
        }
    }

    /// Says once that the time limit is too short for one epoch, and which limit would do: after [`TIMED`] steps, or
    /// when it ends the training before.
    pub(super) fn report_short_limit(&self, is_over: bool) {
        let before = self.session.run.before();
        let Progress { epoch, step, .. } = self.at;
        let is_known = step == TIMED || is_over && step < TIMED;
        let Some(limit) = self.session.budget.limit() else { return };
        // Without time before the run, the limit is not the user's, but that of a phase.
        if !is_known || epoch > 0 || before.is_zero() {
            return;
        }
        let steps = self.steps().saturating_sub(step);
        let needed = self.session.run.seconds() + steps as f64 * self.step_seconds() + self.reserve();
        if needed > limit {
            let enough = (before.as_secs_f64() + needed).ceil();
            tracing::warn!(
                "the time limit is too short for one epoch of this training, which takes about {enough} s in all; the model \
                 will have learned from a part of the images"
            );
        }
    }

    /// Says that the time limit ends an epoch early.
    pub(super) fn report_time_limit(&self) {
        let Progress { epoch: complete, step, .. } = self.at;
        let epoch = complete + 1;
        if self.at.measured.is_some() {
            // Refits are planned to end like this.
            tracing::info!("the time limit ends the refit in epoch {epoch}, step {step}");
            return;
        }
        let part = if self.at.refit_epochs > 0 { "this part of the training" } else { "the training" };
        if complete > 0 && self.schedule().is_per_step() {
            // A rate that follows the clock has reached its end: the epoch was planned to end like this.
            tracing::info!("the time limit ends {part} in epoch {epoch}, step {step}");
            return;
        }
        tracing::warn!("the time limit ends {part} in epoch {epoch}, step {step}");
    }
}
