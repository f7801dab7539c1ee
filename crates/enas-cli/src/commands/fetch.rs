//! `enas data fetch`: provides a public data set as directories of PNG files.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use enas_datasets::{DataSet, Fetch as Fetching, Progress, Unit};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{Context, shell_word};
use crate::args::output_path;
use crate::failure::{SUCCESS, usage};
use crate::messages::Console;
use crate::output;

/// Download a public data set, or take it from archives on disk, as folders of PNG files
///
/// The result is DEST/NAME/{train,valid,test}/CLASS/NNNNN.png, complete or absent. Everything downloaded is checked by
/// its SHA-256 sum. An interrupted download goes on where it stopped. A data set that exists already stays as it is.
///
/// Exit codes: 0 the folder is complete, 1 it is not available, 2 bad usage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas data fetch digits
  enas data fetch fashion-mnist                to data/fashion-mnist
  enas data fetch cifar10 --from ~/Downloads   archives that are on disk already
  enas search --preset fashion-mnist           searches on data/fashion-mnist")]
pub(crate) struct Fetch {
    /// Which data set
    #[arg(value_name = "NAME", value_parser = names())]
    name: DataSet,
    /// Take the archives from this folder instead of the network. They are the original *-ubyte.gz or *-ubyte files; or
    /// cifar-10-binary.tar.gz or cifar-10-python.tar.gz (PATH may also be such an archive, under any name); or
    /// train.zip, valid.zip and test.zip with the class folders at their top level
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Folder that will hold the data set's folder
    #[arg(long, value_name = "DIR", value_parser = output_path(), default_value = "data")]
    dest: PathBuf,
}

fn names() -> impl TypedValueParser<Value = DataSet> {
    let values = DataSet::ALL.map(|data_set| PossibleValue::new(data_set.name()).help(data_set.about()));
    PossibleValuesParser::new(values).map(|name| DataSet::named(&name).expect("it is one of the names"))
}

#[derive(Serialize)]
struct Document {
    name: &'static str,
    #[serde(serialize_with = "output::path")]
    folder: PathBuf,
    train: usize,
    valid: usize,
    test: usize,
    published: bool,
    was_there: bool,
}

/// Runs `enas data fetch`.
///
/// # Errors
/// A usage error for built-in images with `--from`; an error if the data set is not available.
pub(crate) fn run(context: &Context, args: &Fetch) -> Result<u8> {
    if args.name.is_built_in() && args.from.is_some() {
        return Err(usage("these images are built in: leave --from out"));
    }
    let shown = Shown { console: &context.console, bar: Mutex::new(None) };
    let fetched = Fetching::new(args.name, &args.dest).from(args.from.clone()).run(&shown)?;
    let document = Document {
        name: args.name.name(),
        folder: fetched.folder.clone(),
        train: fetched.images.train,
        valid: fetched.images.valid,
        test: fetched.images.test,
        published: fetched.published,
        was_there: fetched.was_there,
    };
    context.out.print(&document, |out| {
        writeln!(out, "{fetched}")?;
        writeln!(out, "\nnext: enas search {}", shell_word(&fetched.folder))
    })?;
    Ok(SUCCESS)
}

/// The progress of a download: bars on a terminal, otherwise a line every few seconds.
struct Shown<'a> {
    console: &'a Console,
    bar: Mutex<Option<(String, ProgressBar)>>,
}

impl Shown<'_> {
    fn lock(&self) -> MutexGuard<'_, Option<(String, ProgressBar)>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the bar. If stderr is not a terminal, also sets the status line.
    fn with_bar(&self, change: impl FnOnce(&ProgressBar)) {
        let bar = self.lock();
        let Some((what, bar)) = bar.as_ref() else { return };
        change(bar);
        if !self.console.is_terminal() {
            let done = bar.position();
            let all = bar.length().unwrap_or(0);
            self.console.set_status("", format!("{what}  {done}/{all}"));
        }
    }
}

impl Progress for Shown<'_> {
    fn begin(&self, what: &str, unit: Unit) {
        let unit = match unit {
            Unit::Bytes => "bytes",
            Unit::Images => "images",
        };
        let label = format!("{what} {unit}");
        let visible = self.console.is_terminal() && !self.console.is_quiet();
        let bar = if visible { self.console.bar(&label, 0) } else { ProgressBar::hidden() };
        *self.lock() = Some((label, bar));
    }

    fn set_length(&self, length: u64) {
        self.with_bar(|bar| bar.set_length(length));
    }

    fn set_position(&self, position: u64) {
        self.with_bar(|bar| bar.set_position(position));
    }

    fn inc(&self, more: u64) {
        self.with_bar(|bar| bar.inc(more));
    }

    fn end(&self) {
        if let Some((_, bar)) = self.lock().take() {
            bar.finish_and_clear();
        }
        self.console.clear_status("");
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}
