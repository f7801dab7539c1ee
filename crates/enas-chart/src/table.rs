//! The numbers of a chart as a table, for screen readers and for readers who want exact values.

use crate::axis::Format;
use crate::dots::{DotPlot, DotRow};
use crate::lines::Chart;

/// A table of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartTable {
    /// The caption.
    pub caption: String,
    /// The headings of the columns. The first column holds the headings of the rows.
    pub head: Vec<String>,
    /// The rows; each has as many cells as `head`.
    pub rows: Vec<Vec<String>>,
}

impl Chart {
    /// A table with the values of the chart at no more than `most` evenly spaced places, including the first and the
    /// last.
    pub fn table(&self, most: usize) -> ChartTable {
        // The series with the fewest points is usually a mean per epoch; its places suit the other series, too.
        let places = self.series.iter().filter(|s| !s.points.is_empty()).min_by_key(|s| s.points.len());
        let places: Vec<f64> = places.map_or(Vec::new(), |s| s.points.iter().map(|p| p[0]).collect());
        let head = std::iter::once(self.x.label.clone()).chain(self.series.iter().map(|s| s.name.clone()));
        let row = |&x: &f64| {
            let x_text = self.x.format.value(x);
            std::iter::once(x_text)
                .chain(self.series.iter().map(|s| at(&s.points, x, self.y.format)))
                .collect()
        };
        ChartTable {
            caption: self.title.clone(),
            head: head.collect(),
            rows: evenly(&places, most).iter().map(row).collect(),
        }
    }
}

/// The last value at or before `x`, as text.
fn at(points: &[[f64; 2]], x: f64, format: Format) -> String {
    let known = points.partition_point(|p| p[0] <= x + 1e-9);
    match known.checked_sub(1).map(|i| points[i][1]).filter(|y| y.is_finite()) {
        Some(y) => if format == Format::Whole { Format::Number } else { format }.value(y),
        None => "–".into(),
    }
}

fn evenly(all: &[f64], most: usize) -> Vec<f64> {
    if all.len() <= most {
        return all.to_vec();
    }
    let last = all.len() - 1;
    (0..most).map(|i| all[(i * last + (most - 1) / 2) / (most - 1)]).collect()
}

impl DotPlot {
    /// Count, minimum, median, mean and maximum of each row.
    pub fn table(&self) -> ChartTable {
        let head = ["", "count", "lowest", "median", "mean", "highest"].map(str::to_owned).to_vec();
        let row = |row: &DotRow| {
            let mut values: Vec<f64> = row.values.iter().copied().filter(|v| v.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            let n = values.len();
            let mut cells = vec![row.name.clone(), n.to_string()];
            if n == 0 {
                cells.extend(["–"; 4].map(str::to_owned));
            } else {
                let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
                let mean = values.iter().sum::<f64>() / n as f64;
                cells.extend([values[0], median, mean, values[n - 1]].map(|v| self.x.format.value(v)));
            }
            cells
        };
        ChartTable { caption: self.title.clone(), head, rows: self.rows.iter().map(row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChartAxis, ChartSeries};

    #[test]
    fn rows_are_the_coarse_places_with_the_last_known_value_of_each_series() {
        let chart = Chart {
            x: ChartAxis::new("epoch", Format::Whole),
            y: ChartAxis::new("accuracy", Format::Percent),
            series: vec![
                ChartSeries::line(
                    "steps",
                    1,
                    (0..100).map(|i| [f64::from(i) / 10.0, f64::from(i) / 100.0]).collect(),
                ),
                ChartSeries::line("epochs", 2, (1..=9).map(|i| [f64::from(i), 0.5]).collect()),
                ChartSeries::line("late", 3, vec![]),
            ],
            ..Chart::default()
        };
        let table = chart.table(3);
        assert_eq!(table.head, ["epoch", "steps", "epochs", "late"]);
        assert_eq!(
            table.rows,
            [["1", "10.0 %", "50.0 %", "–"], ["5", "50.0 %", "50.0 %", "–"], ["9", "90.0 %", "50.0 %", "–"]]
        );
    }

    #[test]
    fn a_row_of_dots_becomes_its_five_numbers() {
        let row = |values| DotRow { name: "arcs".into(), values, chosen: None, colour: 1 };
        let plot = DotPlot {
            x: ChartAxis::new("", Format::Percent),
            rows: vec![row(vec![0.3, 0.1, 0.2, 0.9])],
            ..DotPlot::default()
        };
        assert_eq!(plot.table().rows, [["arcs", "4", "10.0 %", "25.0 %", "37.5 %", "90.0 %"]]);
        let none = DotPlot { rows: vec![row(vec![])], ..DotPlot::default() };
        assert_eq!(none.table().rows[0][1..], ["0", "–", "–", "–", "–"]);
    }
}
