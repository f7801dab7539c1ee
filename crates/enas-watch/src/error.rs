//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use enas_report::text::visible;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Problems of a single run are not errors: its page shows them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory does not exist.
    #[error("{path}: there is no such folder; name a run, or a folder of runs", path = visible(.path))]
    NoFolder {
        /// The requested path.
        path: PathBuf,
    },
    /// The port is in use or not permitted.
    #[error("cannot listen on 127.0.0.1:{port} (choose another --port, or 0 for any that is free): {source}")]
    Port {
        /// The requested port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operating system refused a resource that every server needs.
    #[error("cannot serve pages: {0}")]
    Io(#[from] io::Error),
    /// A page could not be rendered.
    #[error("cannot format the page: {0}")]
    Page(#[from] askama::Error),
    /// A figure could not be rendered.
    #[error(transparent)]
    Report(#[from] enas_report::Error),
}

impl Error {
    /// Whether the request caused the error (wrong arguments or paths) rather than the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoFolder { .. })
    }
}
