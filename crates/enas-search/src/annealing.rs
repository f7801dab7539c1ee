//! The learning rate of a step: the schedule, fitted to the length of the run, and the warm-up.

use enas_child::schedule::{Cosine, Schedule, warmup_factor};

/// A position in a run, and the run's length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchedulePosition {
    /// Epochs completed.
    pub(crate) epoch: u64,
    /// Epochs planned.
    pub(crate) epochs: u64,
    /// Steps completed in this epoch.
    pub(crate) step: u64,
    /// Number of steps in an epoch.
    pub(crate) steps: u64,
}

impl SchedulePosition {
    /// Completed share of the epoch, below 1.
    fn part(&self) -> f64 {
        self.step.min(self.steps.saturating_sub(1)) as f64 / self.steps.max(1) as f64
    }
}

/// The learning rate of the step at a position.
///
/// With `fit`, the last cycle of a cosine schedule (SGDR; Loshchilov and Hutter, 2017) is cut or stretched to end
/// with the run. It is stretched if less than half of another cycle would follow. Otherwise a run of another length
/// than the schedule's would end at a high learning rate.
pub(crate) fn lr(schedule: &Schedule, fit: bool, at: SchedulePosition) -> f32 {
    let SchedulePosition { epoch, epochs, .. } = at;
    let rate = match schedule {
        Schedule::Cosine(cosine) => {
            let part = if cosine.per_step { at.part() as f32 } else { 0.0 };
            let (start, fitted) = match fit {
                true => {
                    let (start, length) = fitted_cycle(cosine, epoch, epochs);
                    (start, Cosine { t_0: length, t_mul: 1, ..*cosine })
                }
                false => (0, *cosine),
            };
            fitted.lr_within(epoch - start, part)
        }
        Schedule::Staircase(stairs) => stairs.lr(epoch),
    };
    rate * warmup_factor(schedule.warmup_epochs(), epoch as f64 + at.part(), epochs)
}

/// The learning rate of a run with a time limit, at a position where `share` of the time is over.
///
/// One cosine cycle spans the whole time, so that the rate reaches its end on any machine. `None` for schedules that
/// do not change per step.
pub(crate) fn lr_by_time(schedule: &Schedule, share: f64, at: SchedulePosition) -> Option<f32> {
    let Schedule::Cosine(cosine @ Cosine { per_step: true, .. }) = schedule else { return None };
    let done = at.epoch as f64 + at.part();
    // If all epochs finish before the time is over, the schedule ends with them.
    let share = share.max(done / at.epochs.max(1) as f64).min(1.0);
    let rate = Cosine { t_0: 1, t_mul: 1, ..*cosine }.lr_within(0, share as f32);
    Some(rate * warmup_factor(schedule.warmup_epochs(), done, at.epochs))
}

