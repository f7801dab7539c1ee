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
//! let path = enas_report::write(Path::new("runs/digits-train-1"), &enas_report::ReportOptions::default())?;
//! println!("{}", path.display());
//! # Ok::<(), enas_report::Error>(())
//! ```
#![forbid(unsafe_code)]

mod architecture;
mod auto;
mod curves;
mod error;
mod finals;
mod headlines;
mod log;
mod machine;
mod occlusion;
mod options;
mod page;
mod predictions;
mod quality;
mod repeat;
mod run;
pub mod runs;
mod search_choice;
mod settings;
mod style;
pub mod text;
mod thumbnails;

use std::path::{Path, PathBuf};

use askama::Template;
use enas_run::{AutoPhase, AutoRunReader, RunReader};

/// Charts as SVG.
pub use enas_chart as chart;

pub use architecture::CellDrawings;
pub use curves::{Figure, curves};
pub use error::{Error, Result};
pub use log::Log;
pub use machine::TIMED_IMAGES;
pub use options::{FILE_NAME, Place, ReportOptions};
pub use run::planned_steps;
pub use search_choice::{MetricChoice, Random, Ranked, choice};
pub use settings::RunSettings;
pub use style::STYLE;

/// Writes the report of a run atomically and returns its path.
///
/// `run` is a run directory or the directory of an automatic run. The report of an automatic run covers all its
/// phases.
///
/// # Errors
/// If `run` is neither, if an automatic run has nothing to report yet, or if the file cannot be written.
pub fn write(run: &Path, options: &ReportOptions<'_>) -> Result<PathBuf> {
    let out = options.out.map_or_else(|| run.join(FILE_NAME), Path::to_owned);
    let facts = if AutoRunReader::is_at(run) {
        let auto = AutoRunReader::open(run)?;
        let facts = run::RunSummary::gather(&delivered(&auto)?, options, &out);
        facts.of(&auto, options.seconds)
    } else {
        run::RunSummary::gather(&RunReader::open(run)?, options, &out)
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
