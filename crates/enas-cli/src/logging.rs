//! Log lines of all crates to stderr, without tearing the progress bars. Not results, not the final error.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Shown;
use crate::messages::Console;

/// Starts logging: warnings by default, errors alone with `--quiet`, more with `-v`; `RUST_LOG` refines.
pub(crate) fn start(shown: Shown, console: &Console) {
    let level = match (shown.quiet, shown.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        // What cannot be written to stderr cannot be reported there either; trying to would end the program.
        .log_internal_errors(false)
        .with_writer(AboveBars(console.clone()))
        .init();
}

/// Writes each log line above the bars.
struct AboveBars(Console);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone())
    }
}

struct Line(Console);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.above_bars(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
