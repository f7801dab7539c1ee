//! A run as one HTML file that needs nothing else: no network, no script, no font, no file beside it.
//!
//! [`write()`] reads a run directory, finished or not, and says in `report.html` what was done, what came out of it,
//! how it went, where the network is wrong, and how to repeat it. What cannot be had any more, such as pictures that
//! were moved, is left out and named. [`chart`] draws the curves and can be used alone; [`Log`], [`curves()`] and
//! [`choice()`] make the same figures from what a run has logged so far.
//!
//! Equal runs give equal files, but for the time of writing and the measured speed.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let path = enas_report::write(Path::new("runs/digits-train-1"), &enas_report::Options::default())?;
//! println!("{}", path.display());
//! # Ok::<(), enas_report::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod chart;
mod curves;
mod error;
mod log;
mod machine;
mod page;
mod pictures;
mod predictions;
mod quality;
mod repeat;
mod run;
pub mod runs;
mod settings;
pub mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use askama::Template;
use enas_data::Dataset;
use enas_search::{Model, Record};

pub use curves::{Choice, Figure, Random, Ranked, choice, curves};
pub use error::{Error, Result};
pub use log::Log;
pub use run::planned_steps;
pub use settings::Settings;

/// The name of a report in a run directory.
pub const FILE_NAME: &str = "report.html";

/// What pages about runs look like: to be put into one after [`chart::STYLE`].
pub const STYLE: &str = include_str!("../templates/report.css");

/// Moves a network to where it shall compute.
pub type Place<'a> = &'a dyn Fn(&mut Model) -> enas_search::Result<()>;

/// What a report may use beside the run directory.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Where to write it; without it, `report.html` in the run directory.
    pub out: Option<&'a Path>,
    /// The pictures of the run, if they are loaded already.
    pub data: Option<&'a Dataset>,
    /// Moves the network to another device than the CPU before it predicts.
    pub place: Option<Place<'a>>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, place) = (self.data.map(|data| &data.name), self.place.is_some());
        f.debug_struct("Options").field("out", &self.out).field("data", &data).field("place", &place).finish()
    }
}

/// Writes the report of a run, complete or not at all, and returns its path.
///
/// # Errors
/// If `run` is no run directory, or the file cannot be written.
pub fn write(run: &Path, options: &Options<'_>) -> Result<PathBuf> {
    let record = Record::open(run)?;
    let out = options.out.map_or_else(|| run.join(FILE_NAME), Path::to_owned);
    let html = page::Page::new(&run::Facts::gather(&record, options, &out)).render()?;
    enas_search::write_file(&out, html.as_bytes())?;
    Ok(out)
}

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
