//! Writes log lines of all crates to stderr without damaging the progress bars.

use std::env;
use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Shown;
use crate::messages::Console;

/// Starts logging: warnings by default, only errors with `--quiet`, more with `-v`. `RUST_LOG` overrides the levels.
pub(crate) fn start(shown: Shown, console: &Console) {
    let level = match (shown.quiet, shown.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    let refined = env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        // `console` knows `NO_COLOR` and the like.
        .with_ansi(console::colors_enabled_stderr())
        .with_target(false)
        .without_time()
        // An error of writing to stderr could only be reported there, which would end the program.
        .log_internal_errors(false)
        .with_writer(AboveBars(console.clone()));
    let filter = refined.unwrap_or_else(|| Targets::new().with_default(level));
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// A writer that prints each log line above the bars.
struct AboveBars(Console);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone())
    }
}

struct Line(Console);

impl Write for Line {
    /// `tracing_subscriber` writes each event with one call.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.log(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
