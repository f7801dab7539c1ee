//! Why nothing can be watched.

use std::io;
use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. What is wrong with a single run is said on its page instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such folder.
    #[error("{path}: there is no such folder; name a run, or a folder that holds some", path = .path.display())]
    NoFolder {
        /// What was asked for.
        path: PathBuf,
    },
    /// The port is taken or forbidden.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; choose another --port, or 0 for any that is free")]
    Port {
        /// What was asked for.
        port: u16,
        /// Why it failed.
        source: io::Error,
    },
    /// The system refused what every server needs.
    #[error("cannot serve pages: {0}")]
    Io(#[from] io::Error),
    /// A page could not be put together.
    #[error("cannot lay out the page: {0}")]
    Page(#[from] askama::Error),
    /// A figure could not be put together.
    #[error(transparent)]
    Report(#[from] enas_report::Error),
}

impl Error {
    /// Whether the mistake lies in what was asked and not in the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoFolder { .. })
    }
}
