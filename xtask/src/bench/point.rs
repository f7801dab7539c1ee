//! The points of a sweep and the curve they are compared with.

use super::program::Measurement;

/// The ideal growth to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ideal {
    /// Twice the work takes twice the time.
    Proportional,
    /// The time grows with the square, because images have two sides.
    Quadratic,
    /// Twice the threads take half the time.
    Shared,
}

/// The measurement for one value of an axis.
pub(crate) struct Point {
    pub(crate) value: u32,
    pub(crate) measured: Measurement,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn point(value: u32, median_ms: f64) -> Point {
        let measured = Measurement {
            median_ms,
            min_ms: median_ms - 0.5,
            images_per_second: Some(80.0),
            peak_rss_mb: None,
        };
        Point { value, measured }
    }
}
