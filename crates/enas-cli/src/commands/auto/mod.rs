//! `enas auto`: trains a model from a directory of images with automatic choices.

mod args;
mod result;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use enas_arc::Arc;
use enas_data::Dataset;
use enas_data::check::{self, FindingKind, Report};
use enas_kernels::gpu::Gpu;
use enas_search::{
    AutoConfig, AutoOutcome, AutoPhase, AutoRun, CheckedData, Error, Kind, MemoryPlan, Preparation,
    SearchWhen, TimeLimit,
};

pub(crate) use self::args::Auto;
use self::args::Search;
use self::result::{Files, print};
use crate::args::Settings;
use crate::commands::choices::{self, Asked};
use crate::commands::{Context, report, settings, shell_word, use_threads};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::{duration, opening, sentence, visible};
use crate::progress::Watcher;
use crate::{arcs, device};

/// Bounds of the seconds reserved for report and export, which are a twentieth of the time limit.
const FINISH: (f64, f64) = (1.5, 10.0);
/// Runs `enas auto`.
///
/// # Errors
/// A usage error for invalid settings; errors of data, network and disk.
pub(crate) fn run(context: &Context, args: &Auto) -> Result<u8> {
    let began = Instant::now();
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    let loading = context.console.activity("checking and reading the images");
    let held = context.console.hold();
    let (config, data, mut run) = match &args.resume {
        Some(dir) => resumed(args, dir, gpu.is_some(), began)?,
        None => started(context, args, gpu.as_ref(), began)?,
    };
    if let Some(gpu) = &gpu {
        run.use_gpu(gpu.clone());
    }
    drop(loading);
    held.first(&opening(&data, work(&config), config.time, None));
    context.console.note(&format!("run: {}", visible(run.dir())));
    let place = shell_word(&config.train.data.path);
    let mut watcher = Watcher::new(&context.console, &interrupt)
        .of_auto(&place, config.cell.as_ref())
        .waiting("measuring the speed of this machine");
    let outcome = enas_search::auto(&config, &data, &mut run, &mut watcher);
    drop(watcher);
    match outcome {
        Ok(outcome) => {
            let files = write_files(context, &run, &outcome, &data, config.time, gpu.as_ref());
            print(context, &run, &outcome, &data, &files, config.cell.is_some())?;
            Ok(SUCCESS)
        }
        Err(error @ Error::Interrupted { .. }) => {
            let _ = write_interrupted(&error, &run);
            Ok(interrupt.code())
        }
        Err(error) => Err(error.into()),
    }
}

/// What an automatic run does, in words.
fn work(config: &AutoConfig) -> &'static str {
    match config.search_when {
        _ if config.cell.is_some() => "Training of the given cell, without a search",
        SearchWhen::Always => "Search of an architecture, and its training",
        SearchWhen::Never => "Training of a ready cell, without a search",
        SearchWhen::IfItPays => {
            "Training of a network; before it a search, if there are enough images and time"
        }
    }
}

/// Seconds that the time limit leaves; `None` without one.
fn left(run: &AutoRun, time: TimeLimit) -> Option<f64> {
    time.0.map(|limit| limit.as_secs_f64() - run.seconds())
}

/// Writes the reports and the ONNX file of a complete run.
fn write_files(
    context: &Context,
    run: &AutoRun,
    outcome: &AutoOutcome,
    data: &Dataset,
    time: TimeLimit,
    gpu: Option<&Gpu>,
) -> Files {
    if outcome.search_accuracy.is_some() {
        let _writing = context.console.activity("writing the report of the search");
        report::at_the_end(&run.phase_dir(AutoPhase::Search), data, None, left(run, time));
    }
    let writing = context.console.activity("writing the report");
    let report = report::of_auto(run, data, time, gpu);
    drop(writing);
    let _checking = context.console.activity("writing and checking the ONNX file");
    Files { onnx: onnx(&outcome.model, data, left(run, time)), report }
}

