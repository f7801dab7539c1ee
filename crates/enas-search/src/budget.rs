//! A wall-time limit, and the work that still fits into it.

use std::time::Duration;

use enas_run::config::TimeLimit;

/// The time limit of a run in seconds, over all its sessions; `None` for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    limit: Option<f64>,
}

impl Budget {
    pub(crate) fn new(limit: TimeLimit) -> Self {
        Self { limit: limit.0.map(|d| d.as_secs_f64()) }
    }

    /// The limit in seconds.
    pub(crate) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// The limit reduced by `before`, which is spent already.
    pub(crate) fn less(self, before: Duration) -> Self {
        Self { limit: self.limit.map(|limit| (limit - before.as_secs_f64()).max(0.0)) }
    }

    /// A share of the limit.
    pub(crate) fn part(self, share: f64) -> Self {
        Self { limit: self.limit.map(|limit| limit * share) }
    }

    /// Whether `seconds` of work no longer fit in after `spent` seconds.
    pub(crate) fn lacks(&self, seconds: f64, spent: f64) -> bool {
        self.limit.is_some_and(|limit| spent + seconds > limit)
    }

    /// The share of the usable time that is over after `spent` seconds; `reserve` seconds at the end are not usable.
    pub(crate) fn share(&self, spent: f64, reserve: f64) -> Option<f64> {
        self.limit.map(|limit| (spent / (limit - reserve).max(1e-3)).clamp(0.0, 1.0))
    }

    /// Seconds until the limit after `spent` seconds.
    pub(crate) fn left(&self, spent: f64) -> Option<f64> {
        self.limit.map(|limit| (limit - spent).max(0.0))
    }

    /// The number of epochs that fit in. The run has completed `done` (at least one) in `spent` seconds, wants
    /// `wanted` in all, and needs `reserve` seconds after them.
    pub(crate) fn epochs(&self, wanted: u64, done: u64, spent: f64, reserve: f64) -> u64 {
        let Some(limit) = self.limit else { return wanted };
        let per_epoch = spent / done as f64;
        let more = ((limit - spent - reserve) / per_epoch).max(0.0) as u64;
        wanted.min(done.saturating_add(more))
    }

    /// As [`epochs`](Self::epochs), and one more that the limit cuts short, unless less than a fifth of it fits in.
    pub(crate) fn epochs_and_a_part(&self, wanted: u64, done: u64, spent: f64, reserve: f64) -> u64 {
        let per_epoch = spent / done as f64;
        // Moves the limit by four fifths of an epoch, so that a fifth that fits counts as a whole one.
        let limit = self.limit.map(|limit| limit + 0.8 * per_epoch);
        Self { limit }.epochs(wanted, done, spent, reserve)
    }

    /// Limits a reserve to 30 % of the time: a search that spends its time on the selection does not learn.
    pub(crate) fn reserve(&self, seconds: f64) -> f64 {
        self.limit.map_or(0.0, |limit| seconds.min(0.3 * limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(m: u64) -> Budget {
        Budget::new(format!("{m}m").parse().unwrap())
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let none = Budget::new(TimeLimit(None));
        assert!(!none.lacks(1e9, 1e9));
        assert_eq!((none.epochs(7, 1, 1e9, 1e9), none.reserve(5.0)), (7, 0.0));
    }

    #[test]
    fn what_is_over_before_the_run_is_not_left_to_it() {
        let budget = minutes(10).less(Duration::from_secs(60));
        assert!(budget.lacks(1.0, 540.0) && !budget.lacks(1.0, 538.0));
        assert!(minutes(1).less(Duration::from_secs(61)).lacks(0.1, 0.0));
    }

    #[test]
    fn epochs_are_what_fits_beside_the_reserve() {
        // 600 s in all, 100 s per epoch, 60 s reserved: 1 done, 4 more in the 440 s that are left.
        assert_eq!(minutes(10).epochs(100, 1, 100.0, 60.0), 5);
        assert_eq!(minutes(10).epochs(3, 1, 100.0, 60.0), 3);
        assert_eq!(minutes(10).epochs(100, 1, 700.0, 60.0), 1);
    }

    #[test]
    fn a_part_of_an_epoch_is_begun_if_it_is_worth_it() {
        // 440 s are left for epochs of 100 s.
        assert_eq!(minutes(10).epochs_and_a_part(100, 1, 100.0, 60.0), 6);
        assert_eq!(minutes(10).epochs_and_a_part(3, 1, 100.0, 60.0), 3);
        // 410 s are left: a tenth of an epoch more is not worth it.
        assert_eq!(minutes(10).epochs_and_a_part(100, 1, 100.0, 90.0), 5);
        assert_eq!(minutes(10).epochs_and_a_part(100, 1, 700.0, 60.0), 1);
        assert_eq!(Budget::new(TimeLimit(None)).epochs_and_a_part(7, 1, 1e9, 1e9), 7);
    }

    #[test]
    fn the_share_of_the_time_leaves_out_what_is_kept_for_the_end() {
        assert_eq!(minutes(1).share(25.0, 10.0), Some(0.5));
        assert_eq!(
            (minutes(1).share(55.0, 10.0), Budget::new(TimeLimit(None)).share(5.0, 0.0)),
            (Some(1.0), None)
        );
    }

    #[test]
    fn the_reserve_leaves_time_for_training() {
        assert_eq!(minutes(10).reserve(100.0), 100.0);
        assert_eq!(minutes(10).reserve(1e6), 180.0);
    }

    #[test]
    fn work_that_ends_after_the_limit_does_not_fit() {
        assert!(!minutes(1).lacks(10.0, 50.0));
        assert!(minutes(1).lacks(10.1, 50.0));
    }
}
