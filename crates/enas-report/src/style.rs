//! The style sheet of all pages.

/// The style sheet of pages about runs; to be included after [`chart::STYLE`](crate::chart::STYLE).
pub const STYLE: &str = include_str!("../templates/report.css");
