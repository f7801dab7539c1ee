//! The page that stands where there is none.

use askama::Template;

use crate::error::Result;

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing;

/// The document.
pub(crate) fn missing() -> Result<String> {
    Ok(Missing.render()?)
}
