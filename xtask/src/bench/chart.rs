//! The chart of one axis of a sweep: the measurements and the ideal growth.

use anyhow::{Context, Result};
use enas_chart::{Chart, ChartAxis, ChartSeries, Format, Mark};

use super::point::{Ideal, Point};

/// Number of segments of the ideal curve.
const STEPS: u32 = 60;

/// The chart as an SVG document.
pub(crate) fn svg(label: &str, ideal: Ideal, points: &[Point]) -> Result<String> {
    let measured: Vec<[f64; 2]> =
        points.iter().map(|point| [f64::from(point.value), point.measured.median_ms]).collect();
    let first = *measured.first().context("an axis without values has no chart")?;
    let right = measured.iter().map(|[x, _]| *x).fold(0.0, f64::max);
    let chart = Chart {
        title: "One search step".into(),
        description: format!("Time of a search step by {label}: measured, and {}.", ideal.name()),
        x: ChartAxis { from: Some(0.0), ..ChartAxis::new(label, Format::Whole) },
        y: ChartAxis { from: Some(0.0), ..ChartAxis::new("median, ms", Format::Number) },
        series: vec![
            // The third colour is dashed.
            ChartSeries::line(ideal.name(), 3, curve(ideal, first, right)),
            ChartSeries::line("measured", 1, measured).with(Mark::Dots),
        ],
        ..Chart::default()
    };
    Ok(chart.svg_file())
}

/// The ideal curve through the first measured point, up to `right`.
fn curve(ideal: Ideal, [x0, y0]: [f64; 2], right: f64) -> Vec<[f64; 2]> {
    let x = |i: u32| x0 + (right - x0) * f64::from(i) / f64::from(STEPS);
    (0..=STEPS).map(|i| [x(i), y0 * ideal.growth(x(i) / x0)]).collect()
}

impl Ideal {
    /// The ideal growth of the time when the dimension grows by the factor `times`.
    fn growth(self, times: f64) -> f64 {
        match self {
            Ideal::Proportional => times,
            Ideal::Quadratic => times * times,
            Ideal::Shared => 1.0 / times,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Ideal::Proportional => "in proportion",
            Ideal::Quadratic => "with the square",
            Ideal::Shared => "work shared evenly",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::point::tests::point;
    use super::*;

    #[test]
    fn the_curves_start_at_the_first_point() {
        for ideal in [Ideal::Proportional, Ideal::Quadratic, Ideal::Shared] {
            assert_eq!(curve(ideal, [2.0, 10.0], 8.0)[0], [2.0, 10.0]);
        }
        assert_eq!(curve(Ideal::Proportional, [2.0, 10.0], 8.0).last(), Some(&[8.0, 40.0]));
        assert_eq!(curve(Ideal::Quadratic, [2.0, 10.0], 8.0).last(), Some(&[8.0, 160.0]));
        assert_eq!(curve(Ideal::Shared, [2.0, 10.0], 8.0).last(), Some(&[8.0, 2.5]));
    }

    #[test]
    fn a_chart_names_its_axis_and_shows_each_point() {
        let text = svg("images per step", Ideal::Proportional, &[point(16, 10.0), point(32, 21.0)]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains("images per step"));
        assert_eq!(text.matches("<circle").count(), 1 + 2, "in the legend, and one for each point");
    }

    #[test]
    fn one_value_is_enough_for_a_chart_and_none_is_not() {
        assert!(svg("threads", Ideal::Shared, &[point(1, 10.0)]).is_ok());
        assert!(svg("threads", Ideal::Shared, &[]).is_err());
    }
}
