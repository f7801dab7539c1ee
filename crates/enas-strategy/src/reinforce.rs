//! REINFORCE with an LSTM policy as a search strategy.

use std::collections::{BTreeSet, VecDeque};

use enas_controller::{Advantage, BaselineInit, Bounds, Config, Error, OpBias, Policy, RewardedChoices};
use enas_rng::{Seed, Stream};

use crate::space::Space;
use crate::strategy::Strategy;

/// Number of latest scores among which a score is ranked.
const WINDOW: usize = 1000;
/// Factor of the temperature from one attempt to draw new architectures to the next.
const HEATING: f64 = 1.2;
/// Number of attempts, after which the rest is drawn uniformly. At the last attempt all choices are about equally
/// likely.
const ATTEMPTS: i32 = 60;

/// Draws from a policy over the decisions of a space and trains it with REINFORCE (Williams, 1992; Zoph and Le,
/// 2017). The policy is that of ENAS.
///
/// The reward of a score is −ln of the share of the latest scores that are better. So rewards depend neither on the
/// scale nor on outliers of the scores. The best scores count most, because a search is judged by its best result,
/// not by the mean. Advantages are normalised over the architectures of an update.
#[derive(Debug)]
pub struct Reinforce<S: Space> {
    space: S,
    settings: ReinforceSettings,
    policy: Policy,
    /// The architectures that were scored.
    known: BTreeSet<S::Arch>,
    /// The latest scores, oldest first.
    latest: VecDeque<f64>,
    /// Rewards for the next update.
    pending: Vec<RewardedChoices>,
}

/// The settings of a [`Reinforce`].
#[derive(Clone, Debug, PartialEq)]
pub struct ReinforceSettings {
    /// The policy and its training; one update uses [`aggregate`](Config::aggregate) architectures.
    pub policy: Config,
    /// Whether to propose no architecture twice: repeated ones are drawn again at a higher temperature. Right for
    /// oracles whose scores do not change.
    pub only_new: bool,
}

impl Default for ReinforceSettings {
    /// A learning rate of 0.05 for a few hundred updates, no bound on the logits, and no architecture twice.
    fn default() -> Self {
        let policy = Config {
            lr: 0.05,
            tanh_constant: None,
            anneal: None,
            entropy_weight: 0.0,
            op_bias: OpBias::Zero,
            advantage: Advantage::Normalized,
            baseline_init: BaselineInit::FirstRewards,
            ..Config::improved()
        };
        Self { policy, only_new: true }
    }
}

impl<S: Space> Reinforce<S> {
    /// An untrained policy over the decisions of `space`.
    ///
    /// # Errors
    /// If a setting of the policy is invalid.
    pub fn new(space: S, settings: &ReinforceSettings, seed: Seed) -> Result<Self, Error> {
        Ok(Self {
            policy: Policy::new(&settings.policy, space.plan().clone(), seed)?,
            settings: settings.clone(),
            space,
            known: BTreeSet::new(),
            latest: VecDeque::new(),
            pending: vec![],
        })
    }

    /// The current policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn bounds(&self, heat: f64) -> Bounds {
        let bounds = self.settings.policy.bounds(0.0);
        Bounds { temperature: Some(bounds.temperature.unwrap_or(1.0) * heat), ..bounds }
    }
}

impl<S: Space> Strategy<S> for Reinforce<S> {
    fn propose(&mut self, n: usize, stream: &mut Stream) -> Vec<S::Arch> {
        let mut proposed = Vec::with_capacity(n);
        let mut new = BTreeSet::new();
        // Each attempt draws `n` architectures at a higher temperature, until there are `n` new ones.
        for attempt in 0..ATTEMPTS {
            if proposed.len() == n {
                break;
            }
            let seed = stream.seed();
            let mut streams: Vec<Stream> =
                (0..n as u64).map(|i| seed.stream("reinforce/draw", &[i])).collect();
            let draws = self.policy.sample_many(self.bounds(HEATING.powi(attempt)), &mut streams);
            for arch in draws.iter().filter_map(|draw| self.space.decode(&draw.choices)) {
                let wanted =
                    !self.settings.only_new || (!self.known.contains(&arch) && new.insert(arch.clone()));
                if wanted && proposed.len() < n {
                    proposed.push(arch);
                }
            }
        }
        let missing = n - proposed.len();
        proposed.extend((0..missing).map(|_| self.space.random(stream)));
        proposed
    }

