//! `enas report`: writes one HTML file about a run. `search` and `train` use it at their end.

use std::path::{Path, PathBuf};

use anyhow::Result;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_report::{ReportOptions, TIMED_IMAGES};
use enas_search::{AutoRun, FollowUpWork, Kind, Model, Run, TimeLimit};
use serde::Serialize;

use super::{Context, shell_word, use_threads};
use crate::args::{Machine, RunPlace, output_path};
use crate::failure::{SUCCESS, usage};
use crate::output::visible;
use crate::{device, locate};

/// Write one HTML file about a run: result, drawings, curves, mistakes, and how to repeat it
///
/// The file needs no network connection and no other file. Searches, trainings and automatic runs write it at their
/// end. This command writes it again, also for unfinished runs. The report of an automatic run covers all its phases.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas report runs/digits-train-1
  enas report --run runs/digits-search-1 --out search.html
  enas report runs/photos-auto-1               all phases of an automatic run

Classes, confusions, calibration and mistakes need the images of the run at their original place.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: RunPlace,
    /// The file to write [default: report.html in the run directory]
    #[arg(long, value_name = "FILE", value_parser = output_path())]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

/// Runs `enas report`.
///
/// # Errors
/// If the run cannot be read or the file cannot be written.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(serialize_with = "crate::output::path")]
        path: &'a Path,
    }
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let dir = args.place.path().ok_or_else(|| usage("no run given: enas report RUN, or --run DIR"))?;
    // Fails with advice if an automatic run has nothing to report yet.
    locate::reported(dir)?;
    let writing = context.console.activity("reading the run and writing the report");
    let path =
        write(dir, ReportOptions { out: args.out.as_deref(), ..ReportOptions::default() }, gpu.as_ref())?;
    drop(writing);
    context.out.print(&Written { path: &path }, |out| writeln!(out, "{}", visible(&path)))?;
    Ok(SUCCESS)
}

/// Writes the report of a run that has just ended and whose result is printed already.
///
/// A failure is only a warning; it does not make the run fail.
///
/// Under a time limit, which leaves the seconds `left`, it leaves out what would take too long.
pub(crate) fn at_the_end(run: &Path, data: &Dataset, gpu: Option<&Gpu>, left: Option<f64>) {
    let options = ReportOptions { data: Some(data), left, ..ReportOptions::default() };
    if let Err(error) = write(run, options, gpu) {
        tracing::warn!(
            "no report was written: {error}; solve that and run enas report --run {}",
            shell_word(run)
        );
    }
}

/// The share of a time limit that is reserved for writing the page of a report.
const WRITING: f64 = 0.025;
/// Bounds of those seconds.
const WRITING_SECONDS: (f64, f64) = (0.3, 3.0);

/// Prepares a run for the report that follows it within its time limit.
pub(crate) fn reserve(run: &mut Run, data: &Dataset, time: TimeLimit) {
    let Some(limit) = time.0 else { return };
    let predicted = match run.kind() {
        Kind::Search => 0,
        Kind::Train => data.valid.len() + data.test.len(),
    };
    let seconds = (WRITING * limit.as_secs_f64()).clamp(WRITING_SECONDS.0, WRITING_SECONDS.1);
    run.set_follow_up(FollowUpWork { images: TIMED_IMAGES + predicted, seconds });
}

/// Seconds that the time limit of a run leaves; `None` without one.
pub(crate) fn left(run: &Run, time: TimeLimit) -> Option<f64> {
    Some(time.0?.as_secs_f64() - run.before().as_secs_f64() - run.seconds())
}

/// Writes the report of an automatic run to its directory, like [`at_the_end`], and returns the path.
///
/// Under a time limit, the report leaves out what would take too long.
pub(crate) fn of_auto(run: &AutoRun, data: &Dataset, time: TimeLimit, gpu: Option<&Gpu>) -> Option<PathBuf> {
    let seconds = run.seconds();
    let left = time.0.map(|limit| limit.as_secs_f64() - seconds);
    let options =
        ReportOptions { data: Some(data), seconds: Some(seconds), left, ..ReportOptions::default() };
    write(run.dir(), options, gpu)
        .inspect_err(|error| {
            let again = format!("enas report --run {}", shell_word(run.dir()));
            tracing::warn!("no report was written: {error}; solve that and run {again}");
        })
        .ok()
}

fn write(run: &Path, options: ReportOptions<'_>, gpu: Option<&Gpu>) -> enas_report::Result<PathBuf> {
    let place = |model: &mut Model| gpu.map_or(Ok(()), |gpu| model.use_gpu(gpu));
    enas_report::write(run, &ReportOptions { place: Some(&place), ..options })
}
