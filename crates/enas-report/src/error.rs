//! Why a report could not be written.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. What is merely missing from a run is said in the report instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run cannot be read, or the report not be written.
    #[error(transparent)]
    Run(#[from] enas_search::Error),
    /// The page could not be put together.
    #[error("cannot lay out the report: {0}")]
    Page(#[from] askama::Error),
}

impl Error {
    /// Whether the mistake lies in what was asked and not in the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Run(error) if error.is_usage())
    }
}
