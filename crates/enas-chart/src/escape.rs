//! Text in XML and HTML.

use std::fmt::{self, Write};

/// A text for elements and attribute values of XML and HTML: displayed with their special characters escaped, and
/// control characters as in Rust.
///
/// ```
/// assert_eq!(enas_chart::Escaped("<b>&\"x'").to_string(), "&lt;b&gt;&amp;&quot;x&#39;");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() && c != '\n' => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}
