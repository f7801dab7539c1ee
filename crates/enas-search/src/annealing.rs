//! A schedule that ends with the run, whatever its length became.

use enas_child::schedule::{Cosine, Schedule};

/// The learning rate of `epoch` (from 0) in a run of `epochs`.
///
/// With `fit`, the last cycle of a cosine schedule is cut, or stretched if less than half of another one would
/// follow it, to end with the run: otherwise a run of another length than the schedule was made for would end at
/// a high learning rate, with accuracies to match.
pub(crate) fn lr(schedule: &Schedule, fit: bool, epoch: u64, epochs: u64) -> f32 {
    match schedule {
        Schedule::Cosine(cosine) if fit => {
            let (start, length) = fitted_cycle(cosine, epoch, epochs);
            Cosine { t_0: length, t_mul: 1, ..*cosine }.lr(epoch - start)
        }
        _ => schedule.lr(epoch),
    }
}

/// First epoch and length of the cycle that `epoch` lies in.
fn fitted_cycle(cosine: &Cosine, epoch: u64, epochs: u64) -> (u64, u64) {
    let (mut start, mut length) = (0u64, cosine.t_0);
    loop {
        // Cycles may be as long as numbers can say.
        let end = start.saturating_add(length);
        let next = length.saturating_mul(cosine.t_mul);
        // What would remain for the next cycle is too little to be worth a restart.
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

    fn cycles(epochs: u64) -> Vec<(u64, u64)> {
        let cosine = Cosine { lr_max: 0.05, lr_min: 5e-4, t_0: 10, t_mul: 2 };
        let mut all: Vec<_> = (0..epochs).map(|e| fitted_cycle(&cosine, e, epochs)).collect();
        all.dedup();
        all
    }

    #[test]
    fn a_length_made_for_the_schedule_is_left_alone() {
        assert_eq!(cycles(150), [(0, 10), (10, 20), (30, 40), (70, 80)]);
        let cosine = Cosine { lr_max: 0.05, lr_min: 5e-4, t_0: 10, t_mul: 2 };
        let schedule = Schedule::Cosine(cosine);
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
            let schedule = Schedule::Cosine(Cosine { lr_max: 1.0, lr_min: 0.0, t_0, t_mul });
            let rates = [0, 1, 5, 9].map(|epoch| lr(&schedule, true, epoch, 10));
            assert!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "{t_0}, {t_mul}: {rates:?}");
            assert!(lr(&schedule, false, 9, 10) <= 1.0);
        }
    }

    #[test]
    fn a_short_run_anneals_from_the_highest_to_near_the_lowest_rate() {
        let schedule = Schedule::Cosine(Cosine { lr_max: 1.0, lr_min: 0.0, t_0: 600, t_mul: 1 });
        let rates: Vec<f32> = (0..10).map(|e| lr(&schedule, true, e, 10)).collect();
        assert_eq!(rates[0], 1.0);
        assert!(rates[9] < 0.03 && rates.is_sorted_by(|a, b| a > b), "{rates:?}");
    }
}
