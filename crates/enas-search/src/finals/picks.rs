//! The choice among the networks of the last round (small, balanced, accurate), and comparisons with random ones.

use super::progress::{Details, Entry};
use enas_run::finals::{Control, Gain};

/// A mean difference of more than this many standard errors is significant (95 %, two-sided).
const MEASURABLE: f64 = 1.96;

/// The three chosen entries.
pub(super) struct Chosen<'e> {
    pub(super) small: &'e Entry,
    pub(super) balanced: &'e Entry,
    pub(super) accurate: &'e Entry,
}

/// Whether a network has at most half the multiply-adds of a usual random one.
pub(super) fn is_small(macs: u64, usual: u64) -> bool {
    2 * macs <= usual
}

/// Chooses among `ranked` (best first); `None` if every network diverged.
///
/// A network is vetoed as overfitting if another one has a significantly lower loss on the choosing half of
/// validation.
pub(super) fn choose<'e>(
    ranked: &[&'e Entry],
    macs: impl Fn(&Entry) -> u64,
    usual: u64,
) -> Option<Chosen<'e>> {
    let finite: Vec<&Entry> = ranked.iter().copied().filter(|entry| entry.score.is_some()).collect();
    let learnt_by_heart =
        |entry: &&&Entry| finite.iter().any(|other| is_above(entry, other, |details| &details.choose_losses));
    let accurate = finite.iter().find(|entry| !learnt_by_heart(entry)).or(finite.first()).copied()?;
    let as_good =
        |entry: &&&Entry| !is_above(entry, accurate, |details| &details.late) && !learnt_by_heart(entry);
    let balanced = finite.iter().filter(as_good).min_by_key(|entry| macs(entry)).copied().unwrap_or(accurate);
    let small = finite
        .iter()
        .find(|entry| is_small(macs(entry), usual))
        .or_else(|| finite.iter().min_by_key(|entry| macs(entry)))
        .copied()?;
    Some(Chosen { small, balanced, accurate })
}

/// Paired test: whether the losses of `entry` are significantly above those of `other`, on the same steps or images.
fn is_above(entry: &Entry, other: &Entry, losses: impl Fn(&Details) -> &Vec<f32>) -> bool {
    let (Some(of_entry), Some(of_other)) = (&entry.details, &other.details) else { return false };
    let pairs = losses(of_entry).iter().zip(losses(of_other));
    let differences: Vec<f64> = pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
    let n = differences.len() as f64;
    if n < 2.0 {
        return false;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean > MEASURABLE * (variance / n).sqrt()
}

/// Accuracies of random architectures on the reporting half; `None` if there are none.
pub(super) fn control(entries: &[&Entry]) -> Option<Control> {
    let accuracies: Vec<f64> = entries.iter().map(|entry| entry.valid[1]).collect();
    let best = accuracies.iter().copied().reduce(f64::max)?;
    Some(Control { arcs: entries.len(), best, mean: accuracies.iter().sum::<f64>() / entries.len() as f64 })
}

/// The found network compared with random ones that had the same training.
pub(super) fn gain(found: &Entry, others: &[&Entry]) -> Option<Gain> {
    let right = |entry: &Entry| entry.details.as_ref().map(|details| details.right.clone());
    let others: Vec<Vec<bool>> = others.iter().filter_map(|entry| right(entry)).collect();
    let others: Vec<&[bool]> = others.iter().map(Vec::as_slice).collect();
    Gain::of(&right(found)?, &others)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry whose losses lie around `train` and `choose`.
    fn entry(candidate: usize, train: f32, choose: f32) -> Entry {
        let around = |mean: f32| (0..100).map(|i| mean + 0.01 * (i % 3) as f32).collect::<Vec<f32>>();
        let details = Details {
            late: around(train),
            choose_losses: around(choose),
            right: vec![true; 10],
            latency_ms: 1.0,
        };
        let score = Some(f64::from(train));
        Entry { candidate, steps: 10, score, valid: [0.5, 0.5], choose: None, details: Some(details) }
    }

    #[test]
    fn balanced_is_the_cheapest_of_those_that_learn_as_fast() {
        let entries = [entry(0, 1.0, 1.0), entry(1, 1.0, 1.0), entry(2, 1.2, 1.0), entry(3, 1.3, 1.0)];
        let ranked: Vec<&Entry> = entries.iter().collect();
        let macs = |entry: &Entry| [100, 80, 60, 40][entry.candidate];
        let chosen = choose(&ranked, macs, 130).unwrap();
        let ids = [chosen.small, chosen.balanced, chosen.accurate].map(|entry| entry.candidate);
        assert_eq!(ids, [2, 1, 0], "the best of the small ones; as good for less; the best");
        let none_small = choose(&ranked, macs, 10).unwrap();
        assert_eq!(none_small.small.candidate, 3, "the smallest there is");
    }

    #[test]
    fn a_network_that_learns_by_heart_is_not_chosen() {
        let entries = [entry(0, 0.5, 2.0), entry(1, 0.7, 1.0)];
        let ranked: Vec<&Entry> = entries.iter().collect();
        let chosen = choose(&ranked, |_| 10, 10).unwrap();
        assert_eq!((chosen.accurate.candidate, chosen.balanced.candidate), (1, 1));
    }

    #[test]
    fn networks_that_diverged_are_never_chosen() {
        let mut diverged = entry(0, 0.1, 0.1);
        diverged.score = None;
        let fine = entry(1, 1.0, 1.0);
        assert_eq!(choose(&[&diverged, &fine], |_| 1, 1).unwrap().accurate.candidate, 1);
        assert!(choose(&[&diverged], |_| 1, 1).is_none());
    }
}