/// First epoch and length of the cycle that contains `epoch`.
fn fitted_cycle(cosine: &Cosine, epoch: u64, epochs: u64) -> (u64, u64) {
    let mut start = 0u64;
    let mut length = cosine.t_0;
    loop {
        // Cycle lengths can be large enough to overflow.
        let end = start.saturating_add(length);
        let next = length.saturating_mul(cosine.t_mul);
        // Too few epochs remain for another cycle, so this one takes them.
        if end.saturating_add(next.div_ceil(2)) > epochs {
            return (start, epochs.max(epoch + 1) - start);
        }
        if epoch < end {
            return (start, length);
        }
        (start, length) = (end, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedule of the published search.
    const COSINE: Cosine =
        Cosine { lr_max: 0.05, lr_min: 5e-4, t_0: 10, t_mul: 2, per_step: false, warmup_epochs: 0.0 };

    /// The rate at the beginning of an epoch.
    fn lr(schedule: &Schedule, fit: bool, epoch: u64, epochs: u64) -> f32 {
        super::lr(schedule, fit, SchedulePosition { epoch, epochs, step: 0, steps: 5 })
    }

    fn cycles(epochs: u64) -> Vec<(u64, u64)> {
        let mut all: Vec<_> = (0..epochs).map(|e| fitted_cycle(&COSINE, e, epochs)).collect();
        all.dedup();
        all
    }

    #[test]
    fn a_length_made_for_the_schedule_is_left_alone() {
        assert_eq!(cycles(150), [(0, 10), (10, 20), (30, 40), (70, 80)]);
        let schedule = Schedule::Cosine(COSINE);
        assert!((0..150).all(|e| lr(&schedule, true, e, 150) == lr(&schedule, false, e, 150)));
    }

    #[test]
    fn the_last_cycle_ends_with_the_run() {
        assert_eq!(cycles(7), [(0, 7)]);
        assert_eq!(cycles(14), [(0, 14)], "stretched: 4 epochs are no cycle");
        assert_eq!(cycles(25), [(0, 10), (10, 15)], "cut");
        assert_eq!(cycles(31), [(0, 10), (10, 21)], "stretched");
    }

    #[test]
    fn the_longest_cycles_there_can_be_are_no_trouble() {
        for (t_0, t_mul) in [(u64::MAX, u64::MAX), (u64::MAX / 2, 3), (1, u64::MAX)] {
            let schedule = Schedule::Cosine(Cosine { lr_max: 1.0, lr_min: 0.0, t_0, t_mul, ..COSINE });
            let rates = [0, 1, 5, 9].map(|epoch| lr(&schedule, true, epoch, 10));
            assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "{t_0}, {t_mul}: {rates:?}");
            assert!(lr(&schedule, false, 9, 10) <= 1.0);
        }
    }

    #[test]
    fn a_short_run_anneals_from_the_highest_to_near_the_lowest_rate() {
        let schedule = Schedule::Cosine(Cosine { lr_max: 1.0, lr_min: 0.0, t_0: 600, t_mul: 1, ..COSINE });
        let rates: Vec<f32> = (0..10).map(|e| lr(&schedule, true, e, 10)).collect();
        assert_eq!(rates[0], 1.0);
        assert!(rates[9] < 0.03 && rates.is_sorted_by(|a, b| a > b), "{rates:?}");
    }

    /// The rates of all steps of a run of `epochs` epochs of five steps.
    fn steps(schedule: &Schedule, epochs: u64) -> Vec<f32> {
        let at = |i: u64| SchedulePosition { epoch: i / 5, epochs, step: i % 5, steps: 5 };
        (0..5 * epochs).map(|i| super::lr(schedule, true, at(i))).collect()
    }

    #[test]
    fn a_rate_per_step_falls_with_every_step_to_near_the_lowest() {
        let cosine = Cosine { lr_max: 1.0, lr_min: 0.0, t_0: 600, t_mul: 1, ..COSINE };
        let per_step = steps(&Schedule::Cosine(Cosine { per_step: true, ..cosine }), 2);
        assert_eq!(per_step[0], 1.0);
        assert!(per_step[9] < 0.03 && per_step.is_sorted_by(|a, b| a > b), "{per_step:?}");
        let per_epoch = steps(&Schedule::Cosine(cosine), 2);
        assert_eq!((per_epoch[4], per_epoch[5], per_epoch[9]), (per_epoch[0], per_step[5], per_epoch[5]));
    }

    #[test]
    fn a_warm_up_rises_step_by_step_and_then_leaves_the_schedule_alone() {
        for per_step in [false, true] {
            let plain = Cosine { per_step, ..COSINE };
            let warmed = steps(&Schedule::Cosine(Cosine { warmup_epochs: 1.4, ..plain }), 6);
            let plain = steps(&Schedule::Cosine(plain), 6);
            assert!((warmed[0] - plain[0] / 100.0).abs() < 1e-9 && warmed[..7].is_sorted_by(|a, b| a < b));
            assert_eq!(warmed[7..], plain[7..]);
        }
    }

    #[test]
    fn by_time_the_rate_ends_with_the_time_or_with_the_epochs() {
        let at = |epoch| SchedulePosition { epoch, epochs: 10, step: 0, steps: 5 };
        let of = |share, epoch| {
            let cosine = Cosine { per_step: true, lr_min: 0.0, ..COSINE };
            lr_by_time(&Schedule::Cosine(cosine), share, at(epoch)).unwrap()
        };
        assert_eq!(of(0.0, 0), 0.05);
        assert!((of(0.5, 1) - 0.025).abs() < 1e-6 && of(1.0, 3) < 1e-6);
        assert!((of(0.1, 5) - 0.025).abs() < 1e-6, "half of the epochs are done");
        assert!(lr_by_time(&Schedule::Cosine(COSINE), 0.5, at(0)).is_none(), "a rate for each epoch");
    }
}
