//! The time limit of a session, and whether more work fits into it.

use std::time::{Duration, Instant};

/// Time kept for the summary, as a share of the limit.
const RESERVE_SHARE: f64 = 0.02;
/// Its maximum in seconds.
const MAX_RESERVE: f64 = 3.0;
/// Below this share of a training its duration cannot be predicted yet.
const TOO_EARLY: f64 = 0.03;
/// Total time of a training divided by the time of its steps: measurements follow at the end.
const MEASURING: f64 = 1.15;

/// The time of one session.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    limit: Option<Duration>,
}

impl Clock {
    /// A session that began at `began` and should end after `limit`, if there is one.
    pub fn new(began: Instant, limit: Option<Duration>) -> Self {
        Self { began, limit }
    }

    /// A session without a limit.
    pub fn unlimited() -> Self {
        Self::new(Instant::now(), None)
    }

    /// Whether `seconds` more seconds fit; always true without a limit.
    pub(crate) fn has(&self, seconds: f64) -> bool {
        self.limit.is_none_or(|limit| {
            let limit = limit.as_secs_f64();
            self.began.elapsed().as_secs_f64() + seconds <= limit - MAX_RESERVE.min(RESERVE_SHARE * limit)
        })
    }

    /// Whether a training of which `share` is done is predicted to finish in time.
    pub(crate) fn has_rest_of(&self, training: Instant, share: f64) -> bool {
        if share < TOO_EARLY {
            return self.has(0.0);
        }
        let spent = training.elapsed().as_secs_f64();
        self.has(MEASURING * spent / share - spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_everything_fits() {
        let clock = Clock::new(Instant::now(), None);
        assert!(clock.has(1e9) && clock.has_rest_of(Instant::now(), 0.5));
    }

    #[test]
    fn what_does_not_fit_is_known_before_it_is_over() {
        let ago =
            |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a clock that runs");
        let clock = Clock::new(ago(60), Some(Duration::from_secs(100)));
        assert!(clock.has(30.0) && !clock.has(40.0));
        assert!(clock.has_rest_of(ago(20), 0.5) && !clock.has_rest_of(ago(20), 0.1));
        assert!(clock.has_rest_of(ago(20), 0.01), "too early to tell");
        let over = Clock::new(ago(101), Some(Duration::from_secs(100)));
        assert!(!over.has(0.0) && !over.has_rest_of(ago(1), 0.0));
    }
}
