//! The page for paths that do not exist (404).

use askama::Template;

use crate::error::Result;

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing;

/// The HTML document.
pub(crate) fn missing() -> Result<String> {
    Ok(Missing.render()?)
}
