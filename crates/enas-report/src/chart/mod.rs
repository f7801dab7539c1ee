//! Charts as SVG: pure functions from series of numbers to text. Nothing here knows runs, files or clocks.
//!
//! Colours are CSS variables with a light and a dark value ([`STYLE`], to be put into a page once), so that a chart
//! follows the page around it. Each chart has a title and a description for screen readers, and can be had as a
//! [`Table`].

mod axis;
mod dots;
mod lines;
mod table;
mod thin;

pub use axis::{Axis, Format};
pub use dots::{DotPlot, DotRow};
pub use lines::{Chart, Mark, Rule, Series};
pub use table::Table;
pub use thin::thinned;

/// What charts look like: colours for light and dark, lines, texts.
pub const STYLE: &str = include_str!("chart.css");

/// Width of a chart in its own units, which are pixels at its natural size. On a telephone a chart has about 330
/// pixels and its texts, of 12.5 units, 10 of them.
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

/// A text as it stands in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
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

/// How wide a text will be at most, in chart units: fonts differ, so wide letters are assumed.
fn width_of(text: &str) -> f64 {
    6.6 * text.chars().count() as f64
}
