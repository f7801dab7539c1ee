//! By how much found architectures are better than others.

use std::fmt;

use enas_rng::Stream;
use enas_stats::{Bootstrap, Estimate, Point, hypervolume, mean, t_interval, welch_interval};
use serde::Serialize;

use super::group::GroupTrials;

/// With fewer searches than this, intervals use Student's t: those of the bootstrap would be too narrow.
const FEW: usize = 8;
/// Number of sets of random architectures whose fronts are averaged.
const SETS: usize = 400;
/// Number of such sets in each resample.
const SETS_AGAIN: usize = 4;

/// The meaning of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// The interval lies above zero.
    Better,
    /// The interval lies below zero.
    Worse,
    /// The interval contains zero.
    NoMeasurableDifference,
    /// There is no interval.
    #[serde(rename = "cannot-be-said")]
    Inconclusive,
}

impl Comparison {
    /// The meaning of an estimated difference.
    pub fn of(difference: Estimate) -> Self {
        if !difference.is_bounded() {
            Self::Inconclusive
        } else if difference.low > 0.0 {
            Self::Better
        } else if difference.high < 0.0 {
            Self::Worse
        } else {
            Self::NoMeasurableDifference
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoMeasurableDifference => "no measurable difference",
            Self::Inconclusive => "too few to say",
        })
    }
}

/// The gain over a group in percentage points; `None` if either has no trainings.
pub(super) fn gain_over(
    found: &GroupTrials<'_>,
    others: &GroupTrials<'_>,
    bootstrap: &Bootstrap,
) -> Option<Estimate> {
    if found.by_arc.is_empty() || others.by_arc.is_empty() {
        return None;
    }
    let difference = if found.by_arc.len() < FEW || others.by_arc.len() < FEW {
        welch_interval(&found.means(), &others.means())
    } else {
        bootstrap.difference(&found.accuracies(), &others.accuracies())
    };
    Some(difference.scaled(100.0))
}

/// The mean gain of each architecture over random ones of its own size, in percentage points; `None` if there are
/// none.
pub(super) fn gain_over_controls(
    found: &GroupTrials<'_>,
    controls: &GroupTrials<'_>,
    per_pick: usize,
    bootstrap: &Bootstrap,
) -> Option<Estimate> {
    let accuracies = |group: &GroupTrials<'_>, wanted: &dyn Fn(usize) -> bool| {
        let members = group.by_arc.iter().filter(|(index, _)| wanted(**index));
        members
            .flat_map(|(_, repeats)| repeats.values().map(|trial| trial.measured.test_accuracy))
            .collect::<Vec<f64>>()
    };
    let gains: Vec<f64> = found
        .by_arc
        .keys()
        .filter_map(|&pick| {
            let own = accuracies(controls, &|index| index / per_pick.max(1) == pick);
            let is = accuracies(found, &|index| index == pick);
            (!own.is_empty()).then(|| mean(&is) - mean(&own))
        })
        .collect();
    let difference = match gains.len() {
        0 => return None,
        n if n < FEW => t_interval(&gains),
        _ => bootstrap.mean(&gains.iter().map(|gain| vec![*gain]).collect::<Vec<_>>()),
    };
    Some(difference.scaled(100.0))
}

/// The hypervolume of accuracy and multiply-adds of the found architectures, divided by that of as many random ones.
/// The reference point is worse than all of them by a tenth of their range. `None` if there is nothing to compare.
pub(super) fn hypervolume_ratio(
    found: &[&GroupTrials<'_>],
    pool: &GroupTrials<'_>,
    bootstrap: &Bootstrap,
) -> Option<Estimate> {
    let points = |group: &GroupTrials<'_>| {
        let costs = group.sizes().map(|size| size.macs as f64);
        group
            .means()
            .into_iter()
            .zip(costs)
            .map(|(quality, cost)| Point { quality, cost })
            .collect::<Vec<_>>()
    };
    let found: Vec<Point> = found.iter().copied().flat_map(points).collect();
    let pool = points(pool);
    if found.is_empty() || pool.len() < found.len() {
        return None;
    }
    let reference = worse_than_all(found.iter().chain(&pool));
    let draw = |from: &[Point], stream: &mut Stream| {
        (0..found.len()).map(|_| from[stream.below(from.len())]).collect::<Vec<Point>>()
    };
    let sets = mean_hypervolume(&pool, found.len(), reference, &mut bootstrap.stream("study/fronts"));
    if sets <= 0.0 {
        return None;
    }
    let ratio = hypervolume(&found, reference) / sets;
    if found.len() < 2 {
        return Some(Estimate::unbounded(ratio));
    }
    // A bootstrap resample of both sides, drawn with replacement.
    let again = |stream: &mut Stream| {
        let area = hypervolume(&draw(&found, stream), reference);
        let random = (0..SETS_AGAIN).map(|_| hypervolume(&draw(&pool, stream), reference)).sum::<f64>();
        Some(area * SETS_AGAIN as f64 / random)
    };
    let interval = bootstrap.interval("study/fronts-again", again);
    Some(interval.map_or(Estimate::unbounded(ratio), |(low, high)| Estimate { mean: ratio, low, high }))
}

