//! The interval between checkpoints, adapted to their cost.

use std::time::{Duration, Instant};

/// Checkpoints may take 1/`PARTS` of the wall time. That is half of the promised 2 %, because the one at the end of a
/// run is written regardless of its cost.
const PARTS: u32 = 100;
/// Assumed write speed in bytes per second, until one was measured.
const RATE: f64 = 100e6;

/// The schedule of a run's checkpoints. It uses this process's monotonic clock.
#[derive(Debug)]
pub(crate) struct CheckpointInterval {
    every: Duration,
    began: Instant,
    /// The end of the last checkpoint, or the start.
    last: Instant,
    /// Time that the last checkpoint took.
    cost: Duration,
    /// Time that all checkpoints took.
    spent: Duration,
}

impl CheckpointInterval {
    /// A schedule that starts now.
    pub(crate) fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self { every, began: now, last: now, cost: Duration::ZERO, spent: Duration::ZERO }
    }

    /// Sets the interval between checkpoints.
    pub(crate) fn set_every(&mut self, every: Duration) {
        self.every = every;
    }

    /// Sets the expected size of a checkpoint, until one was written.
    pub(crate) fn expect(&mut self, bytes: usize) {
        if self.spent.is_zero() {
            self.cost = Duration::from_secs_f64(bytes as f64 / RATE);
        }
    }

    /// Whether it is time for another checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.last.elapsed() >= interval(self.every, self.cost)
    }

    /// Whether a checkpoint outside the interval would exceed the cost limit.
    pub(crate) fn is_too_soon(&self) -> bool {
        self.last.elapsed() < interval(Duration::ZERO, self.cost)
    }

    /// Records a checkpoint and the time it took.
    pub(crate) fn saved(&mut self, cost: Duration) {
        (self.last, self.cost) = (Instant::now(), cost);
        self.spent += cost;
    }

    /// The share of the time so far that was spent on checkpoints, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.spent.as_secs_f64() / self.began.elapsed().as_secs_f64().max(1e-9)
    }
}

/// The interval for a setting of `every`, if the last checkpoint took `cost`.
fn interval(every: Duration, cost: Duration) -> Duration {
    every.max(cost.saturating_mul(PARTS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cheap_keeps_its_rhythm_and_what_is_dear_stretches_it() {
        let seconds = Duration::from_secs;
        assert_eq!(interval(seconds(300), seconds(2)), seconds(300));
        assert_eq!(interval(seconds(300), seconds(10)), seconds(990));
        for cost in [1, 7, 100] {
            let whole = interval(Duration::ZERO, seconds(cost)) + seconds(cost);
            assert!(cost as f64 / whole.as_secs_f64() <= 0.01, "{cost}");
        }
        assert_eq!(interval(Duration::MAX, Duration::MAX), Duration::MAX);
    }

    #[test]
    fn before_the_first_one_its_size_tells_the_cost() {
        let mut interval = CheckpointInterval::new(Duration::ZERO);
        assert!(interval.is_due());
        interval.expect(100_000_000);
        assert!(interval.is_too_soon() && !interval.is_due());
        interval.saved(Duration::from_nanos(1));
        interval.expect(100_000_000);
        assert_eq!(interval.cost, Duration::from_nanos(1), "a measurement is worth more");
    }

    #[test]
    fn a_dear_one_is_not_followed_at_once() {
        let mut interval = CheckpointInterval::new(Duration::from_secs(1000));
        assert!(!interval.is_too_soon(), "nothing is known of the cost yet");
        interval.saved(Duration::from_secs(1));
        assert!(interval.is_too_soon() && !interval.is_due());
        interval.saved(Duration::ZERO);
        assert!(!interval.is_too_soon() && !interval.is_due());
        interval.set_every(Duration::ZERO);
        assert!(interval.is_due());
        assert!(interval.share() > 1.0, "a second of cost in no time: {}", interval.share());
    }
}
