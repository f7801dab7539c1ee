//! Rank correlation and related measures: how well two orders of the same items agree.

/// Kendall's rank correlation τ-b, from −1 to 1, which corrects for ties (Kendall, 1945). It is the number of
/// concordant minus discordant pairs, divided by the geometric mean of the numbers of untied pairs on each side.
///
/// `None` for lists of different lengths, for NaN values, or if all values of one side are equal.
pub fn kendall_tau_b(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.len() != second.len() || first.iter().chain(second).any(|x| x.is_nan()) {
        return None;
    }
    let mut score = 0i64;
    let mut told_first = 0u64;
    let mut told_second = 0u64;
    for i in 0..first.len() {
        for j in 0..i {
            let a = order(first[i], first[j]);
            let b = order(second[i], second[j]);
            score += a * b;
            told_first += a.unsigned_abs();
            told_second += b.unsigned_abs();
        }
    }
    let told = (told_first as f64 * told_second as f64).sqrt();
    (told > 0.0).then(|| score as f64 / told)
}

/// The sign of a − b.
fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

/// τ corrected for measurement noise on one side (disattenuation); `reliability` is the share of that side's variance
/// that is not noise.
///
/// The correction (Spearman, 1904) is for Pearson's correlation. τ is converted by `r = sin(πτ/2)`, which holds for
/// normal variables. `None` for a reliability of 0 or below. The result is clamped to −1 to 1.
pub fn disattenuated(tau: f64, reliability: f64) -> Option<f64> {
    use std::f64::consts::FRAC_PI_2;
    (reliability > 0.0).then(|| {
        let r = (FRAC_PI_2 * tau).sin() / reliability.min(1.0).sqrt();
        r.clamp(-1.0, 1.0).asin() / FRAC_PI_2
    })
}

/// Share of the `top` items by score that are also among the `top` by truth (precision at k). Items that tie for the
/// last places share them equally. `None` for lists of different lengths, or if `top` is 0 or larger than the list.
pub fn precision_at_top(score: &[f64], truth: &[f64], top: usize) -> Option<f64> {
    if score.len() != truth.len() || top == 0 || top > score.len() {
        return None;
    }
    let chosen = places(score, top);
    let best = places(truth, top);
    Some(chosen.iter().zip(best).map(|(a, b)| a * b).sum::<f64>() / top as f64)
}

/// The share of a place among the `top` that each value has, from 0 to 1.
fn places(values: &[f64], top: usize) -> Vec<f64> {
    let mut descending = values.to_vec();
    descending.sort_by(|a, b| b.total_cmp(a));
    let last = descending[top - 1];
    let above = values.iter().filter(|x| **x > last).count();
    let tied = values.iter().filter(|x| **x == last).count();
    let share = (top - above) as f64 / tied.max(1) as f64;
    let place = |x: &f64| {
        if *x > last {
            1.0
        } else if *x == last {
            share
        } else {
            0.0
        }
    };
    values.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn correlations_are_those_computed_by_hand() {
        let up = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(kendall_tau_b(&up, &[4.0, 6.0, 7.0, 9.0]), Some(1.0));
        assert_eq!(kendall_tau_b(&up, &[4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        // One of six pairs is discordant: (5 − 1)/6.
        assert_eq!(kendall_tau_b(&up, &[1.0, 2.0, 4.0, 3.0]), Some(4.0 / 6.0));
        // Pairs (1,2), (1,3), (2,3), one tied in the second list: 2 of √(3·2).
        assert_eq!(kendall_tau_b(&[1.0, 2.0, 3.0], &[1.0, 1.0, 2.0]), Some(2.0 / 6f64.sqrt()));
    }

    /// The example of scipy.stats.kendalltau: [12, 2, 1, 12, 2] and [1, 4, 7, 1, 0] give -0.47140452079103173.
    #[test]
    fn ties_count_as_in_scipy() {
        let found = kendall_tau_b(&[12.0, 2.0, 1.0, 12.0, 2.0], &[1.0, 4.0, 7.0, 1.0, 0.0]).unwrap();
        assert!((found + 0.471_404_520_791_031_73).abs() < 1e-15, "{found}");
    }

    #[test]
    fn what_tells_nothing_apart_correlates_with_nothing() {
        assert_eq!(kendall_tau_b(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(kendall_tau_b(&[1.0], &[1.0]), None);
        assert_eq!(kendall_tau_b(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(kendall_tau_b(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }

    #[test]
    fn noise_of_the_truth_is_taken_out() {
        assert!((disattenuated(0.4, 1.0).unwrap() - 0.4).abs() < 1e-12);
        // r = sin(36°) = 0.588, over √½: 0.831, which is 56.2° of 90°.
        let found = disattenuated(0.4, 0.5).unwrap();
        assert!((found - 0.624_6).abs() < 1e-3, "{found}");
        assert_eq!(disattenuated(0.9, 0.1), Some(1.0));
        assert_eq!(disattenuated(0.4, 0.0), None);
    }

    #[test]
    fn precision_counts_those_in_both_tops() {
        let truth = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(precision_at_top(&truth, &truth, 2), Some(1.0));
        let score = [8.0, 1.0, 7.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(precision_at_top(&score, &truth, 2), Some(0.5));
        assert_eq!(precision_at_top(&[1.0; 8], &truth, 2), Some(0.25), "ties are chance");
        assert_eq!(precision_at_top(&truth, &truth, 9), None);
        assert_eq!(precision_at_top(&truth, &truth, 0), None);
    }

    proptest! {
        #[test]
        fn correlation_is_symmetric_bounded_and_blind_to_order_keeping_changes(
            pairs in proptest::collection::vec((0i32..6, 0i32..6), 2..20),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) =
                pairs.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
            let found = kendall_tau_b(&a, &b);
            prop_assert_eq!(found, kendall_tau_b(&b, &a));
            let bent: Vec<f64> = a.iter().map(|x| x.exp()).collect();
            prop_assert_eq!(found, kendall_tau_b(&bent, &b));
            if let Some(tau) = found {
                prop_assert!(tau.abs() <= 1.0 + 1e-12);
                let negative: Vec<f64> = a.iter().map(|x| -x).collect();
                prop_assert_eq!(Some(-tau), kendall_tau_b(&negative, &b));
            }
        }
    }
}
