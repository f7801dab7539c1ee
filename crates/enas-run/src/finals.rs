//! The result of the finals: three networks from small to accurate, compared with random architectures.

use enas_arc::Arc;
use enas_stats::t_quantile;
use serde::{Deserialize, Serialize};

use crate::config::StrategyConfig;
use crate::paired::Verdict;

/// Origin of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateOrigin {
    /// Proposed by the strategy: by a policy, or by a strategy that draws uniformly or among wide arcs.
    Policy,
    /// Uniformly random among wide arcs: every branch reads an input of the cell.
    Wide,
    /// Uniformly random.
    Random,
    /// One of the best with one branch changed.
    Mutant,
    /// From the population of evolution.
    Evolution,
}

impl CandidateOrigin {
    /// The origin of the proposals of a strategy.
    pub fn of(strategy: &StrategyConfig) -> Self {
        match strategy {
            StrategyConfig::Evolution(_) => Self::Evolution,
            StrategyConfig::Reinforce {} | StrategyConfig::Uniform {} | StrategyConfig::Wide {} => {
                Self::Policy
            }
        }
    }
}

/// An architecture whose network was trained alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finalist {
    /// The architecture.
    pub arc: Arc,
    /// Its origin.
    pub origin: CandidateOrigin,
    /// Trained weights of its network.
    pub params: usize,
    /// Multiply-adds per image.
    pub macs: u64,
    /// Median time for one image in milliseconds, on the machine of the search; only in the last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Steps of its training.
    pub steps: u64,
    /// Mean training loss of the last two thirds of the steps, in nats; lower is better at equal `steps`. `None` for
    /// a network that diverged.
    pub score: Option<f64>,
    /// Accuracy on the half of the validation split that choices are made by, 0 to 1.
    pub valid_choose: f64,
    /// Accuracy on the other half, 0 to 1.
    pub valid_report: f64,
}

/// Uniformly random architectures trained as long as the best, measured on the reporting half of validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Number of architectures.
    pub arcs: usize,
    /// The highest accuracy, 0 to 1.
    pub best: f64,
    /// The mean accuracy, 0 to 1.
    pub mean: f64,
}

/// Comparison with the random architectures of the first round, where all had the same training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstRound {
    /// Number of uniformly random and wide architectures.
    pub random: usize,
    /// How many of them were less accurate than the one found, on the reporting half of validation.
    pub beaten: usize,
    /// Steps of the round.
    pub steps: u64,
}

/// Difference in accuracy between the found and random architectures with the same training, in percentage points,
/// with a 95 % confidence interval. Measured on the reporting half of validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The difference.
    pub points: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Gain {
    /// The conclusion.
    pub fn verdict(self) -> Verdict {
        Verdict::of(self.low, self.high)
    }
}

/// The three networks to choose from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picks {
    /// The best network with at most half the usual multiply-adds; the smallest one if there is none.
    pub small: Arc,
    /// The cheapest network that is not significantly worse than the accurate one, by training loss and by loss on the
    /// choosing half.
    pub balanced: Arc,
    /// The best network by training loss, validation loss and accuracy, among those that do not overfit.
    pub accurate: Arc,
}

/// The name of one of the three picks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The small one.
    Small,
    /// The balanced one.
    #[default]
    Balanced,
    /// The accurate one.
    Accurate,
}

impl Picks {
    /// The architecture of a pick.
    pub fn of(&self, pick: Pick) -> &Arc {
        match pick {
            Pick::Small => &self.small,
            Pick::Balanced => &self.balanced,
            Pick::Accurate => &self.accurate,
        }
    }
}

/// The result of the finals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalsOutcome {
    /// All trained networks: those with the longest training first, and by rank among equals.
    pub finalists: Vec<Finalist>,
    /// The random controls, trained as long as the best; `None` if there were none.
    pub control: Option<Control>,
    /// Other random architectures whose multiply-adds are nearest to the found one's; `None` if none were trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal_size: Option<Control>,
    /// The balanced pick compared with the controls; `None` if there were none.
    pub gain: Option<Gain>,
    /// The balanced pick compared with all random architectures of the first round.
    pub first_round: FirstRound,
    /// The three picks.
    pub picks: Picks,
    /// Mean multiply-adds of a uniformly random network.
    pub usual_macs: u64,
    /// Number of images in the choosing half and in the reporting half.
    pub images: [usize; 2],
}

impl FinalsOutcome {
    /// The finalist of the balanced pick.
    pub fn balanced(&self) -> &Finalist {
        self.finalist(&self.picks.balanced).expect("the picks are among the finalists")
    }

