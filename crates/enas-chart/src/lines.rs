//! Charts with two axes: lines, bars and dots in one coordinate system.

use std::fmt::Write;

use crate::STYLE;
use crate::axis::{ChartAxis, Format, Scale};
use crate::element::{WIDTH, open, text, width_of};
use crate::escape::Escaped;
use crate::thin::thinned;

/// A chart with two axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// A description of the chart for screen readers.
    pub description: String,
    /// The horizontal axis.
    pub x: ChartAxis,
    /// The vertical axis.
    pub y: ChartAxis,
    /// The series. Later ones are drawn over earlier ones.
    pub series: Vec<ChartSeries>,
    /// Horizontal reference lines.
    pub rules: Vec<Rule>,
}

/// A series of points.
#[derive(Clone, Debug)]
pub struct ChartSeries {
    /// Name in the legend.
    pub name: String,
    /// `[x, y]` in ascending order of `x`. Points with a value that is not finite are left out.
    pub points: Vec<[f64; 2]>,
    /// How the points are drawn.
    pub mark: Mark,
    /// The number of the colour, 1 to 6.
    pub colour: usize,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A line. From the third colour on, a dash pattern also distinguishes it.
    Line,
    /// A thin, pale line without a label at its end, for noisy values whose mean another line shows.
    Faint,
    /// Vertical bars from the axis to each point. The number is their width in units of `x`.
    Bars(f64),
    /// A dot for each point.
    Dots,
}

/// A horizontal reference line.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its label.
    pub label: String,
    /// Its position on the vertical axis.
    pub y: f64,
}

/// Maximum number of points drawn per series.
const POINTS: usize = 320;

const LEFT: f64 = 66.0;
const PLOT_HEIGHT: f64 = 165.0;
const LEGEND_LINE: f64 = 18.0;
const BELOW: f64 = 42.0;

/// The plot area, in chart units, and its scales.
struct Frame {
    x: Scale,
    y: Scale,
    top: f64,
    right: f64,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (self.right - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - self.y.share(value) * PLOT_HEIGHT
    }

    fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }
}

impl Chart {
    /// The chart as an SVG element. `id` must be unique in the page.
    pub fn svg(&self, id: &str) -> String {
        let drawn: Vec<ChartSeries> = self.series.iter().filter_map(ChartSeries::finite).collect();
        let ends = self.ends(&drawn);
        let room = ends.iter().map(|end| width_of(&end.text)).fold(6.0, f64::max);
        let (legend, lines) = self.legend(&drawn);
        let frame = Frame {
            x: self.x.scale(drawn.iter().flat_map(ChartSeries::extent)),
            y: self.y.scale(drawn.iter().flat_map(ChartSeries::values).chain(self.rules.iter().map(|r| r.y))),
            top: LEGEND_LINE * lines as f64 + 10.0,
            right: WIDTH - room - 8.0,
        };
        let mut svg = open(id, frame.bottom() + BELOW, &self.title, &self.description);
        svg.push_str(&legend);
        svg.push_str(&self.measures(&frame));
        svg.push_str(&self.axes(&frame));
        self.rules.iter().for_each(|rule| svg.push_str(&rule.svg(&frame)));
        drawn.iter().for_each(|series| svg.push_str(&series.svg(&frame)));
        svg.push_str(&end_labels(ends, &frame));
        svg.push_str("</svg>");
        svg
    }

    /// The chart as an SVG file, which needs no page around it.
    pub fn svg_file(&self) -> String {
        let svg = self.svg("chart");
        let (opening, content) = svg.split_once('>').expect("a chart is an element");
        format!(
            "{opening} xmlns=\"http://www.w3.org/2000/svg\">\
             <style>{STYLE}.chart {{ background: var(--card); }}</style>{content}\n"
        )
    }

