//! Runs in the browser while they run: a small server that only reads, for this machine alone.
//!
//! [`Server`] follows the logs of all runs in a folder and serves a page for each, with the figures of the report, and
//! one of all runs. Open pages are kept up to date by server-sent events. A run cannot notice: its files are opened for
//! reading only, nothing is locked, and what a request names is compared with the runs that were found, never made into
//! a path.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! let server = enas_watch::Server::open(Path::new("runs"), true, None)?;
//! println!("{}", server.url());
//! server.serve(&AtomicBool::new(false))?;
//! # Ok::<(), enas_watch::Error>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod follow;
mod http;
mod library;
mod page;
mod parts;

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use error::{Error, Result};
use library::Library;

/// A server that is ready to serve.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    library: Library,
    url: String,
}

impl Server {
    /// Opens a port of this machine for the runs at or below `root`.
    ///
    /// With `may_come`, the folder need not exist yet. Without a `port`, the first free one from 6007 on is taken; 0 is
    /// any that is free.
    ///
    /// # Errors
    /// [`Error::NoFolder`] when there is no such folder, [`Error::Port`] when the port cannot be had.
    pub fn open(root: &Path, may_come: bool, port: Option<u16>) -> Result<Self> {
        let library = Library::open(root, may_come)?;
        let listener = http::listen(port)?;
        let url = format!("http://{}/", listener.local_addr()?);
        Ok(Self { listener, library, url })
    }

    /// The address to open in a browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers requests until `stop` is true, which it looks at ten times a second.
    ///
    /// # Errors
    /// [`Error::Io`] when the system refuses what every server needs.
    pub fn serve(self, stop: &AtomicBool) -> Result<()> {
        http::serve(self.listener, self.library, stop)
    }
}

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