fn started(
    context: &Context,
    args: &Auto,
    gpu: Option<&Gpu>,
    began: Instant,
) -> Result<(AutoConfig, Dataset, AutoRun)> {
    let data = args.images.path();
    let cell = args.cell.as_deref().map(arcs::cell_given).transpose()?;
    let (mut for_search, mut for_training) = divided(&args.settings);
    let read = settings::search(&for_search, data, None)?;
    // Whatever is wrong in the settings is said before the images are read.
    read.must_be_of_cells("enas auto")?;
    settings::train_after(&read, &for_training, data, None)?;
    read.run.check_device(gpu)?;
    let asked = Asked { refits: true, time: args.time, ..Asked::of(&args.settings) };
    warn_of_slow_reading(context, &read.data, args.time);
    let mut choices = Vec::new();
    // The report is about the splits of the run, whose shares follow from a first report.
    let mut prepared = asked.prepared_images(&read.data);
    let report = check::check_and_prepare(&read.data, read.run.seed(), &mut prepared, |first| {
        choices = asked.is_open(&read.data).then(|| asked.choose(first))?;
        let settings = choices::below(&choices, Kind::Train, &for_training);
        settings::train(&settings, data, None).ok().map(|config| config.data)
    })?;
    let mut said = crate::commands::data::in_short(&report);
    said.retain(|line| !report.can_start || !is_said_by_loading(&report, line));
    said.iter().for_each(|line| context.console.note(line));
    let follows = asked.is_open(&read.data) && report.can_start;
    if !follows {
        choices.clear();
    }
    let images = report.classes.iter().map(|class| class.train).sum();
    let may_search = cell.is_none() && SearchWhen::from(args.search).searches(images, f64::INFINITY);
    let mut shown = choices.clone();
    shown.retain(|choice| may_search || choice.only != Some(Kind::Search));
    choices::announce(context, choices::FROM_IMAGES, &shown);
    for_search = choices::below(&choices, Kind::Search, &for_search);
    for_training = choices::below(&choices, Kind::Train, &for_training);
    let mut search = settings::search(&for_search, data, None)?;
    search.must_be_of_cells("enas auto")?;
    let mut train = settings::train_after(&search, &for_training, data, None)?;
    settings::limit_memory(&mut search.run, args.memory);
    train.run.memory = search.run.memory;
    train.child.nodes = cell.as_ref().map_or(search.child.nodes, Arc::n_nodes);
    let time = args.time.unwrap_or(TimeLimit(None));
    let finish = time.0.map_or(FINISH.1, |limit| (limit.as_secs_f64() / 20.0).clamp(FINISH.0, FINISH.1));
    let fits_network = follows && !["child.filters", "child.layers"].iter().any(|key| asked.sets(key));
    let search_when = args.search.into();
    let config = AutoConfig { search, train, time, finish, search_when, cell, fits_network };
    config.search.run.check_device(gpu)?;
    let seed = config.search.run.seed();
    let plan = MemoryPlan::for_both(&config.search, &config.train, gpu.is_some())?;
    tracing::info!("{plan}");
    let mut data = plan.load_prepared(&config.search.data, seed, &prepared)?;
    drop(prepared);
    // They were shown above; otherwise every phase would show them again.
    data.warnings.clear();
    let mut run = AutoRun::create(args.out.as_deref(), &config, &data, began)?;
    run.set_memory(plan);
    let check = Some(CheckedData::new(&report));
    run.note_preparation(Preparation { command: asked_command(args), check, choices })?;
    Ok((config, data, run))
}

/// Says at once if checking and reading the images will take longer than the time limit, which cannot shorten them.
fn warn_of_slow_reading(context: &Context, config: &enas_data::Config, time: Option<TimeLimit>) {
    let Some(limit) = time.and_then(|time| time.0).map(|limit| limit.as_secs_f64()) else { return };
    // An error is reported by the check.
    let Ok(reading) = enas_data::estimate_reading(config) else { return };
    let seconds = reading.as_secs_f64();
    if seconds > limit {
        context.console.note_at_once(&format!(
            "checking and reading the images takes about {}, and --time leaves {} for everything; after them only the \
             least is trained. Give a longer --time, or smaller copies of the images: the network sees {size} x {size} \
             pixels (data.image_size)",
            duration(seconds),
            duration(limit),
            size = config.image_size
        ));
    }
}

/// Whether this line of the check is about files that are left out. Loading the images names them, too.
fn is_said_by_loading(report: &Report, line: &str) -> bool {
    let of_files = report.findings.iter().filter(|finding| {
        matches!(finding.kind, FindingKind::Unlabelled | FindingKind::LeftOut | FindingKind::TooDeep)
    });
    of_files.into_iter().any(|finding| {
        let said = format!(": {}. {}", visible(&finding.summary), sentence(&finding.consequence));
        line.ends_with(&said)
    })
}