    /// An element with the edges of the plot area and the values there. A script uses it to convert positions to
    /// values.
    fn measures(&self, frame: &Frame) -> String {
        let Frame { x, y, top, right } = frame;
        let unit = if self.y.format == Format::Percent { "percent" } else { "number" };
        format!(
            "<g class=\"frame\" data-box=\"{LEFT} {top:.1} {right:.1} {:.1}\" data-across=\"{} {}\" data-up=\"{} {}\" \
             data-unit=\"{unit}\" data-axis=\"{}\"/>",
            frame.bottom(),
            x.low,
            x.high,
            y.low,
            y.high,
            Escaped(&self.x.label)
        )
    }

    fn axes(&self, frame: &Frame) -> String {
        let mut svg = String::new();
        let right = frame.right;
        let bottom = frame.bottom();
        for (value, label) in frame.y.ticks() {
            let y = frame.y(value);
            write!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right:.1}\"/>").expect("a string grows");
            svg.push_str(&text(LEFT - 6.0, y + 4.0, "tick", "end", &label));
        }
        write!(svg, "<path class=\"base\" d=\"M{LEFT} {bottom:.1}H{right:.1}\"/>").expect("a string grows");
        for (value, label) in frame.x.ticks() {
            let x = frame.x(value);
            write!(svg, "<path class=\"base\" d=\"M{x:.1} {bottom:.1}v4\"/>").expect("a string grows");
            svg.push_str(&text(x, bottom + 17.0, "tick", "middle", &label));
        }
        svg.push_str(&text((LEFT + right) / 2.0, bottom + 34.0, "axis", "middle", &self.x.label));
        let x = 13.0;
        let y = (frame.top + bottom) / 2.0;
        let label = Escaped(&self.y.label);
        write!(
            svg,
            "<text transform=\"translate({x} {y:.1}) rotate(-90)\" class=\"axis\" text-anchor=\"middle\">{label}</text>"
        )
        .expect("a string grows");
        svg
    }

    /// The legend and its number of lines. A single series has no legend.
    fn legend(&self, drawn: &[ChartSeries]) -> (String, usize) {
        if drawn.len() < 2 {
            return (String::new(), 0);
        }
        let mut svg = String::new();
        let mut x = LEFT;
        let mut line = 0;
        for series in drawn {
            let width = 24.0 + width_of(&series.name) + 14.0;
            if x + width > WIDTH + 14.0 && x > LEFT {
                (x, line) = (LEFT, line + 1);
            }
            let y = LEGEND_LINE * line as f64 + 9.0;
            svg.push_str(&series.swatch(x, y));
            svg.push_str(&text(x + 24.0, y + 4.0, "legend", "start", &series.name));
            x += width;
        }
        (svg, line + 1)
    }

    /// A label with the last value of each line.
    fn ends(&self, drawn: &[ChartSeries]) -> Vec<End> {
        let lines = drawn.iter().filter(|series| series.mark == Mark::Line);
        let end = |series: &ChartSeries| {
            let value = series.points.last().expect("empty series are not drawn")[1];
            let format = if self.y.format == Format::Whole { Format::Number } else { self.y.format };
            End { value, text: format.value(value), colour: series.colour }
        };
        lines.map(end).collect()
    }
}

/// A label at the right end of a line.
struct End {
    value: f64,
    text: String,
    colour: usize,
}

/// The labels at the ends of lines, moved vertically where they would overlap.
fn end_labels(mut ends: Vec<End>, frame: &Frame) -> String {
    const APART: f64 = 14.0;
    ends.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut at: Vec<f64> = ends.iter().map(|end| frame.y(end.value)).collect();
    for i in 1..at.len() {
        at[i] = at[i].max(at[i - 1] + APART);
    }
    // Labels that moved below the plot area move up again and push those above them.
    let mut lowest = frame.bottom();
    for y in at.iter_mut().rev() {
        *y = y.min(lowest);
        lowest = *y - APART;
    }
    let label = |(end, y): (&End, f64)| {
        text(frame.right + 6.0, y + 4.0, &format!("end t{}", end.colour), "start", &end.text)
    };
    ends.iter().zip(at).map(label).collect()
}

