//! The search loop: propose, score, observe.

use enas_rng::Seed;

use crate::oracle::Oracle;
use crate::space::Space;
use crate::strategy::{Strategy, Uniform};

/// The number of scores of a search, and how they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Total number of scores; scoring an architecture again counts again.
    pub rewards: usize,
    /// Number of scores at the start that are given to uniformly drawn architectures and not shown to the strategy.
    /// They give time to an oracle that improves while it is used.
    pub warmup: usize,
    /// Number of architectures that are proposed and scored together.
    pub batch: usize,
}

impl Budget {
    /// This many scores in batches of ten, without warm-up.
    pub fn new(rewards: usize) -> Self {
        Self { rewards, warmup: 0, batch: 10 }
    }
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<A> {
    /// The architecture with the best score after the warm-up, the first one among equals; `None` if there was no
    /// score.
    pub best: Option<(A, f64)>,
    /// All scores in order, with those of the warm-up.
    pub scored: Vec<(A, f64)>,
}

/// Searches `space` with `strategy` until the budget is used up. The same seed gives the same result.
///
/// # Errors
/// Errors of the oracle.
pub fn search<S: Space, O: Oracle<S>>(
    space: &S,
    strategy: &mut dyn Strategy<S>,
    oracle: &mut O,
    budget: Budget,
    seed: Seed,
) -> Result<Outcome<S::Arch>, O::Error> {
    let mut outcome = Outcome { best: None, scored: Vec::new() };
    let mut uniform = Uniform(space);
    for batch in 0.. {
        let done = outcome.scored.len();
        // Batches of the warm-up draw uniformly, and the strategy does not see their scores.
        let warm = done < budget.warmup.min(budget.rewards);
        let end = if warm { budget.warmup } else { budget.rewards }.min(budget.rewards);
        let n = budget.batch.max(1).min(end - done);
        if n == 0 {
            break;
        }
        let mut stream = seed.stream("strategy/propose", &[batch]);
        let archs = if warm {
            Strategy::<&S>::propose(&mut uniform, n, &mut stream)
        } else {
            strategy.propose(n, &mut stream)
        };
        if archs.is_empty() {
            break;
        }
        let scores = oracle.score(&archs)?;
        outcome.scored.extend(archs.into_iter().zip(scores));
        if warm {
            continue;
        }
        let scored = &outcome.scored[done..];
        strategy.observe(scored);
        for (arch, score) in scored {
            if outcome.best.as_ref().is_none_or(|(_, best)| score > best) {
                outcome.best = Some((arch.clone(), *score));
            }
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::MicroSpace;
    use enas_arc::Arc;
    use enas_rng::Stream;

    /// Counts the architectures it is asked for, and fails from a given one on.
    struct CountingOracle {
        asked: Vec<usize>,
        fails_at: usize,
    }

    impl Oracle<MicroSpace> for CountingOracle {
        type Error = String;

        fn score(&mut self, archs: &[Arc]) -> Result<Vec<f64>, String> {
            self.asked.push(archs.len());
            if self.asked.len() > self.fails_at {
                return Err("the device is gone".into());
            }
            Ok(archs.iter().map(|arc| arc.to_ints().iter().sum::<usize>() as f64).collect())
        }
    }

    /// Proposes wide arcs and records what it observes.
    struct RecordingStrategy(MicroSpace, Vec<(Arc, f64)>);

    impl Strategy<MicroSpace> for RecordingStrategy {
        fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<Arc> {
            (0..n).map(|_| Arc::random_wide(self.0.n_nodes(), stream)).collect()
        }

        fn observe(&mut self, scored: &[(Arc, f64)]) {
            self.1.extend_from_slice(scored);
        }
    }

    fn searched(
        budget: Budget,
        fails_at: usize,
    ) -> (Result<Outcome<Arc>, String>, CountingOracle, RecordingStrategy) {
        let space = MicroSpace::new(4).unwrap();
        let mut recording = RecordingStrategy(space.clone(), vec![]);
        let mut counting = CountingOracle { asked: vec![], fails_at };
        let outcome = search(&space, &mut recording, &mut counting, budget, Seed::new(1));
        (outcome, counting, recording)
    }

    #[test]
    fn exactly_the_budget_is_scored_and_the_best_remembered() {
        let (outcome, counting, recording) = searched(Budget::new(25), 99);
        let outcome = outcome.unwrap();
        assert_eq!((counting.asked, outcome.scored.len()), (vec![10, 10, 5], 25));
        assert_eq!(recording.1, outcome.scored);
        let (best, score) = outcome.best.unwrap();
        assert!(
            outcome.scored.contains(&(best, score))
                && outcome.scored.iter().all(|(_, other)| *other <= score)
        );
    }

    #[test]
    fn a_warm_up_is_scored_but_neither_shown_nor_picked() {
        let budget = Budget { warmup: 15, ..Budget::new(40) };
        let (outcome, counting, recording) = searched(budget, 99);
        let outcome = outcome.unwrap();
        assert_eq!(counting.asked, [10, 5, 10, 10, 5]);
        assert_eq!(recording.1, outcome.scored[15..]);
        assert!(outcome.scored[..15].iter().any(|(arc, _)| !arc.is_wide()));
        assert!(outcome.best.unwrap().0.is_wide());
    }

    #[test]
    fn budgets_without_rewards_find_nothing_and_errors_are_passed_on() {
        let (outcome, ..) = searched(Budget::new(0), 99);
        assert_eq!(outcome.unwrap(), Outcome { best: None, scored: vec![] });
        let (outcome, ..) = searched(Budget { warmup: 50, ..Budget::new(20) }, 99);
        assert!(outcome.unwrap().best.is_none());
        assert_eq!(searched(Budget::new(30), 2).0.unwrap_err(), "the device is gone");
    }
}
