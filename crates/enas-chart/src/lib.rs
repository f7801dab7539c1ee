//! Charts as SVG: pure functions from series of numbers to text, independent of runs, files and clocks.
//!
//! Colours are CSS variables with a value for light and one for dark pages. A page includes [`STYLE`] once, and its
//! charts follow its colour scheme. Each chart has a title and a description for screen readers, and can also be
//! written as a [`ChartTable`].
#![forbid(unsafe_code)]

mod axis;
mod dots;
mod element;
mod escape;
mod lines;
mod table;
mod thin;

pub use axis::{ChartAxis, Format};
pub use dots::{DotPlot, DotRow};
pub use escape::Escaped;
pub use lines::{Chart, ChartSeries, Mark, Rule};
pub use table::ChartTable;
pub use thin::thinned;

/// The style sheet of charts: colours for light and dark pages, lines, texts.
pub const STYLE: &str = include_str!("chart.css");

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
