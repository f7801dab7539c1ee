//! How often checkpoints are written, and what they cost.

use std::time::{Duration, Instant};

/// Checkpoints take at most one part in so many of the time. Half of the 2 % that are promised: the one at the end of a
/// run is written whatever it costs.
const PARTS: u32 = 100;
/// Bytes that are written in a second, as long as nothing is measured.
const RATE: f64 = 100e6;

/// The rhythm of a run's checkpoints. Only the clock of this process counts, which never goes back.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    began: Instant,
    /// The end of the last one, or the beginning.
    last: Instant,
    /// What the last one took.
    cost: Duration,
    /// What all of them took.
    spent: Duration,
}

impl Pace {
    /// A rhythm that begins now.
    pub(crate) fn new(every: Duration) -> Self {
        let now = Instant::now();
        Self { every, began: now, last: now, cost: Duration::ZERO, spent: Duration::ZERO }
    }

    /// Sets the age at which a checkpoint is due to be followed by another.
    pub(crate) fn set_every(&mut self, every: Duration) {
        self.every = every;
    }

    /// Says how large checkpoints will be, for as long as none was written.
    pub(crate) fn expect(&mut self, bytes: usize) {
        if self.spent.is_zero() {
            self.cost = Duration::from_secs_f64(bytes as f64 / RATE);
        }
    }

    /// Whether the last checkpoint is old enough for another one.
    pub(crate) fn is_due(&self) -> bool {
        self.last.elapsed() >= interval(self.every, self.cost)
    }

    /// Whether one that the clock does not ask for would cost too much by now.
    pub(crate) fn is_too_soon(&self) -> bool {
        self.last.elapsed() < interval(Duration::ZERO, self.cost)
    }

    /// Notes that one was written, and what that took.
    pub(crate) fn saved(&mut self, cost: Duration) {
        (self.last, self.cost) = (Instant::now(), cost);
        self.spent += cost;
    }

    /// The share of the time so far that was spent on checkpoints, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.spent.as_secs_f64() / self.began.elapsed().as_secs_f64().max(1e-9)
    }
}

/// The time between two checkpoints that are to come `every` so often and took `cost` last time.
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
        let mut pace = Pace::new(Duration::ZERO);
        assert!(pace.is_due());
        pace.expect(100_000_000);
        assert!(pace.is_too_soon() && !pace.is_due());
        pace.saved(Duration::from_nanos(1));
        pace.expect(100_000_000);
        assert_eq!(pace.cost, Duration::from_nanos(1), "a measurement is worth more");
    }

    #[test]
    fn a_dear_one_is_not_followed_at_once() {
        let mut pace = Pace::new(Duration::from_secs(1000));
        assert!(!pace.is_too_soon(), "nothing is known of the cost yet");
        pace.saved(Duration::from_secs(1));
        assert!(pace.is_too_soon() && !pace.is_due());
        pace.saved(Duration::ZERO);
        assert!(!pace.is_too_soon() && !pace.is_due());
        pace.set_every(Duration::ZERO);
        assert!(pace.is_due());
        assert!(pace.share() > 1.0, "a second of cost in no time: {}", pace.share());
    }
}
