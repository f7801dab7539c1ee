//! Live pages about runs in a browser: a small read-only HTTP server that only this machine can reach.
//!
//! [`Server`] follows the logs of all runs in a directory. It serves a page for each run, with the figures of the
//! report, and an overview. Server-sent events (SSE) keep open pages up to date.
//!
//! Runs are not affected: files are opened for reading only and nothing is locked. The name in a request is compared
//! with the runs that were found; it never becomes a path.
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
mod page;
mod parts;
mod run_catalog;

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use error::{Error, Result};
use run_catalog::RunCatalog;

/// A server with an open port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    run_catalog: RunCatalog,
    url: String,
}

impl Server {
    /// Opens a port of this machine for the runs at or below `root`.
    ///
    /// With `may_come`, the directory need not exist yet. `port` 0 means any free port; without a `port`, the server
    /// takes the first free one from 6007 on.
    ///
    /// # Errors
    /// [`Error::NoFolder`] if the directory does not exist, [`Error::Port`] if the port is not available.
    pub fn open(root: &Path, may_come: bool, port: Option<u16>) -> Result<Self> {
        let run_catalog = RunCatalog::open(root, may_come)?;
        let listener = http::listen(port)?;
        let url = format!("http://{}/", listener.local_addr()?);
        Ok(Self { listener, run_catalog, url })
    }

    /// The address to open in a browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers requests until `stop` is true, which is checked ten times a second.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses a resource that every server needs.
    pub fn serve(self, stop: &AtomicBool) -> Result<()> {
        http::serve(self.listener, self.run_catalog, stop)
    }
}

/// Compiles and runs the example in `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
