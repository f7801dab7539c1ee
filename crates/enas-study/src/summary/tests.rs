use enas_arc::Arc;

use super::*;
use crate::record::{TrialKey, tests::trial};

pub(crate) const COUNTS: StudyCounts =
    StudyCounts { pool: 12, wide: 3, searches: 3, seeds: 2, pick_seeds: 2, controls: 2 };

pub(crate) fn subject() -> StudyInfo {
    StudyInfo { data: "photos".into(), seed: 5, counts: COUNTS }
}

/// Trainings in which found architectures are better than random ones by `gain`, and random ones of equal size by
/// `by_size`.
pub(crate) fn study(gain: f64, by_size: f64) -> (Vec<StudyTrial>, Vec<SearchPick>) {
    let mut trials = Vec::new();
    let mut stream = Seed::new(11).stream("test", &[]);
    let mut add = |group, index: usize, repeats: u64, level: f64, size| {
        let arc = Arc::random(3, &mut stream);
        for repeat in 0..repeats {
            let noise = 0.002 * f64::from(stream.normal());
            trials.push(trial(TrialKey { group, index, repeat }, &arc, level + noise, size));
        }
        arc
    };
    for i in 0..12 {
        add(Group::Pool, i, 2, 0.80 + 0.005 * i as f64, (1000 + 10 * i, 5000));
    }
    (0..3).for_each(|i| drop(add(Group::Wide, i, 2, 0.85, (1100, 5000))));
    let middle = 0.80 + 0.005 * 5.5;
    let found: Vec<Arc> = (0..3).map(|i| add(Group::SearchPick, i, 2, middle + gain, (1100, 4000))).collect();
    (0..6).for_each(|i| drop(add(Group::Control, i, 1, middle + by_size, (1100, 4100))));
    let small: Vec<Arc> = (0..3).map(|i| add(Group::Small, i, 2, middle, (600, 2000))).collect();
    let pick = |(index, (arc, small))| SearchPick {
        index,
        seed: 6 + index as u64,
        arc,
        small: Some(small),
        valid_accuracy: 0.7,
        random_valid_accuracy: Some(0.5),
        seconds: 3.0,
    };
    (trials, found.into_iter().zip(small).enumerate().map(pick).collect())
}

#[test]
fn a_gain_is_found_and_called_one() {
    let (trials, picks) = study(0.05, 0.0);
    let found = StudySummary::of(&subject(), &trials, &picks);
    let gain = found.gain_points.unwrap();
    assert!((gain.mean - 5.0).abs() < 0.3 && gain.low > 3.0 && gain.high < 7.0, "{gain:?}");
    assert_eq!(found.comparisons.random, Some(Comparison::Better));
    assert_eq!(found.comparisons.equal_size, Some(Comparison::Better));
    assert!(found.percentile.iter().all(|p| *p == 100.0), "{:?}", found.percentile);
    // Levels from 80.0 to 85.5 in steps of half a point have a standard deviation of 1.8.
    let sigma = found.gain_sigma.unwrap();
    assert!((sigma - 5.0 / 1.8).abs() < 0.3, "{sigma}");
    assert_eq!((found.done, found.total, found.missing.len()), (24 + 6 + 6 + 6 + 6 + 3, 51, 0));
    let small = found.gain_small.unwrap();
    assert!(small.low < 0.0 && small.high > 0.0, "{small:?}");
    assert!((found.small_macs_share.unwrap() - 0.4).abs() < 1e-9);
    assert_eq!(found.gain_by_search.map(f64::round), Some(20.0));
    assert!(found.hypervolume_ratio.unwrap().low > 1.0, "{:?}", found.hypervolume_ratio);
}

#[test]
fn size_alone_is_no_gain_at_equal_size() {
    let (trials, picks) = study(0.05, 0.05);
    let found = StudySummary::of(&subject(), &trials, &picks);
    assert_eq!(found.comparisons.random, Some(Comparison::Better));
    assert_eq!(found.comparisons.equal_size, Some(Comparison::NoMeasurableDifference));
}

#[test]
fn harm_is_called_harm_whatever_the_search_says_of_itself() {
    let (trials, picks) = study(-0.05, 0.0);
    let found = StudySummary::of(&subject(), &trials, &picks);
    assert_eq!(found.comparisons.random, Some(Comparison::Worse));
    assert!(found.gain_by_search.unwrap() > 0.0);
}

#[test]
fn nothing_found_is_no_measurable_difference() {
    let (trials, picks) = study(0.003, 0.0);
    let found = StudySummary::of(&subject(), &trials, &picks);
    assert_eq!(found.comparisons.random, Some(Comparison::NoMeasurableDifference));
}

#[test]
fn the_order_of_the_records_changes_nothing() {
    let (mut trials, picks) = study(0.01, 0.0);
    let one = serde_json::to_string(&StudySummary::of(&subject(), &trials, &picks)).unwrap();
    trials.reverse();
    assert_eq!(serde_json::to_string(&StudySummary::of(&subject(), &trials, &picks)).unwrap(), one);
}

#[test]
fn what_is_not_there_yet_is_named_and_not_made_up() {
    let (trials, picks) = study(0.05, 0.0);
    let early: Vec<StudyTrial> =
        trials.into_iter().filter(|t| t.key.group == Group::Pool && t.key.repeat == 0).take(7).collect();
    let found = StudySummary::of(&subject(), &early, &picks[..1]);
    assert_eq!((found.tau, found.gain_points, found.seed_tau), (None, None, None));
    assert!(found.percentile.is_empty() && found.comparisons.random.is_none());
    assert_eq!(found.missing[0], "7 of 24 trainings of random architectures");
    assert_eq!(found.missing[1], "1 of 3 searches");
    let nothing = StudySummary::of(&subject(), &[], &[]);
    assert!(nothing.groups.is_empty() && nothing.best_of.is_empty());
    serde_json::to_string(&nothing).unwrap();
}

#[test]
fn the_promised_keys_are_there() {
    let (trials, picks) = study(0.05, 0.0);
    let found = serde_json::to_value(StudySummary::of(&subject(), &trials, &picks)).unwrap();
    for key in
        ["tau", "tau_low", "tau_high", "seed_tau", "precision_top10", "gain_sigma", "tau_disattenuated"]
    {
        assert!(found[key].is_number(), "{key}: {}", found[key]);
    }
    assert_eq!(found["percentile"].as_array().unwrap().len(), 3);
    for key in ["gain_points", "gain_equal_size", "gain_wide", "hypervolume_ratio"] {
        assert!(
            ["mean", "low", "high"].iter().all(|end| found[key][end].is_number()),
            "{key}: {}",
            found[key]
        );
    }
}
