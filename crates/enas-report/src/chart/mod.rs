//! Charts as SVG: pure functions from series of numbers to text, independent of runs, files and clocks.
//!
//! Colours are CSS variables with a value for light and one for dark pages. A page includes [`STYLE`] once, and its
//! charts follow its colour scheme. Each chart has a title and a description for screen readers, and can also be
//! written as a [`ChartTable`].

mod axis;
mod dots;
mod lines;
mod table;
mod thin;

use crate::text::visible;

pub use axis::{ChartAxis, Format};
pub use dots::{DotPlot, DotRow};
pub use lines::{Chart, ChartSeries, Mark, Rule};
pub use table::ChartTable;
pub use thin::thinned;

/// The style sheet of charts: colours for light and dark pages, lines, texts.
pub const STYLE: &str = include_str!("chart.css");

/// Width of a chart in chart units, which are pixels at natural size.
///
/// On a phone a chart is about 330 pixels wide; its texts of 12.5 units are then 10 pixels high.
const WIDTH: f64 = 400.0;

/// Opens an SVG element with title and description. `id` must be unique in the page.
fn open(id: &str, height: f64, title: &str, description: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{}</title>\
         <desc id=\"{id}-desc\">{}</desc>",
        escaped(title),
        escaped(description)
    )
}

/// A text element.
fn text(x: f64, y: f64, class: &str, anchor: &str, content: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(content)
    )
}

/// The text with control characters and XML's special characters escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Upper bound on the width of a text in chart units. Fonts differ, so wide letters are assumed.
fn width_of(text: &str) -> f64 {
    6.6 * text.chars().count() as f64
}
