//! Reduction of the number of points without a visible difference.

/// Returns about `most` of `points`, in order (min-max decimation).
///
/// Kept are the first and the last point, and the lowest and highest of each of `most / 2` consecutive chunks. So no
/// peak is lost.
pub fn thinned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most.max(4) {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(most.max(4) / 2);
    let mut kept = Vec::with_capacity(most + 2);
    for (number, chunk) in points.chunks(stretch).enumerate() {
        let at = number * stretch;
        let by_value = |&i: &usize| points[i][1];
        let indices = || at..at + chunk.len();
        let low = indices().min_by(|a, b| by_value(a).total_cmp(&by_value(b)));
        let high = indices().max_by(|a, b| by_value(a).total_cmp(&by_value(b)));
        kept.extend(low.into_iter().chain(high));
    }
    kept.extend([0, points.len() - 1]);
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|i| points[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_extremes_survive_and_the_order_does() {
        let mut points: Vec<[f64; 2]> =
            (0..10_000).map(|i| [f64::from(i), (f64::from(i) * 0.1).sin()]).collect();
        points[4321][1] = 9.0;
        points[1234][1] = -9.0;
        let kept = thinned(&points, 300);
        assert!((250..=302).contains(&kept.len()), "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[9999]));
        assert!(kept.contains(&[4321.0, 9.0]) && kept.contains(&[1234.0, -9.0]));
        assert!(kept.is_sorted_by(|a, b| a[0] < b[0]));
    }

    #[test]
    fn few_points_are_left_alone() {
        let points: Vec<[f64; 2]> = (0..20).map(|i| [f64::from(i), 1.0]).collect();
        assert_eq!(thinned(&points, 20), points);
        assert_eq!(thinned(&[], 20), Vec::<[f64; 2]>::new());
    }
}
