//! Mapping of errors to exit codes. `main` prints errors.
//!
//! Errors in the user's request (flags, configuration, an arc) give 2, errors of the work itself 1.

use std::error::Error;
use std::fmt;
use std::io;

/// The command did what was asked.
pub(crate) const SUCCESS: u8 = 0;
/// The work failed: bad data, a file that cannot be read, a full disk.
pub(crate) const FAILED: u8 = 1;
/// The request itself is wrong: a flag, a configuration, an arc.
pub(crate) const USAGE: u8 = 2;
/// Stopped by Ctrl-C; the state is saved.
pub(crate) const INTERRUPTED: u8 = 130;
/// Stopped by SIGTERM; the state is saved.
pub(crate) const TERMINATED: u8 = 143;

/// An error in the user's request.
#[derive(Debug)]
pub(crate) struct Usage(anyhow::Error);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Usage {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A usage error with this message.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(anyhow::Error::msg(message.into())))
}

/// Conversion of errors to usage errors.
pub(crate) trait OrUsage<T> {
    /// Converts the error to a usage error, which ends the program with exit code 2.
    fn or_usage(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrUsage<T> for Result<T, E> {
    fn or_usage(self) -> anyhow::Result<T> {
        self.map_err(|e| anyhow::Error::new(Usage(e.into())))
    }
}

/// The exit code of the program for `error`.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_usage) { USAGE } else { FAILED }
}

/// The message to print: the chain of causes, without causes that a message already ends with.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_usage(cause: &(dyn Error + 'static)) -> bool {
    let search = cause.downcast_ref().is_some_and(|error| match error {
        enas_search::Error::Data(error) => error.is_usage(),
        enas_search::Error::Child(error) => is_setting(error),
        enas_search::Error::Controller(enas_controller::Error::Config { .. }) => true,
        error => error.is_usage(),
    });
    #[cfg(feature = "watch")]
    let search = search || cause.downcast_ref().is_some_and(enas_watch::Error::is_usage);
    search
        || cause.is::<Usage>()
        || cause.downcast_ref().is_some_and(enas_data::Error::is_usage)
        || cause.downcast_ref().is_some_and(enas_report::Error::is_usage)
        || cause.downcast_ref().is_some_and(is_setting)
}

/// Whether the error is due to settings or an arc that the user chose.
fn is_setting(error: &enas_child::Error) -> bool {
    matches!(error, enas_child::Error::Config { .. } | enas_child::Error::Arc(_))
}

/// Whether the reader of stdout has closed it, as in `enas … | head`. This is not an error.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn usage_survives_added_context() {
        let error = Err::<(), _>(usage("bad")).context("reading x").unwrap_err();
        assert_eq!(exit_code(&error), USAGE);
        assert_eq!(message(&error), "reading x: bad");
    }

    #[test]
    fn other_errors_are_failed_work() {
        assert_eq!(exit_code(&anyhow::anyhow!("disk full")), FAILED);
    }

    #[test]
    fn settings_that_the_libraries_refuse_are_usage() {
        let child =
            || enas_child::Error::Config { key: "child.filters", value: "3".into(), allowed: "even".into() };
        assert_eq!(exit_code(&child().into()), USAGE);
        assert_eq!(exit_code(&enas_search::Error::Child(child()).into()), USAGE);
        let missing = || enas_data::Error::Missing { path: "x".into() };
        assert_eq!(exit_code(&missing().into()), FAILED);
        assert_eq!(exit_code(&enas_search::Error::Data(missing()).into()), FAILED);
    }

    #[test]
    fn a_cause_that_is_quoted_already_is_not_repeated() {
        let source = io::Error::other("disk full");
        let error = enas_search::Error::Io { action: "cannot write", path: "x".into(), source };
        assert_eq!(message(&anyhow::Error::from(error).context("--out")), "--out: cannot write x: disk full");
    }

    #[test]
    fn a_broken_pipe_is_seen_through_context() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::Error::new(io::Error::from(io::ErrorKind::NotFound))));
    }
}