    fn observe(&mut self, scored: &[(S::Arch, f64)]) {
        self.latest.extend(scored.iter().map(|(_, score)| score));
        let surplus = self.latest.len().saturating_sub(WINDOW);
        self.latest.drain(..surplus);
        let mut sorted: Vec<f64> = self.latest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        for (arch, score) in scored {
            let choices = self.space.encode(arch);
            self.pending.push(RewardedChoices { choices, value: reward(*score, &sorted) });
            if self.settings.only_new {
                self.known.insert(arch.clone());
            }
        }
        let bounds = self.bounds(1.0);
        let per_update = self.settings.policy.aggregate;
        while self.pending.len() >= per_update {
            let update: Vec<RewardedChoices> = self.pending.drain(..per_update).collect();
            self.policy
                .reinforce(bounds, &update)
                .expect("the space encodes choices of its plan, and rewards are finite and enough");
        }
    }
}

/// −ln of the share of scores in `sorted` that are better; equal ones count half.
fn reward(score: f64, sorted: &[f64]) -> f32 {
    let above = sorted.len() - sorted.partition_point(|&other| other <= score);
    let equal = sorted.len() - above - sorted.partition_point(|&other| other < score);
    let share = (above as f64 + 0.5 * equal.max(1) as f64) / sorted.len().max(1) as f64;
    -share.ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::MicroSpace;
    use crate::table::{Table, TableSpace};

    #[test]
    fn rewards_grow_without_regard_to_the_scale_of_scores() {
        let sorted = [-1e9, 0.0, 0.5, 0.5];
        let rewards: Vec<f32> = [-1e9, 0.0, 0.5].iter().map(|&score| reward(score, &sorted)).collect();
        let expected = [3.5 / 4.0, 2.5 / 4.0, 1.0 / 4.0f32].map(|share| -share.ln());
        assert_eq!(rewards, expected);
        assert!([f64::NAN, f64::INFINITY, -7e9].iter().all(|&score| reward(score, &sorted).is_finite()));
    }

    #[test]
    fn a_small_table_is_seen_whole_before_anything_is_proposed_twice() {
        let rows: String = (0..12).map(|i| format!("{},{},{i},{i}\n", i % 3, i / 3)).collect();
        let table = Table::from_csv(format!("a,b,valid,test\n{rows}").as_bytes()).unwrap();
        let space = TableSpace(&table);
        let mut strategy = Reinforce::new(space, &ReinforceSettings::default(), Seed::new(1)).unwrap();
        let mut seen = BTreeSet::new();
        for batch in 0..3 {
            let archs = strategy.propose(4, &mut Seed::new(2).stream("test", &[batch]));
            let scored: Vec<_> = archs.iter().map(|&row| (row, table.valid(row))).collect();
            assert!(archs.into_iter().all(|row| seen.insert(row)));
            strategy.observe(&scored);
        }
        // No new architecture is left, and proposals continue with known ones.
        assert_eq!(strategy.propose(5, &mut Seed::new(2).stream("test", &[9])).len(), 5);
    }

    #[test]
    fn wide_arcs_are_learned_if_they_are_rewarded() {
        let space = MicroSpace::new(3).unwrap();
        let mut strategy = Reinforce::new(&space, &ReinforceSettings::default(), Seed::new(1)).unwrap();
        let inputs = |arc: &enas_arc::Arc| -(arc.to_ints().iter().step_by(2).sum::<usize>() as f64);
        let mut means = vec![];
        for batch in 0..40 {
            let archs = strategy.propose(10, &mut Seed::new(2).stream("test", &[batch]));
            let scored: Vec<_> = archs.into_iter().map(|arc| (arc.clone(), inputs(&arc))).collect();
            means.push(scored.iter().map(|(_, score)| score).sum::<f64>() / 10.0);
            strategy.observe(&scored);
        }
        // The expectation for a random arc is 12; all zeros would be the best.
        assert!(means[0] < -9.0 && means[35..].iter().all(|&mean| mean > -5.0), "{means:?}");
        assert_eq!(strategy.policy().updates(), 40);
    }
}
