//! `enas runs`: compares the results of runs.

mod json;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use enas_report::runs::{Board, Sort};
use enas_search::Model;

use super::Context;
use super::bench::latency;
use crate::failure::{SUCCESS, usage};
use crate::output::visible;
use crate::terminal::stdout_width;

/// The default directory of runs.
const RUNS: &str = "runs";

/// Compare runs: accuracy with its 95 % interval, size, speed, time and settings
///
/// Runs on the same images are in one table. Unfinished and damaged runs are listed with what is known of them. An
/// automatic run is one entry, as are trainings with several seeds. Settings are compared with those of the first
/// search or training of the table.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas runs                                    all runs under runs/, the best first
  enas runs --data photos --sort params        those on one data set, the smallest network first
  enas runs runs/photos-train-1 runs/photos-auto-1
  enas runs --latency --html runs.html         also times every model; one page for the browser

An accuracy on test images comes before one on validation images. With --json, one line for each run.")]
pub(crate) struct Args {
    /// Run directories, or folders of runs [default: runs]
    #[arg(value_name = "DIR")]
    places: Vec<PathBuf>,
    /// Another way to write DIR; repeatable
    #[arg(long = "run", value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Only runs on the data set of this name
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// What comes first
    #[arg(long, value_name = "KEY", default_value = "accuracy")]
    sort: Key,
    /// Write the tables as one HTML file, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Time every model on single images, as `enas bench --model` does
    #[arg(long)]
    latency: bool,
}

/// What runs are put in order by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Key {
    /// The highest accuracy
    Accuracy,
    /// The fewest parameters
    Params,
    /// The fewest multiply-adds
    Macs,
    /// The lowest latency; only with --latency, or where the run recorded it
    Latency,
    /// The shortest wall time
    Time,
    /// The first name
    Name,
    /// The latest change
    Newest,
}

impl From<Key> for Sort {
    fn from(key: Key) -> Self {
        match key {
            Key::Accuracy => Self::Accuracy,
            Key::Params => Self::Params,
            Key::Macs => Self::Macs,
            Key::Latency => Self::Latency,
            Key::Time => Self::Time,
            Key::Name => Self::Name,
            Key::Newest => Self::Newest,
        }
    }
}

/// Runs `enas runs`.
///
/// # Errors
/// A usage error if a named directory is missing; an error if the page cannot be written.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    let named: Vec<&Path> = args.places.iter().chain(&args.runs).map(PathBuf::as_path).collect();
    if let Some(missing) = named.iter().find(|place| !place.is_dir()) {
        let shown = visible(&missing);
        return Err(usage(format!("{shown}: there is no such folder; name a run, or a folder of runs")));
    }
    let places = if named.is_empty() { vec![Path::new(RUNS)] } else { named };
    let mut board = Board::read(&places, args.data.as_deref());
    if args.latency {
        time(context, &mut board);
    }
    board.sort(args.sort.into());
    if board.rows().next().is_none() {
        context.console.note(&nothing(&places, args.data.as_deref()));
    }
    if board.more {
        context.console.note("there are more runs than are listed; name a folder with fewer");
    }
    if let Some(out) = &args.html {
        let title = args.data.as_ref().map_or("Runs".to_owned(), |data| format!("Runs on {data}"));
        let html = enas_report::runs::page(&board, &title, out)?;
        enas_search::write_file(out, html.as_bytes())?;
        context.console.note(&format!("written: {}", visible(&out)));
    }
    if context.out.json {
        for row in board.rows() {
            context.out.print_line(&json::Line::new(row))?;
        }
        return Ok(SUCCESS);
    }
    let text = table::text(&board, stdout_width());
    context.out.print(&(), |out| out.write_all(text.as_bytes()))?;
    Ok(SUCCESS)
}

/// Why the list is empty.
fn nothing(places: &[&Path], data: Option<&str>) -> String {
    let places: Vec<String> = places.iter().map(|place| visible(&place).into_owned()).collect();
    let on = data.map_or(String::new(), |name| format!(" on {name}"));
    format!("no runs{on} in {}; enas search, enas train and enas auto create them", places.join(", "))
}

/// Measures the latency of every model. A model that cannot be read is reported and stays without.
fn time(context: &Context, board: &mut Board) {
    for entry in board.entries_mut() {
        let Some(path) = entry.model.clone() else { continue };
        let timed =
            Model::load(&path).map_err(anyhow::Error::from).and_then(|model| latency::of_one_image(&model));
        match timed {
            Ok(ms) => entry.latency_ms = Some(ms),
            Err(error) => context.console.note(&format!("not timed: {error:#}")),
        }
    }
}
