//! What can go wrong.

/// Why a data set cannot be had: one line that names the file or address, what is wrong with it, and the way out.
///
/// There is nothing to decide by its kind: nothing was written, and the same call can be made again.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Error(anyhow::Error);

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}
