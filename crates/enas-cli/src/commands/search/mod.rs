//! `enas search`: finds an architecture and prints it with a comparison to random ones that were measured alike.

mod args;
mod repeat;
mod result;
mod start;

use std::time::Instant;

use anyhow::Result;
use enas_search::Kind;

pub(crate) use self::args::Search;
use self::result::print;
use self::start::{first_line, resumed, started};
use crate::commands::subject::FinalSize;
use crate::commands::{Context, interrupted, report, use_threads};
use crate::device;
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::progress::Watcher;

/// Runs `enas search`.
///
/// # Errors
/// A usage error for invalid settings; errors of data, network and disk.
pub(crate) fn run(context: &Context, args: &Search) -> Result<u8> {
    let began = Instant::now();
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    if let Some(times) = args.repeat {
        return repeat::run(context, args, times, gpu, &interrupt);
    }
    let loading = context.console.activity("reading the images");
    let held = context.console.hold();
    let (config, mut run, data) = match &args.extent.resume {
        Some(dir) => resumed(args, dir, gpu.as_ref())?,
        None => started(context, args, gpu.as_ref(), began)?,
    };
    if let Some(gpu) = gpu {
        run.use_gpu(gpu)?;
    }
    report::reserve(&mut run, &data, config.run.time);
    drop(loading);
    held.first(&first_line(&data, &config));
    let mut watcher = Watcher::new(&context.console, &interrupt).waiting("preparing the search");
    match enas_search::search_any(&config, &data, &mut run, &mut watcher) {
        Ok(found) => {
            // The reader of stdout may have gone by now, so an error of printing must not prevent the report.
            drop(watcher);
            let preset = args.settings.preset.as_deref();
            let printed =
                print(context, &found, preset, FinalSize::of(&config, preset, &found.arc, &data), &data);
            let writing = context.console.activity("writing the report");
            report::at_the_end(&found.run, &data, None, report::left(&run, config.run.time));
            drop(writing);
            printed.map(|()| SUCCESS)
        }
        Err(error) => {
            drop(watcher);
            interrupted(error, Kind::Search, &interrupt)
        }
    }
}
