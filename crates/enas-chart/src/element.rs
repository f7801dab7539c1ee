//! SVG elements that all charts consist of.

use crate::escape::Escaped;

/// Width of a chart in chart units, which are pixels at natural size.
///
/// On a phone a chart is about 330 pixels wide; its texts of 12.5 units are then 10 pixels high.
pub(crate) const WIDTH: f64 = 400.0;

/// Opens an SVG element with title and description. `id` must be unique in the page.
pub(crate) fn open(id: &str, height: f64, title: &str, description: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{}</title>\
         <desc id=\"{id}-desc\">{}</desc>",
        Escaped(title),
        Escaped(description)
    )
}

/// A text element.
pub(crate) fn text(x: f64, y: f64, class: &str, anchor: &str, content: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>",
        Escaped(content)
    )
}

/// Upper bound on the width of a text in chart units. Fonts differ, so wide letters are assumed.
pub(crate) fn width_of(text: &str) -> f64 {
    6.6 * text.chars().count() as f64
}
