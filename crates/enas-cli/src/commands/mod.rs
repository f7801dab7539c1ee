//! The commands, one per file: each calls the libraries and prints their results.

pub(crate) mod arc;
pub(crate) mod augment;
pub(crate) mod auto;
pub(crate) mod bench;
mod choices;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod draw;
pub(crate) mod eval;
#[cfg(feature = "export")]
pub(crate) mod export;
mod fetch;
mod finals;
mod inputs;
pub(crate) mod predict;
pub(crate) mod prove;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod search;
mod settings;
pub(crate) mod shell;
pub(crate) mod study;
mod subject;
pub(crate) mod train;
#[cfg(feature = "watch")]
pub(crate) mod watch;

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use enas_search::{Error, Kind};

use crate::interrupt::Interrupt;
use crate::messages::Console;
use crate::output::Output;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// The output of results.
    pub(crate) out: Output,
    /// The output of progress and messages.
    pub(crate) console: Console,
}

/// Sets the number of threads for all computations.
///
/// # Errors
/// If the threads cannot be started.
fn use_threads(threads: Option<usize>) -> anyhow::Result<()> {
    let Some(n) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(n).build_global().with_context(|| format!("--threads {n}"))
}

/// Prints how to resume an interrupted run and returns its exit code.
///
/// # Errors
/// Every error other than an interruption.
fn interrupted(error: Error, kind: Kind, interrupt: &Interrupt) -> anyhow::Result<u8> {
    let Error::Interrupted { run } = &error else { return Err(error.into()) };
    // Printed even with --quiet: without it the user would not know that the state was saved.
    let _ = writeln!(io::stderr(), "{error}\ngo on with: enas {kind} --resume {}", shell_word(run));
    Ok(interrupt.code())
}

/// Says how a run goes on that ended because a file could not be written, as on a full disk.
fn saved_before(error: &Error, kind: Kind, run: &Path) {
    if matches!(error, Error::Io { .. }) && run.join("manifest.json").is_file() {
        let again = format!("once that is mended, go on with: enas {kind} --resume {}", shell_word(run));
        let _ = writeln!(io::stderr(), "{again}");
    }
}

/// The path, quoted for a shell if necessary.
fn shell_word(path: &Path) -> String {
    enas_report::text::shell_word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word(Path::new("runs/digits-search-1")), "runs/digits-search-1");
        assert_eq!(shell_word(Path::new("my run's")), r"'my run'\''s'");
        assert_eq!(shell_word(Path::new("-x/model.safetensors")), "./-x/model.safetensors");
    }
}
