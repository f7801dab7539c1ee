//! The chart of one axis of a sweep: the measurements and the ideal growth.

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::point::{Ideal, Point};

/// Width and height in pixels.
const SIZE: (u32, u32) = (720, 440);
const FONT: &str = "sans-serif";
const MEASURED: RGBColor = RGBColor(31, 90, 166);
const IDEAL: RGBColor = RGBColor(150, 150, 150);
/// Number of segments of the ideal curve.
const STEPS: u32 = 60;

/// The chart as an SVG document.
pub(crate) fn svg(label: &str, ideal: Ideal, points: &[Point]) -> Result<String> {
    let first = points.first().context("an axis without values has no chart")?;
    let at = |point: &Point| (f64::from(point.value), point.measured.median_ms);
    let (first, measured): (_, Vec<(f64, f64)>) = (at(first), points.iter().map(at).collect());
    let right = measured.iter().map(|(x, _)| *x).fold(0.0, f64::max);
    let curve = curve(ideal, first, right);
    let top = measured.iter().chain(&curve).map(|(_, y)| *y).fold(0.0, f64::max);
    let mut text = String::new();
    draw(&mut text, label, ideal, &measured, &curve, (1.05 * right, 1.05 * top))
        .map_err(|error| anyhow::anyhow!("cannot draw the chart of {label}: {error}"))?;
    Ok(text)
}

fn draw(
    text: &mut String,
    label: &str,
    ideal: Ideal,
    measured: &[(f64, f64)],
    curve: &[(f64, f64)],
    (right, top): (f64, f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .caption("One search step", (FONT, 20))
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(label)
        .y_desc("median, ms")
        .label_style((FONT, 14))
        .x_labels(labels(right))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| if top < 10.0 { format!("{y:.1}") } else { format!("{y:.0}") })
        .draw()?;
    let dashes = DashedLineSeries::new(curve.iter().copied(), 5, 4, IDEAL.stroke_width(2));
    chart.draw_series(dashes)?.label(ideal.name()).legend(|(x, y)| key(x, y, IDEAL));
    let line = LineSeries::new(measured.iter().copied(), MEASURED.stroke_width(2));
    chart.draw_series(line)?.label("measured").legend(|(x, y)| key(x, y, MEASURED));
    chart.draw_series(measured.iter().map(|&at| Circle::new(at, 4, MEASURED.filled())))?;
    let place =
        if ideal == Ideal::Shared { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::UpperLeft };
    chart.configure_series_labels().position(place).label_font((FONT, 14)).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

/// Maximum number of labels of an axis: no more than there are integers, as fractions would be rounded to equal
/// labels.
fn labels(right: f64) -> usize {
    (right as usize + 1).clamp(2, 11)
}

fn key(x: i32, y: i32, colour: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
}

/// The ideal curve through the first measured point, up to `right`.
fn curve(ideal: Ideal, (x0, y0): (f64, f64), right: f64) -> Vec<(f64, f64)> {
    let x = |i: u32| x0 + (right - x0) * f64::from(i) / f64::from(STEPS);
    (0..=STEPS).map(|i| (x(i), y0 * ideal.growth(x(i) / x0))).collect()
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
            assert_eq!(curve(ideal, (2.0, 10.0), 8.0)[0], (2.0, 10.0));
        }
        assert_eq!(curve(Ideal::Proportional, (2.0, 10.0), 8.0).last(), Some(&(8.0, 40.0)));
        assert_eq!(curve(Ideal::Quadratic, (2.0, 10.0), 8.0).last(), Some(&(8.0, 160.0)));
        assert_eq!(curve(Ideal::Shared, (2.0, 10.0), 8.0).last(), Some(&(8.0, 2.5)));
    }

    #[test]
    fn a_chart_names_its_axis_and_shows_each_point() {
        let text = svg("images per step", Ideal::Proportional, &[point(16, 10.0), point(32, 21.0)]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains("images per step"));
        assert_eq!(text.matches("<circle").count(), 2);
    }

    #[test]
    fn a_short_axis_has_few_numbers() {
        assert_eq!([0.5, 2.1, 268.8].map(labels), [2, 3, 11]);
    }

    #[test]
    fn one_value_is_enough_for_a_chart_and_none_is_not() {
        assert!(svg("threads", Ideal::Shared, &[point(1, 10.0)]).is_ok());
        assert!(svg("threads", Ideal::Shared, &[]).is_err());
    }
}