/// The command that starts such a run, without flags that do not influence the result.
fn asked_command(args: &Auto) -> String {
    let Auto { images, time, search, cell, settings, .. } = args;
    let word = |text: &str| shell_word(Path::new(text));
    let mut words = vec!["enas auto".to_owned()];
    words.extend(images.path().map(shell_word));
    words.extend(time.map(|time| format!("--time {time}")));
    words.extend((*search != Search::Auto).then(|| format!("--search {}", search.name())));
    words.extend(cell.iter().map(|cell| format!("--cell {}", word(cell))));
    words.extend(settings.preset.iter().map(|preset| format!("--preset {}", word(preset))));
    words.extend(settings.config.iter().map(|config| format!("--config {}", shell_word(config))));
    words.extend(settings.set.iter().map(|set| format!("--set {}", word(set))));
    words.extend(settings.seed.map(|seed| format!("--seed {seed}")));
    words.join(" ")
}

fn resumed(args: &Auto, dir: &Path, on_gpu: bool, began: Instant) -> Result<(AutoConfig, Dataset, AutoRun)> {
    let mut run = AutoRun::resume(dir, began)?;
    let AutoConfig { time, finish, search_when, cell, fits_network, .. } = run.config()?;
    let [search, train] = run.config_builders();
    let (for_search, for_training) = divided(&args.settings);
    let data = args.images.path();
    let mut config = AutoConfig {
        search: settings::beside(search, &for_search, data, None)?,
        train: settings::beside(train, &for_training, data, None)?,
        time: args.time.unwrap_or(time),
        finish,
        search_when,
        cell,
        fits_network,
    };
    settings::limit_memory(&mut config.search.run, args.memory);
    config.train.run.memory = config.search.run.memory;
    run.accepts(&config)?;
    run.find_images(&config)?;
    let plan = MemoryPlan::for_both(&config.search, &config.train, on_gpu)?;
    tracing::info!("{plan}");
    let data = run.load_data(&config, Some(&plan))?;
    run.adopt(&config)?;
    run.set_memory(plan);
    Ok((config, data, run))
}

/// Splits settings into those of the search and those of the trainings: some keys are known to one of them only.
fn divided(settings: &Settings) -> (Settings, Settings) {
    let table = |assignment: &String| assignment.split(['.', '=']).next().unwrap_or_default().to_owned();
    let only = |tables: &'static [&str]| {
        let set = settings.set.iter().filter(|a| !tables.contains(&table(a).as_str())).cloned().collect();
        Settings { set, ..settings.clone() }
    };
    (
        only(&["keep", "metric", "refit"]),
        only(&["space", "macro", "strategy", "controller", "reward", "select", "warmup", "finals", "limits"]),
    )
}

/// Shown even with `--quiet`: without it the user would not know what was saved.
fn write_interrupted(error: &Error, run: &AutoRun) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "{error}")?;
    if run.model_path().exists() {
        writeln!(err, "the best model so far: {}", visible(&run.model_path()))?;
    }
    writeln!(err, "go on with: enas auto --resume {}", shell_word(run.dir()))
}

/// Exports the model to ONNX, if possible and if the check fits into the seconds that are `left`. A failure does not
/// make the run fail.
#[cfg(feature = "export")]
fn onnx(model: &Path, data: &Dataset, left: Option<f64>) -> Option<PathBuf> {
    crate::commands::export::beside(model, data, left)
        .inspect_err(|error| {
            let again = format!("enas export --model {}", shell_word(model));
            tracing::warn!("no ONNX file was written: {error}; {again} writes one");
        })
        .ok()
}

#[cfg(not(feature = "export"))]
fn onnx(_: &Path, _: &Dataset, _: Option<f64>) -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_to_those_who_know_them() {
        let set =
            ["run.seed=3", "keep=last", "select.samples=4", "child.filters=8"].map(String::from).to_vec();
        let (search, train) = divided(&Settings { set, ..Settings::default() });
        assert_eq!(search.set, ["run.seed=3", "select.samples=4", "child.filters=8"]);
        assert_eq!(train.set, ["run.seed=3", "keep=last", "child.filters=8"]);
    }
}
