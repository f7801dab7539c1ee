//! The start of a search: settings, images and the run, new or resumed.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{Kind, MemoryPlan, Run, SearchConfig};

use super::args::Search;
use crate::commands::choices::Asked;
use crate::commands::{Context, settings};
use crate::locate;
use crate::output::opening;

/// The first line of a search.
pub(super) fn first_line(data: &Dataset, config: &SearchConfig) -> String {
    opening(data, "Search of an architecture", config.run.time, Some(config.run.epochs))
}

/// Starts a new run.
///
/// # Errors
/// A usage error for invalid settings; errors of data and disk.
pub(super) fn started(
    context: &Context,
    args: &Search,
    gpu: Option<&Gpu>,
    began: Instant,
) -> Result<(SearchConfig, Run, Dataset)> {
    let images = args.images.path();
    let extent = Some(&args.extent);
    let given = args.settings();
    let read = settings::search(&given, images, extent)?;
    let asked = Asked { extent, ..Asked::of(&given) };
    let followed = asked.follow(context, &read.data, read.run.seed(), Kind::Search);
    let mut config = settings::search(&followed.settings, images, extent)?;
    settings::limit_memory(&mut config.run, args.memory);
    config.run.check_device(gpu)?;
    let plan = MemoryPlan::for_search(&config, gpu.is_some())?;
    let data = plan.load_prepared(&config.data, config.run.seed(), &followed.prepared)?;
    let mut run = Run::for_search(args.out.as_deref(), &config, &data)?;
    run.set_choices(&followed.choices)?;
    run.count_from(began);
    run.set_memory(plan)?;
    Ok((config, run, data))
}

/// Opens a run to go on with.
///
/// # Errors
/// A usage error for settings with which it cannot go on; errors of data and disk.
pub(super) fn resumed(args: &Search, dir: &Path, gpu: Option<&Gpu>) -> Result<(SearchConfig, Run, Dataset)> {
    locate::must_not_be_automatic(dir)?;
    let mut run = Run::resume(dir)?;
    let own = run.reader().config_builder::<SearchConfig>()?;
    let mut config: SearchConfig =
        settings::beside(own, &args.settings(), args.images.path(), Some(&args.extent))?;
    settings::limit_memory(&mut config.run, args.memory);
    run.accepts(&config)?;
    config.run.check_device(gpu)?;
    run.find_images(&config.data)?;
    let plan = MemoryPlan::for_search(&config, gpu.is_some())?;
    let data = run.load_data(&config.data, config.run.seed(), Some(&plan))?;
    run.adopt(&config)?;
    run.set_memory(plan)?;
    Ok((config, run, data))
}