impl ChartSeries {
    /// A line.
    pub fn line(name: &str, colour: usize, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, mark: Mark::Line, colour }
    }

    /// The same series with another mark.
    #[must_use]
    pub fn with(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    /// The finite points, at most [`POINTS`] of them; `None` if there are none.
    fn finite(&self) -> Option<Self> {
        let finite = |p: &&[f64; 2]| p.iter().all(|x| x.is_finite());
        let points: Vec<[f64; 2]> = self.points.iter().filter(finite).copied().collect();
        (!points.is_empty()).then(|| Self { points: thinned(&points, POINTS), ..self.clone() })
    }

    fn extent(&self) -> impl Iterator<Item = f64> {
        let half = if let Mark::Bars(width) = self.mark { width / 2.0 } else { 0.0 };
        self.points.iter().flat_map(move |p| [p[0] - half, p[0] + half])
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|p| p[1])
    }

    fn dashes(&self) -> &'static str {
        match (self.mark, self.colour) {
            (Mark::Faint, _) => "faint",
            (_, 3) => "line dash",
            (_, 4) => "line dot-dash",
            (_, 5) => "line long-dash",
            _ => "line",
        }
    }

    fn svg(&self, frame: &Frame) -> String {
        let colour = self.colour;
        match self.mark {
            Mark::Line | Mark::Faint if self.points.len() > 1 => {
                let mut d = String::new();
                for (i, &[x, y]) in self.points.iter().enumerate() {
                    let command = if i == 0 { 'M' } else { 'L' };
                    write!(d, "{command}{:.1} {:.1}", frame.x(x), frame.y(y)).expect("a string grows");
                }
                let class = self.dashes();
                let name = Escaped(&self.name);
                format!("<path class=\"{class} c{colour}\" data-name=\"{name}\" d=\"{d}\"/>")
            }
            Mark::Bars(width) => self.points.iter().map(|&p| bar(p, width, colour, frame)).collect(),
            // A line with a single point becomes a dot.
            _ => self.points.iter().map(|&p| dot(p, colour, frame)).collect(),
        }
    }

    /// The symbol of a series in the legend.
    fn swatch(&self, x: f64, y: f64) -> String {
        let colour = self.colour;
        match self.mark {
            Mark::Bars(_) => {
                let top = y - 5.0;
                format!(
                    "<rect class=\"bar f{colour}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"18\" height=\"10\"/>"
                )
            }
            Mark::Dots => {
                format!("<circle class=\"f{colour}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>", x + 9.0)
            }
            _ => format!("<path class=\"{} c{colour}\" d=\"M{x:.1} {y:.1}h18\"/>", self.dashes()),
        }
    }
}

fn bar([x, y]: [f64; 2], width: f64, colour: usize, frame: &Frame) -> String {
    let left = frame.x(x - width / 2.0) + 0.5;
    let right = frame.x(x + width / 2.0) - 0.5;
    let top = frame.y(y);
    let bottom = frame.bottom();
    format!(
        "<rect class=\"bar f{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        right - left,
        bottom - top
    )
}

fn dot([x, y]: [f64; 2], colour: usize, frame: &Frame) -> String {
    format!("<circle class=\"f{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/>", frame.x(x), frame.y(y))
}

