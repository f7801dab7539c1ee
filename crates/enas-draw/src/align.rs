//! Where things stand beside each other: as near as possible to where they want to be, without overlap.

/// Something in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Where its centre wants to be.
    pub(crate) wish: f64,
    /// How much a unit of distance from there costs, above 0; cost grows with the square.
    pub(crate) weight: f64,
    /// Its width, with half of the gap to either side.
    pub(crate) width: f64,
}

/// The centres, in the order of `row`, that cost least in sum of `weight · (centre − wish)²`.
///
/// Distances of centres are given by the widths as lower bounds; less these, centres must not decrease. That is
/// isotonic regression, which pooling of adjacent violators solves exactly.
pub(crate) fn align(row: &[Seat]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (i, seat) in row.iter().enumerate() {
        if i > 0 {
            offset += (row[i - 1].width + seat.width) / 2.0;
        }
        offsets.push(offset);
    }
    let mut pools: Vec<Pool> = Vec::new();
    for (seat, offset) in row.iter().zip(&offsets) {
        let mut pool = Pool { sum: seat.weight * (seat.wish - offset), weight: seat.weight, len: 1 };
        while let Some(before) = pools.last().filter(|before| before.mean() > pool.mean()) {
            pool = pool.with(before);
            pools.pop();
        }
        pools.push(pool);
    }
    let means = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.mean(), pool.len));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

/// Seats that touch.
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

    fn seat(wish: f64, weight: f64, width: f64) -> Seat {
        Seat { wish, weight, width }
    }

    #[test]
    fn wishes_that_do_not_collide_come_true() {
        assert_eq!(align(&[seat(0.0, 1.0, 10.0), seat(50.0, 2.0, 30.0)]), [0.0, 50.0]);
    }

    #[test]
    fn equal_wishes_are_spread_around() {
        assert_eq!(align(&[seat(5.0, 1.0, 4.0), seat(5.0, 1.0, 4.0), seat(5.0, 1.0, 4.0)]), [1.0, 5.0, 9.0]);
    }

    #[test]
    fn the_heavier_one_stays_nearer() {
        assert_eq!(align(&[seat(0.0, 3.0, 4.0), seat(0.0, 1.0, 4.0)]), [-1.0, 3.0]);
    }

    #[test]
    fn the_order_is_kept_against_wishes() {
        assert_eq!(align(&[seat(10.0, 1.0, 2.0), seat(0.0, 1.0, 2.0)]), [4.0, 6.0]);
    }
}
