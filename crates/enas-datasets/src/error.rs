//! The error type.

/// Why a data set cannot be provided. One line names the file or address, the problem and the remedy.
///
/// There are no kinds to distinguish: nothing was written, and the same call can be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Error(anyhow::Error);

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}