impl Rule {
    fn svg(&self, frame: &Frame) -> String {
        let y = frame.y(self.y);
        let line = format!("<path class=\"rule\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", frame.right);
        // The label is above the line, or below it at the top of the plot area.
        let label = if y < frame.top + 14.0 { y + 13.0 } else { y - 4.0 };
        line + &text(LEFT + 6.0, label, "note", "start", &self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<ChartSeries>) -> Chart {
        Chart {
            title: "Loss".into(),
            x: ChartAxis::new("epoch", Format::Whole),
            y: ChartAxis::new("loss, nats", Format::Number),
            series,
            ..Chart::default()
        }
    }

    fn numbers_after(svg: &str, key: &str) -> Vec<f64> {
        let part = |rest: &str| rest.split('"').next().unwrap().parse().unwrap();
        svg.split(&format!(" {key}=\"")).skip(1).map(part).collect()
    }

    #[test]
    fn the_same_numbers_give_the_same_text_and_names_are_escaped() {
        let series = || vec![ChartSeries::line("<b>&\"x'", 1, vec![[1.0, 2.0], [2.0, 1.0]]); 2];
        let svg = chart(series()).svg("a");
        assert_eq!(svg, chart(series()).svg("a"));
        assert!(svg.contains("&lt;b&gt;&amp;&quot;x&#39;") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("<title id=\"a-title\">Loss</title>"));
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out_and_empty_charts_are_drawn() {
        let svg =
            chart(vec![ChartSeries::line("a", 1, vec![[1.0, f64::NAN], [2.0, f64::INFINITY]])]).svg("a");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("class=\"line"), "{svg}");
        assert!(svg.ends_with("</svg>"));
    }

    #[test]
    fn values_can_be_read_out_again() {
        let svg = chart(vec![ChartSeries::line("a & b", 1, vec![[1.0, 0.0], [3.0, 1.0]])]).svg("a");
        assert!(
            svg.contains("data-across=\"1 3\" data-up=\"0 1\" data-unit=\"number\" data-axis=\"epoch\""),
            "{svg}"
        );
        let edges = svg.split("data-box=\"").nth(1).unwrap().split('"').next().unwrap();
        let edges: Vec<f64> = edges.split(' ').map(|edge| edge.parse().unwrap()).collect();
        // The line goes from the lower left to the upper right corner.
        let [left, top, right, bottom] = edges[..] else { panic!("{edges:?}") };
        let line = format!("data-name=\"a &amp; b\" d=\"M{left:.1} {bottom:.1}L{right:.1} {top:.1}\"");
        assert!(svg.contains(&line), "no {line}: {svg}");
    }

    #[test]
    fn a_file_has_the_namespace_and_the_colours() {
        let file = chart(vec![ChartSeries::line("a", 1, vec![[1.0, 0.5], [2.0, 1.5]])]).svg_file();
        assert!(file.starts_with("<svg class=\"chart\"") && file.ends_with("</svg>\n"), "{file}");
        assert!(file.contains("xmlns=\"http://www.w3.org/2000/svg\"><style>.chart"), "{file}");
        assert!(file.contains("--series-1:") && file.contains("class=\"line c1\""), "{file}");
    }

    #[test]
    fn a_single_point_is_visible() {
        assert!(chart(vec![ChartSeries::line("a", 1, vec![[1.0, 0.5]])]).svg("a").contains("<circle"));
    }

    #[test]
    fn labels_at_the_ends_never_overlap_and_stay_in_the_plot() {
        let lines =
            (0..6).map(|i| ChartSeries::line("line", i + 1, vec![[0.0, 0.0], [1.0, 1e-4 * i as f64]]));
        let svg = chart(lines.collect()).svg("a");
        let ends: Vec<f64> = svg.split("class=\"end").collect::<Vec<_>>()[..6]
            .iter()
            .map(|before| *numbers_after(before, "y").last().unwrap())
            .collect();
        assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= 13.9), "{ends:?}");
        assert!(ends.iter().all(|&y| y < 10.0 + 6.0 * LEGEND_LINE + PLOT_HEIGHT + 5.0), "{ends:?}");
    }

    #[test]
    fn everything_lies_inside_the_image() {
        let noise = (0..5000).map(|i| [f64::from(i), f64::from(i * 7919 % 1000)]).collect();
        let mut chart = chart(vec![
            ChartSeries::line("noise", 1, noise).with(Mark::Faint),
            ChartSeries::line("bars", 2, vec![[100.0, 500.0]]).with(Mark::Bars(50.0)),
            ChartSeries::line("dots", 3, vec![[0.0, 0.0], [5000.0, 1000.0]]).with(Mark::Dots),
        ]);
        chart.rules.push(Rule { label: "most".into(), y: 1200.0 });
        let svg = chart.svg("a");
        let xs: Vec<f64> = [numbers_after(&svg, "x"), numbers_after(&svg, "cx")].concat();
        assert!(xs.iter().all(|x| (0.0..=WIDTH).contains(x)), "{xs:?}");
        assert!(svg.len() < 12_000, "{} bytes", svg.len());
    }
}
