//! The errors of this crate.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. A run with missing files is not an error: the report says what is missing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run cannot be read or the report cannot be written.
    #[error(transparent)]
    Run(#[from] enas_run::Error),
    /// The page could not be rendered.
    #[error("cannot format the report: {0}")]
    Page(#[from] askama::Error),
}

impl Error {
    /// Whether the request caused the error (wrong arguments or paths) rather than the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Run(error) if error.is_usage())
    }
}
