//! The estimate of the time left.

use std::time::Instant;

use enas_search::{EpochSummary, Position};

use crate::output::duration;

/// Estimates the remaining time of a run, for display only.
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub(super) first_step: Option<Instant>,
    pub(super) steps: u32,
    pub(super) epoch_seconds: Option<f64>,
    /// The end of the time limit.
    pub(super) end: Option<Instant>,
}

impl Clock {
    pub(super) fn step(&mut self) {
        self.first_step.get_or_insert_with(Instant::now);
        self.steps += 1;
    }

    pub(super) fn epoch_done(&mut self, summary: &EpochSummary) {
        self.epoch_seconds = Some(summary.seconds);
    }

    /// The estimate from the duration of the last epoch, or from the steps so far if there is none.
    pub(super) fn eta(&self, place: &Position) -> String {
        let left = place.epochs.saturating_sub(place.epoch) as f64;
        let in_epoch = 1.0 - place.step as f64 / place.steps.max(1) as f64;
        let epoch_seconds = self.epoch_seconds.or_else(|| {
            let measured = self.steps.checked_sub(1).filter(|n| *n > 0)?;
            Some(self.first_step?.elapsed().as_secs_f64() / f64::from(measured) * place.steps as f64)
        });
        epoch_seconds.map_or(String::new(), |s| self.within_limit((left + in_epoch) * s))
    }

    pub(super) fn eta_after_epoch(&self, epoch: u64, epochs: u64) -> String {
        match self.epoch_seconds {
            Some(seconds) if epoch < epochs => self.within_limit((epochs - epoch) as f64 * seconds),
            _ => String::new(),
        }
    }

    pub(super) fn within_limit(&self, seconds: f64) -> String {
        let limit = self.end.map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64());
        format!("  eta {}", duration(limit.map_or(seconds, |limit| limit.min(seconds))))
    }
}
