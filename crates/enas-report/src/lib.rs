//! A run as one self-contained HTML file, without scripts and without references to other files or to a network.
//!
//! [`write()`] reads a run directory, finished or not, and writes `report.html`. The page says what was done, what
//! the result is, how the run went, where the network is wrong, and how to repeat the run. What is missing, such as
//! images that were moved, is left out and named.
//!
//! [`chart`] draws curves and can be used alone. [`Log`], [`curves()`] and [`choice()`] make the same figures from
//! what a run has logged so far.
//!
//! Equal runs give equal files, except for the time of writing and the measured speed.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let path = enas_report::write(Path::new("runs/digits-train-1"), &enas_report::Options::default())?;
//! println!("{}", path.display());
//! # Ok::<(), enas_report::Error>(())
//! ```
#![forbid(unsafe_code)]

mod auto;
pub mod chart;
mod curves;
mod error;
mod finals;
mod headlines;
mod log;
mod machine;
mod occlusion;
mod page;
mod predictions;
mod quality;
mod repeat;
mod run;
pub mod runs;
mod settings;
pub mod text;
mod thumbnails;

use std::fmt;
use std::path::{Path, PathBuf};

use askama::Template;
use enas_data::Dataset;
use enas_run::{AutoPhase, AutoRunReader, Model, RunReader};

pub use curves::{Choice, Figure, Random, Ranked, choice, curves};
pub use error::{Error, Result};
pub use log::Log;
pub use run::planned_steps;
pub use settings::Settings;

/// The name of a report in a run directory.
pub const FILE_NAME: &str = "report.html";

/// The style sheet of pages about runs; to be included after [`chart::STYLE`].
pub const STYLE: &str = include_str!("../templates/report.css");

/// Moves a network to the device that computes.
pub type Place<'a> = &'a dyn Fn(&mut Model) -> enas_run::Result<()>;

/// Optional inputs of a report.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// The file to write; `None` means `report.html` in the run directory.
    pub out: Option<&'a Path>,
    /// The images of the run, if they are loaded already.
    pub data: Option<&'a Dataset>,
    /// Moves the network to a device other than the CPU before it predicts.
    pub place: Option<Place<'a>>,
    /// Wall time of an automatic run so far, in seconds; `None` takes the time that its directory records.
    pub seconds: Option<f64>,
    /// Seconds that the whole report may take; `None` means no limit. With too little time, maps of occlusion
    /// sensitivity are left out.
    pub left: Option<f64>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, place) = (self.data.map(|data| &data.name), self.place.is_some());
        let mut options = f.debug_struct("Options");
        options.field("out", &self.out).field("data", &data).field("place", &place);
        options.field("seconds", &self.seconds).field("left", &self.left).finish()
    }
}

/// Writes the report of a run atomically and returns its path.
///
/// `run` is a run directory or the directory of an automatic run. The report of an automatic run covers all its
/// phases.
///
/// # Errors
/// If `run` is neither, if an automatic run has nothing to report yet, or if the file cannot be written.
pub fn write(run: &Path, options: &Options<'_>) -> Result<PathBuf> {
    let out = options.out.map_or_else(|| run.join(FILE_NAME), Path::to_owned);
    let facts = if AutoRunReader::is_at(run) {
        let auto = AutoRunReader::open(run)?;
        let facts = run::Facts::gather(&delivered(&auto)?, options, &out);
        facts.of(&auto, options.seconds)
    } else {
        run::Facts::gather(&RunReader::open(run)?, options, &out)
    };
    let html = page::Page::new(&facts).render()?;
    enas_run::write_file(&out, html.as_bytes())?;
    Ok(out)
}

/// The run whose network is the result of an automatic run. Before there is one, the last phase that has begun.
fn delivered(auto: &AutoRunReader) -> Result<RunReader> {
    let phases = [AutoPhase::Train, AutoPhase::Search, AutoPhase::First];
    let found = auto.best().into_iter().chain(phases).find_map(|phase| auto.phase(phase));
    // No phase has begun: opening the first one fails with an error that says what is missing.
    found.map_or_else(|| Ok(RunReader::open(&auto.dir().join(AutoPhase::First.folder()))?), Ok)
}

/// Compiles and runs the example in `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
