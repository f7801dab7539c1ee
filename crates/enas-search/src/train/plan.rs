//! How many epochs a training has, its learning rate, and the time to reserve for its end.

use super::progress::Progress;
use super::state::Training;
use crate::annealing::{self, SchedulePosition};
use crate::observer::Event;

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
        let (patience, epochs) = (self.config.run.patience, self.at.since_best);
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

    /// Seconds to reserve for the work after the last step: measure the network on the validation split, and the kept
    /// model on validation and test split.
    pub(super) fn reserve(&self) -> f64 {
        let images = |split: &enas_data::Split| split.len() as f64;
        let (valid, test) = (images(&self.data.valid), images(&self.data.test));
        match self.measuring {
            // A refit ends with refined weights, which a measurement also starts with.
            Some(seconds) if self.at.measured.is_some() => seconds,
            Some(seconds) => seconds * (2.0 + test / valid.max(1.0)),
            // Before the first measurement: a forward pass is estimated as a third of a training step, with a margin.
            None => {
                let steps = (2.0 * valid + test) / self.config.run.batch_size as f64;
                let spent = self.session.run.seconds() - self.at.epoch_began;
                0.4 * steps * spent / self.at.step.max(1) as f64
            }
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
        tracing::warn!("the time limit ends {part} in epoch {epoch}, step {step}");
    }
}