/// The mean hypervolume of sets of `n` distinct random architectures, drawn without replacement.
fn mean_hypervolume(pool: &[Point], n: usize, reference: Point, stream: &mut Stream) -> f64 {
    let mut set = || {
        let mut all = pool.to_vec();
        stream.shuffle(&mut all);
        hypervolume(&all[..n], reference)
    };
    (0..SETS).map(|_| set()).sum::<f64>() / SETS as f64
}

/// The reference point of the hypervolume: worse than all `points` by a tenth of their range in each dimension.
fn worse_than_all<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> Point {
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (lowest, highest) = range(&mut points.clone().map(|point| point.quality));
    let (cheapest, dearest) = range(&mut points.map(|point| point.cost));
    Point {
        quality: lowest - 0.1 * (highest - lowest).max(1e-3),
        cost: dearest + 0.1 * (dearest - cheapest).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::super::tests::study;
    use super::*;
    use crate::record::{Group, StudyTrial};

    fn bootstrap() -> Bootstrap {
        Bootstrap::new(Seed::new(1)).with_resamples(500)
    }

    #[test]
    fn words_follow_from_the_interval() {
        let of = |low, high| Comparison::of(Estimate { mean: 0.0, low, high });
        assert_eq!(of(0.1, 2.0), Comparison::Better);
        assert_eq!(of(-2.0, -0.1), Comparison::Worse);
        assert_eq!(of(-1.0, 1.0), Comparison::NoMeasurableDifference);
        assert_eq!(Comparison::of(Estimate::unbounded(9.0)), Comparison::Inconclusive);
    }

    #[test]
    fn a_single_search_is_never_called_better() {
        let trials: Vec<StudyTrial> = study(0.05, 0.0)
            .0
            .into_iter()
            .filter(|trial| trial.key.group == Group::Pool || trial.key.index == 0)
            .collect();
        let [pool, found] = [Group::Pool, Group::SearchPick].map(|group| GroupTrials::of(group, &trials));
        let gain = gain_over(&found, &pool, &bootstrap()).unwrap();
        assert!((gain.mean - 5.0).abs() < 0.5);
        assert_eq!(Comparison::of(gain), Comparison::Inconclusive);
        let ratio = hypervolume_ratio(&[&found], &pool, &bootstrap()).unwrap();
        assert!(!ratio.is_bounded() && ratio.mean > 1.0, "{ratio:?}");
    }

    #[test]
    fn each_is_compared_with_random_ones_of_its_own_size() {
        let (mut trials, _) = study(0.0, 0.0);
        for trial in &mut trials {
            // Each pick is one percentage point above its own two controls; the picks differ by tens of points.
            let level = match trial.key.group {
                Group::SearchPick => 0.1 * trial.key.index as f64 + 0.01,
                Group::Control => 0.1 * (trial.key.index / 2) as f64,
                _ => continue,
            };
            trial.measured.test_accuracy = 0.5 + level;
        }
        let [controls, found] =
            [Group::Control, Group::SearchPick].map(|group| GroupTrials::of(group, &trials));
        let gain = gain_over_controls(&found, &controls, 2, &bootstrap()).unwrap();
        assert!((gain.mean - 1.0).abs() < 1e-9 && gain.low > 0.99 && gain.high < 1.01, "{gain:?}");
    }

    #[test]
    fn random_ones_cover_as_much_as_random_ones() {
        let trials: Vec<StudyTrial> = study(0.0, 0.0)
            .0
            .into_iter()
            .filter(|trial| trial.key.group == Group::Pool)
            .map(|mut trial| {
                trial.measured.macs = 4000 + 100 * ((7 * trial.key.index) % 12) as u64;
                trial
            })
            .collect();
        let mut picks = trials.clone();
        picks.iter_mut().for_each(|trial| trial.key.group = Group::SearchPick);
        let [pool, found] =
            [(Group::Pool, &trials), (Group::SearchPick, &picks)].map(|(g, t)| GroupTrials::of(g, t));
        let ratio = hypervolume_ratio(&[&found], &pool, &bootstrap()).unwrap();
        assert!((ratio.mean - 1.0).abs() < 1e-9 && ratio.low < 1.0 && ratio.high > 1.0, "{ratio:?}");
    }
}
