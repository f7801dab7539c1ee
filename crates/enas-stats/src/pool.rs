//! One value compared with a pool of others, and the expected result of draws from a pool.

/// Percentile rank of `value` in the pool, from 0 to 100; equal values count half. NaN for an empty pool.
pub fn percentile(value: f64, pool: &[f64]) -> f64 {
    let below = pool.iter().filter(|x| **x < value).count() as f64;
    let equal = pool.iter().filter(|x| **x == value).count() as f64;
    100.0 * (below + 0.5 * equal) / pool.len() as f64
}

/// Regret: the largest value of the pool minus `value`. Negative if `value` is above all. NaN for an empty pool.
pub fn regret(value: f64, pool: &[f64]) -> f64 {
    pool.iter().copied().reduce(f64::max).unwrap_or(f64::NAN) - value
}

/// The expected maximum of `k` values drawn from the pool without replacement. `None` if `k` is 0 or larger than the
/// pool.
pub fn expected_best(pool: &[f64], k: usize) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = pool.iter().map(|x| (*x, *x)).collect();
    expected_choice(&pairs, k)
}

/// The expected value of the highest-scored of `k` members drawn from the pool without replacement. Each member is
/// (score, value); ties are broken at random. `None` as for [`expected_best`].
pub fn expected_choice(pool: &[(f64, f64)], k: usize) -> Option<f64> {
    if k == 0 || k > pool.len() {
        return None;
    }
    let mut ranked = pool.to_vec();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    // The probability that rank i (from 0) is drawn and no better rank is. It is k/n for the first rank. From rank i
    // to i + 1 it is multiplied by (n − k − i)/(n − 1 − i).
    let n = ranked.len() as f64;
    let mut chance = k as f64 / n;
    let mut sum = 0.0;
    let mut place = 0;
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let mean = tied.iter().map(|(_, value)| value).sum::<f64>() / tied.len() as f64;
        for _ in tied {
            sum += chance * mean;
            let i = f64::from(place);
            chance *= ((n - k as f64 - i) / (n - 1.0 - i).max(1.0)).max(0.0);
            place += 1;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_count_ties_half() {
        let pool = [1.0, 2.0, 2.0, 3.0];
        assert_eq!([0.0, 1.0, 2.0, 2.5, 9.0].map(|x| percentile(x, &pool)), [0.0, 12.5, 50.0, 75.0, 100.0]);
        assert!(percentile(1.0, &[]).is_nan());
    }

    #[test]
    fn regret_is_what_the_best_has_more() {
        assert_eq!(regret(2.0, &[1.0, 5.0, 3.0]), 3.0);
        assert_eq!(regret(6.0, &[1.0, 5.0]), -1.0);
    }

    /// Enumerates every subset.
    fn by_enumeration(pool: &[(f64, f64)], k: usize) -> f64 {
        let subsets = (0u32..1 << pool.len()).filter(|bits| bits.count_ones() as usize == k);
        let best = |bits: u32| {
            let members: Vec<(f64, f64)> =
                (0..pool.len()).filter(|i| bits >> i & 1 == 1).map(|i| pool[i]).collect();
            let top = members.iter().map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
            let tied: Vec<f64> = members.iter().filter(|(s, _)| *s == top).map(|(_, v)| *v).collect();
            tied.iter().sum::<f64>() / tied.len() as f64
        };
        let all: Vec<f64> = subsets.map(best).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn the_expected_best_of_all_is_the_best_and_of_one_the_mean() {
        let pool = [4.0, 1.0, 7.0];
        // Subsets of two: {4,1}, {4,7}, {1,7}.
        for (k, expected) in [(1, 4.0), (2, 18.0 / 3.0), (3, 7.0)] {
            assert!((expected_best(&pool, k).unwrap() - expected).abs() < 1e-12, "{k}");
        }
        assert_eq!((expected_best(&pool, 4), expected_best(&pool, 0)), (None, None));
    }

    proptest! {
        #[test]
        fn choices_are_those_of_all_subsets(
            pool in proptest::collection::vec((0i32..5, -3.0f64..3.0), 1..8), k in 1usize..8,
        ) {
            let pool: Vec<(f64, f64)> = pool.into_iter().map(|(s, v)| (f64::from(s), v)).collect();
            match expected_choice(&pool, k) {
                None => prop_assert!(k > pool.len()),
                Some(found) => prop_assert!((found - by_enumeration(&pool, k)).abs() < 1e-9),
            }
        }
    }
}
