//! `cargo xtask fetch-data`: provides a public data set as directories of PNG files.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use enas_datasets::{DataSet, Fetch, Progress, Unit};
use indicatif::{ProgressBar, ProgressStyle};

/// Download a public data set, or take it from archives on disk, and unpack it to folders of PNG files.
///
/// The result is DEST/NAME/{train,valid,test}/CLASS/NNNNN.png, complete or absent. Interrupted downloads go
/// on where they stopped. A data set that exists already stays as it is. `enas data fetch` does the same.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which data set
    #[arg(value_parser = names())]
    name: DataSet,
    /// Take the archives from this folder instead of the network. They are the original *-ubyte.gz or *-ubyte files; or
    /// cifar-10-binary.tar.gz or cifar-10-python.tar.gz (PATH may also be such an archive, under any name); or
    /// train.zip, valid.zip and test.zip with the class folders at their top level
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Folder that will hold the data set's folder
    #[arg(long, value_name = "DIR", default_value = "data")]
    dest: PathBuf,
}

fn names() -> impl TypedValueParser<Value = DataSet> {
    let values = DataSet::ALL.map(|data_set| PossibleValue::new(data_set.name()).help(data_set.about()));
    PossibleValuesParser::new(values).map(|name| DataSet::named(&name).expect("it is one of the names"))
}

/// Runs the command and prints what was done.
pub(crate) fn run(args: &Args) -> Result<()> {
    let fetched = Fetch::new(args.name, &args.dest).from(args.from.clone()).run(&Bars::default())?;
    println!("{fetched}");
    Ok(())
}

/// Provides the built-in digits below `dest` and returns their directory.
pub(crate) fn digits(dest: &Path) -> Result<PathBuf> {
    Ok(Fetch::new(DataSet::Digits, dest).run(&())?.folder)
}

/// Progress bars on standard error; invisible if that is not a terminal.
pub(crate) struct Bars(Mutex<ProgressBar>);

impl Default for Bars {
    fn default() -> Self {
        Self(Mutex::new(ProgressBar::hidden()))
    }
}

impl Bars {
    fn bar(&self) -> ProgressBar {
        self.0.lock().expect("nobody panics with the bar in hand").clone()
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str, unit: Unit) {
        let numbers = match unit {
            Unit::Bytes => "{bytes}/{total_bytes} {bytes_per_sec} {eta}",
            Unit::Images => "{pos}/{len} images {eta}",
        };
        let style = ProgressStyle::with_template(&format!("{{msg}} [{{bar:30}}] {numbers}"));
        let style = style.expect("the template is one of two in this function");
        let bar = ProgressBar::new(0).with_style(style).with_message(what.to_owned());
        *self.0.lock().expect("nobody panics with the bar in hand") = bar;
    }

    fn set_length(&self, length: u64) {
        self.bar().set_length(length);
    }

    fn set_position(&self, position: u64) {
        self.bar().set_position(position);
    }

    fn inc(&self, more: u64) {
        self.bar().inc(more);
    }

    fn end(&self) {
        self.bar().finish_and_clear();
    }

    fn warn(&self, message: &str) {
        self.bar().suspend(|| eprintln!("warning: {message}"));
    }
}
