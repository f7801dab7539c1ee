//! Pareto fronts of quality and cost, and their hypervolume.

/// A point with a quality, where more is better, and a cost, where less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The quality; more is better.
    pub quality: f64,
    /// The cost; less is better.
    pub cost: f64,
}

/// The indices of the Pareto-optimal points, from the cheapest to the best. No other point is at least as good in
/// both respects and better in one. Of equal points the first is taken.
pub fn pareto_front(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let a = points[a];
        let b = points[b];
        a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let is_better = points[i].quality > best;
        best = best.max(points[i].quality);
        is_better
    });
    order
}

/// The hypervolume: the area between the Pareto front of the points and a reference point that is worse in both
/// respects. Points that are not better than the reference point in both contribute nothing.
pub fn hypervolume(points: &[Point], reference: Point) -> f64 {
    let is_inside = |p: &&Point| p.quality > reference.quality && p.cost < reference.cost;
    let inside: Vec<Point> = points.iter().filter(is_inside).copied().collect();
    let front: Vec<Point> = pareto_front(&inside).into_iter().map(|i| inside[i]).collect();
    let ends = front.iter().skip(1).map(|point| point.cost).chain([reference.cost]);
    // A staircase: from each point to the next more expensive one, with the height of the point.
    front.iter().zip(ends).map(|(point, end)| (point.quality - reference.quality) * (end - point.cost)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(list: &[(f64, f64)]) -> Vec<Point> {
        list.iter().map(|&(quality, cost)| Point { quality, cost }).collect()
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let all = points(&[(0.5, 3.0), (0.7, 4.0), (0.6, 5.0), (0.5, 2.0), (0.7, 4.0), (0.4, 1.0)]);
        assert_eq!(pareto_front(&all), [5, 3, 1]);
        assert!(pareto_front(&[]).is_empty());
    }

    #[test]
    fn areas_are_those_computed_by_hand() {
        let reference = Point { quality: 0.0, cost: 10.0 };
        assert_eq!(hypervolume(&points(&[(2.0, 4.0)]), reference), 12.0);
        // 1 high from 2 to 4, then 2 high to 10; the second point dominates the third.
        assert_eq!(hypervolume(&points(&[(1.0, 2.0), (2.0, 4.0), (1.5, 5.0)]), reference), 14.0);
        assert_eq!(hypervolume(&points(&[(-1.0, 2.0), (2.0, 11.0)]), reference), 0.0);
    }

    /// Counts the cells of a unit grid.
    fn by_counting(points: &[Point], reference: Point) -> f64 {
        let cell = |quality: i32, cost: i32| {
            let quality = f64::from(quality) + 0.5;
            let cost = f64::from(cost) + 0.5;
            quality > reference.quality
                && cost < reference.cost
                && points.iter().any(|p| p.quality >= quality && p.cost <= cost)
        };
        (0..10).flat_map(|q| (0..10).map(move |c| (q, c))).filter(|&(q, c)| cell(q, c)).count() as f64
    }

    proptest! {
        #[test]
        fn areas_are_those_of_a_grid(list in proptest::collection::vec((0i32..10, 0i32..10), 0..8)) {
            let list: Vec<(f64, f64)> =
                list.into_iter().map(|(q, c)| (f64::from(q), f64::from(c))).collect();
            let all = points(&list);
            let reference = Point { quality: 2.0, cost: 9.0 };
            prop_assert_eq!(hypervolume(&all, reference), by_counting(&all, reference));
        }
    }
}
