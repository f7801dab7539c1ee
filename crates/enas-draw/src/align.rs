//! Positions of boxes in a row: as close as possible to where each should be, without overlap.

/// A box in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowItem {
    /// The preferred position of its centre, in pixels.
    pub(crate) target: f64,
    /// Cost of one squared pixel of distance from `target`; greater than 0.
    pub(crate) weight: f64,
    /// Its width in pixels, with half of the gap on either side.
    pub(crate) width: f64,
}

/// Returns the centres, in the order of `row`, that minimise the sum of `weight · (centre − target)²`.
///
/// Neighbouring centres must be at least half the sum of their widths apart. After subtraction of these offsets the
/// centres only have to be non-decreasing. That is weighted isotonic regression; the pool-adjacent-violators
/// algorithm (PAVA) solves it exactly.
pub(crate) fn align(row: &[RowItem]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (i, row_item) in row.iter().enumerate() {
        if i > 0 {
            offset += (row[i - 1].width + row_item.width) / 2.0;
        }
        offsets.push(offset);
    }
    // Pool adjacent violators: a pool whose mean is below that of its predecessor is merged with it.
    let mut pools: Vec<Pool> = Vec::new();
    for (row_item, offset) in row.iter().zip(&offsets) {
        let mut pool =
            Pool { sum: row_item.weight * (row_item.target - offset), weight: row_item.weight, len: 1 };
        while let Some(before) = pools.last().filter(|before| before.mean() > pool.mean()) {
            pool = pool.with(before);
            pools.pop();
        }
        pools.push(pool);
    }
    let means = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.mean(), pool.len));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

/// Boxes that touch and move together: the weighted sum of their targets less offsets, the weight and the count.
struct Pool {
    sum: f64,
    weight: f64,
    len: usize,
}

impl Pool {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    fn with(&self, other: &Pool) -> Pool {
        Pool { sum: self.sum + other.sum, weight: self.weight + other.weight, len: self.len + other.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_item(target: f64, weight: f64, width: f64) -> RowItem {
        RowItem { target, weight, width }
    }

    #[test]
    fn wishes_that_do_not_collide_come_true() {
        assert_eq!(align(&[row_item(0.0, 1.0, 10.0), row_item(50.0, 2.0, 30.0)]), [0.0, 50.0]);
    }

    #[test]
    fn equal_wishes_are_spread_around() {
        assert_eq!(
            align(&[row_item(5.0, 1.0, 4.0), row_item(5.0, 1.0, 4.0), row_item(5.0, 1.0, 4.0)]),
            [1.0, 5.0, 9.0]
        );
    }

    #[test]
    fn the_heavier_one_stays_nearer() {
        assert_eq!(align(&[row_item(0.0, 3.0, 4.0), row_item(0.0, 1.0, 4.0)]), [-1.0, 3.0]);
    }

    #[test]
    fn the_order_is_kept_against_wishes() {
        assert_eq!(align(&[row_item(10.0, 1.0, 2.0), row_item(0.0, 1.0, 2.0)]), [4.0, 6.0]);
    }
}