    /// Whether the result does not show whether searching brought anything: no random architecture was trained as long,
    /// or the difference to them is not measurable.
    pub fn shows_nothing_yet(&self) -> bool {
        self.gain.is_none_or(|gain| gain.verdict() == Verdict::NoMeasurableDifference)
    }

    /// Whether the pick `small` has at most half the multiply-adds of a usual random network. Otherwise there was none,
    /// and it is the smallest of those trained to the end.
    pub fn has_small(&self) -> bool {
        self.finalist(&self.picks.small).is_some_and(|small| 2 * small.macs <= self.usual_macs)
    }

    /// The same without times, so that equal seeds give equal files.
    pub fn without_times(&self) -> Self {
        let mut outcome = self.clone();
        outcome.finalists.iter_mut().for_each(|finalist| finalist.latency_ms = None);
        outcome
    }

    /// The finalist with this architecture.
    pub fn finalist(&self, arc: &Arc) -> Option<&Finalist> {
        self.finalists.iter().find(|finalist| finalist.arc == *arc)
    }
}

impl Gain {
    /// Compares a network with others, given which images of one list each classifies correctly.
    ///
    /// Images and architectures are both random samples, so the variances of both means add up. The interval uses
    /// Student's t with the degrees of freedom of Welch and Satterthwaite. With a single other architecture the
    /// spread among architectures is unknown, and the interval covers the images alone.
    pub fn of(found: &[bool], others: &[&[bool]]) -> Option<Self> {
        let n = found.len() as f64;
        let k = others.len() as f64;
        if found.is_empty() || others.is_empty() {
            return None;
        }
        let share = |right: &[bool]| right.iter().filter(|right| **right).count() as f64 / n;
        let difference = |i: usize| {
            let by_others = others.iter().filter(|right| right[i]).count() as f64 / k;
            f64::from(u8::from(found[i])) - by_others
        };
        let differences: Vec<f64> = (0..found.len()).map(difference).collect();
        let (points, of_images) = mean_and_variance(&differences);
        let accuracies: Vec<f64> = others.iter().map(|right| share(right)).collect();
        let (mean, spread) = mean_and_variance(&accuracies);
        // The sampling of images also spreads the architectures' accuracies. That part, p(1 - p)/n, is counted
        // already.
        let of_arcs = (spread - mean * (1.0 - mean) / n).max(0.0) / k;
        let of_images = of_images / n;
        // Welch–Satterthwaite: degrees of freedom of the sum of two estimated variances.
        let df = (of_images + of_arcs).powi(2)
            / (of_images.powi(2) / (n - 1.0).max(1.0) + of_arcs.powi(2) / (k - 1.0).max(1.0)).max(1e-300);
        // If all answers agree the variance is 0. The interval then allows for one image more or less.
        let half = (t_quantile(0.975, df.max(1.0)) * (of_images + of_arcs).sqrt()).max(1.0 / n);
        Some(Self { points: 100.0 * points, low: 100.0 * (points - half), high: 100.0 * (points + half) })
    }
}

/// Mean, and variance with n - 1; the variance of a single value is 0.
fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n - 1.0).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_over_much_worse_networks_lies_above_zero_and_over_equals_it_does_not() {
        let found: Vec<bool> = (0..400).map(|i| i % 10 != 0).collect();
        let others: Vec<Vec<bool>> = (0..4).map(|k| (0..400).map(|i| (i + k) % 4 != 0).collect()).collect();
        let others: Vec<&[bool]> = others.iter().map(Vec::as_slice).collect();
        let gain = Gain::of(&found, &others).unwrap();
        assert!((gain.points - 15.0).abs() < 1e-9 && gain.low > 0.0, "{gain:?}");
        let equal = Gain::of(&found, &[&found, &found]).unwrap();
        assert!(equal.points == 0.0 && equal.low < 0.0 && equal.high > 0.0, "{equal:?}");
        assert_eq!(Gain::of(&found, &[]), None);
    }

    #[test]
    fn architectures_that_lie_far_apart_widen_the_interval() {
        let right = |n: usize| (0..400).map(|i| i < n).collect::<Vec<bool>>();
        let (found, near, far) =
            (right(300), [right(280), right(281), right(279)], [right(380), right(280), right(180)]);
        let width = |others: &[Vec<bool>; 3]| {
            let others: Vec<&[bool]> = others.iter().map(Vec::as_slice).collect();
            let gain = Gain::of(&found, &others).unwrap();
            gain.high - gain.low
        };
        assert!(width(&far) > 3.0 * width(&near));
    }
}
