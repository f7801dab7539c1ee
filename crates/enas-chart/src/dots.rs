//! Dot plots: one dot per value, stacked where values are close. They show the distribution and every value.

use std::fmt::Write;

use crate::axis::ChartAxis;
use crate::element::{WIDTH, open, text};

/// A dot plot: rows of dots above a common axis.
#[derive(Clone, Debug, Default)]
pub struct DotPlot {
    /// The title.
    pub title: String,
    /// A description of the plot for screen readers.
    pub description: String,
    /// The axis of the values.
    pub x: ChartAxis,
    /// The rows, from top to bottom.
    pub rows: Vec<DotRow>,
}

/// A row of dots.
#[derive(Clone, Debug)]
pub struct DotRow {
    /// The name of the row.
    pub name: String,
    /// The values. Those that are not finite are left out.
    pub values: Vec<f64>,
    /// A value to mark with a ring, such as that of the selected architecture.
    pub chosen: Option<f64>,
    /// The number of the colour, 1 to 6.
    pub colour: usize,
}

const LEFT: f64 = 12.0;
const RIGHT: f64 = WIDTH - 12.0;
const RADIUS: f64 = 3.2;
/// Height of a row of dots, in chart units. [`HEADING`] is the height of the heading above it.
const ROW: f64 = 84.0;
const HEADING: f64 = 30.0;

impl DotPlot {
    /// The plot as an SVG element. `id` must be unique in the page.
    pub fn svg(&self, id: &str) -> String {
        let values = self.rows.iter().flat_map(|row| row.values.iter().chain(&row.chosen).copied());
        let scale = self.x.scale(values);
        let x = |value: f64| LEFT + scale.share(value) * (RIGHT - LEFT);
        let bottom = self.rows.len() as f64 * (ROW + HEADING);
        let mut svg = open(id, bottom + 42.0, &self.title, &self.description);
        for (value, label) in scale.ticks() {
            let at = x(value);
            write!(svg, "<path class=\"grid\" d=\"M{at:.1} {HEADING}V{bottom:.1}\"/>")
                .expect("a string grows");
            svg.push_str(&text(at, bottom + 17.0, "tick", "middle", &label));
        }
        svg.push_str(&text((LEFT + RIGHT) / 2.0, bottom + 34.0, "axis", "middle", &self.x.label));
        for (i, row) in self.rows.iter().enumerate() {
            svg.push_str(&row.svg(self, i as f64 * (ROW + HEADING), &x));
        }
        svg.push_str("</svg>");
        svg
    }
}

impl DotRow {
    fn svg(&self, plot: &DotPlot, top: f64, x: &dyn Fn(f64) -> f64) -> String {
        let base = top + HEADING + ROW;
        let values: Vec<f64> = self.values.iter().copied().filter(|value| value.is_finite()).collect();
        let mut svg = format!("<path class=\"base\" d=\"M{LEFT} {base:.1}H{RIGHT}\"/>");
        let mean = mean(&values);
        let heading = match mean {
            Some(mean) => format!("{} ({}), mean {}", self.name, values.len(), plot.x.format.value(mean)),
            None => format!("{} (none)", self.name),
        };
        svg.push_str(&text(LEFT, top + 20.0, "legend", "start", &heading));
        let (columns, tallest) = stacks(values.iter().map(|&value| x(value)));
        let step = (2.0 * RADIUS).min((ROW - 2.0 * RADIUS) / tallest.max(1) as f64);
        let mut marked = false;
        let chosen = self.chosen.map(x);
        for (at, count) in columns {
            for i in 0..count {
                let y = base - RADIUS - 1.0 - step * i as f64;
                let colour = self.colour;
                write!(svg, "<circle class=\"f{colour}\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\"/>")
                    .expect("a string grows");
                if !marked && i == 0 && chosen.is_some_and(|chosen| (chosen - at).abs() <= RADIUS + 0.01) {
                    marked = true;
                    write!(
                        svg,
                        "<circle class=\"chosen\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"{:.1}\"/>",
                        RADIUS + 3.0
                    )
                    .expect("a string grows");
                }
            }
        }
        if let Some(mean) = mean {
            let at = x(mean);
            write!(svg, "<path class=\"mean\" d=\"M{at:.1} {:.1}V{base:.1}\"/>", top + HEADING)
                .expect("a string grows");
        }
        svg
    }
}

/// Rounds positions to columns that are one dot wide.
///
/// Returns the columns, each with its number of dots, and the largest of these numbers.
fn stacks(positions: impl Iterator<Item = f64>) -> (Vec<(f64, usize)>, usize) {
    let mut columns: Vec<i64> = positions.map(|x| (x / (2.0 * RADIUS)).round() as i64).collect();
    columns.sort_unstable();
    let runs: Vec<(f64, usize)> =
        columns.chunk_by(|a, b| a == b).map(|run| (run[0] as f64 * 2.0 * RADIUS, run.len())).collect();
    let tallest = runs.iter().map(|(_, n)| *n).max().unwrap_or(0);
    (runs, tallest)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn plot(values: Vec<f64>) -> String {
        let row = DotRow { name: "arcs".into(), chosen: Some(0.9), values, colour: 1 };
        let x = ChartAxis::new("accuracy", Format::Percent);
        DotPlot { title: "t".into(), description: "d".into(), x, rows: vec![row] }.svg("p")
    }

    #[test]
    fn every_value_has_a_dot_inside_its_row() {
        let svg = plot((0..300).map(|i| 0.5 + 0.001 * f64::from(i % 7)).chain([0.9, f64::NAN]).collect());
        let dots = svg.matches("<circle class=\"f1\"").count();
        assert_eq!(dots, 301);
        let heights =
            svg.split(" cy=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap());
        assert!(
            heights.clone().all(|y| (HEADING..HEADING + ROW).contains(&y)),
            "{:?}",
            heights.min_by(f64::total_cmp)
        );
        assert_eq!(svg.matches("class=\"chosen\"").count(), 1);
        assert!(svg.contains("arcs (301), mean 50.4 %"), "{svg}");
    }

    #[test]
    fn no_values_are_no_error() {
        assert!(plot(vec![]).contains("arcs (none)"));
    }
}
