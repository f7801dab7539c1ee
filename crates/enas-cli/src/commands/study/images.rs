//! `enas study DATA`: trains found and random architectures and compares them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use enas_kernels::gpu::Gpu;
use enas_search::{Error, Kind, SearchConfig};
use enas_study::{Clock, ImageTrainer, SessionEnd, Study, StudyConfig, StudyCounts, StudySummary};
use serde::Serialize;

use super::watcher::StudyWatcher;
use crate::args::{self, output_path, whole};
use crate::commands::choices::Asked;
use crate::commands::{Context, settings, shell_word, use_threads};
use crate::device;
use crate::failure::{OrUsage, SUCCESS, usage};
use crate::interrupt::Interrupt;
use crate::output::{duration, opening, path, visible};
use crate::terminal::{command, paragraph, stdout_width, strong, warned};

/// Maximum number of architectures or searches of one kind.
const MOST: usize = 100_000;
/// The prefix of settings of the recipe, by which all architectures are trained.
const OF_RECIPE: &str = "train.";

/// What a study of images is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    images: args::Images,
    /// Random architectures [default: 40]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(2, MOST))]
    pool: Option<usize>,
    /// Random wide architectures: all nodes read the inputs of their cell only [default: 12]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(0, MOST))]
    wide: Option<usize>,
    /// Searches, each with another seed [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(0, MOST))]
    searches: Option<usize>,
    /// Trainings of each random architecture; architectures found get one more [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, MOST))]
    seeds: Option<usize>,
    /// Training images to use, of all classes in proportion [default: all]
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = whole(1, usize::MAX))]
    train_images: Option<usize>,
    /// Validation images to use [default: all]
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = whole(1, usize::MAX))]
    valid_images: Option<usize>,
    /// End after this time with the results so far, as in 90s, 30m or 2h; --resume goes on
    #[arg(long, value_name = "DURATION", value_parser = args::time_limit)]
    time: Option<enas_search::TimeLimit>,
    /// The directory of the study; must not exist or be empty [default: runs/DATA-study-N]
    #[arg(long, value_name = "DIR", value_parser = output_path(), conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Go on with a study; more architectures, searches and seeds may be asked for
    #[arg(long, value_name = "DIR", conflicts_with_all = ["preset", "config", "set", "seed"])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    settings: args::Settings,
    #[command(flatten)]
    machine: args::Machine,
    #[command(flatten)]
    memory: args::Memory,
}

impl Args {
    /// The seed of a table study.
    pub(super) fn seed(&self) -> u64 {
        self.settings.seed.unwrap_or(0)
    }
}

/// Starts or resumes a study of images.
///
/// # Errors
/// A usage error for invalid settings; errors of images, network and disk.
pub(super) fn run(context: &Context, args: &Args) -> Result<u8> {
    let began = Instant::now();
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    let loading = context.console.activity("checking and reading the images");
    let held = context.console.hold();
    let (mut study, mut trainer) = match &args.resume {
        Some(dir) => resumed(args, dir, gpu)?,
        None => started(context, args, gpu)?,
    };
    drop(loading);
    held.first(&opening(
        trainer.data(),
        "Study of found and random architectures",
        args.time.unwrap_or(enas_search::TimeLimit(None)),
        None,
    ));
    context.console.note(&format!("{}; Ctrl-C keeps what is finished", visible(study.dir())));
    let clock = Clock::new(began, args.time.and_then(|limit| limit.0));
    let mut watcher = StudyWatcher::new(&context.console, &interrupt);
    let ended = study.run(&mut trainer, clock, &mut watcher);
    drop(watcher);
    match ended {
        Ok(ended) => {
            let _writing = context.console.activity("writing the summary");
            let summary = study.summary();
            study.write(&summary)?;
            let seconds = began.elapsed().as_secs_f64();
            print(context, &study, &summary, ended, seconds)?;
            Ok(SUCCESS)
        }
        Err(Error::Interrupted { run }) => {
            let _ = writeln!(
                io::stderr(),
                "interrupted; what is finished is in {}\ngo on with: enas study --resume {}",
                visible(&run),
                shell_word(&run)
            );
            Ok(interrupt.code())
        }
        Err(error) => Err(error.into()),
    }
}

fn started(context: &Context, args: &Args, gpu: Option<Gpu>) -> Result<(Study, ImageTrainer)> {
    let config = asked(context, args)?;
    let trainer = ImageTrainer::load(&config, gpu)?;
    let study = Study::create(args.out.as_deref(), &config, trainer.data())?;
    Ok((study, trainer))
}

fn resumed(args: &Args, dir: &Path, gpu: Option<Gpu>) -> Result<(Study, ImageTrainer)> {
    let mut study = Study::resume(dir)?;
    study.extend(args.counts(study.config().counts))?;
    let mut config = study.config().clone();
    settings::limit_memory(&mut config.search.run, args.memory);
    if let Some(path) = args.images.path() {
        let path = enas_data::resolve_path(path);
        config.search.data.path.clone_from(&path);
        config.train.data.path = path;
    }
    let trainer = ImageTrainer::load(&config, gpu)?;
    study.check_data(trainer.data())?;
    Ok((study, trainer))
}

/// The configuration of the study that the arguments describe.
fn asked(context: &Context, args: &Args) -> Result<StudyConfig> {
    let (of_recipe, of_search): (Vec<String>, Vec<String>) =
        args.settings.set.iter().cloned().partition(|assignment| assignment.starts_with(OF_RECIPE));
    let given = args::Settings { set: of_search, ..args.settings.clone() };
    let read = settings::search(&given, args.images.path(), None)?;
    let followed = Asked::of(&given).follow(context, &read.data, read.run.seed(), Kind::Search);
    let mut search: SearchConfig = settings::search(&followed.settings, args.images.path(), None)?;
    search.must_be_of_cells("enas study")?;
    settings::limit_memory(&mut search.run, args.memory);
    let of_recipe: Vec<String> = of_recipe.iter().map(|set| set[OF_RECIPE.len()..].to_owned()).collect();
    if let Some(set) = of_recipe.iter().find(|set| set.starts_with("data.path")) {
        return Err(usage(format!(
            "--set {OF_RECIPE}{set}: searches and trainings have the same images; give DATA"
        )));
    }
    let mut config = StudyConfig::new(search, &of_recipe).or_usage()?;
    config.counts = args.counts(config.counts);
    (config.train_images, config.valid_images) = (args.train_images, args.valid_images);
    Ok(config)
}

impl Args {
    /// The requested counts, with those of `stands` where nothing is requested.
    fn counts(&self, stands: StudyCounts) -> StudyCounts {
        let seeds = self.seeds.map(|seeds| seeds as u64);
        StudyCounts {
            pool: self.pool.unwrap_or(stands.pool),
            wide: self.wide.unwrap_or(stands.wide),
            searches: self.searches.unwrap_or(stands.searches),
            seeds: seeds.unwrap_or(stands.seeds),
            pick_seeds: seeds.map_or(stands.pick_seeds, |seeds| seeds + 1),
            controls: stands.controls,
        }
    }
}

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(serialize_with = "path")]
    study: &'a Path,
    complete: bool,
    /// Duration of this session.
    seconds: f64,
    #[serde(flatten)]
    summary: &'a StudySummary,
}

fn print(
    context: &Context,
    study: &Study,
    summary: &StudySummary,
    ended: SessionEnd,
    seconds: f64,
) -> Result<()> {
    let complete = ended == SessionEnd::Complete;
    let document = Document { study: study.dir(), complete, seconds, summary };
    context.out.print(&document, |out| {
        writeln!(out, "{}\n", strong(&paragraph("", &summary.conclusion(), stdout_width())))?;
        write_table(out, &summary.table())?;
        writeln!(out)?;
        for (name, finding) in summary.findings() {
            writeln!(out, "{}", paragraph(&format!("{name:<16}"), &finding, stdout_width()))?;
        }
        for missing in &summary.missing {
            writeln!(out, "{}", warned(&paragraph("note            ", missing, stdout_width())))?;
        }
        writeln!(out, "{:<16}{}", "time", duration(seconds))?;
        writeln!(out, "{:<16}{}", "study", visible(study.dir()))?;
        writeln!(out, "{:<16}{}", "page", visible(&study.page_path()))?;
        if !complete {
            let next = format!("enas study --resume {}", shell_word(study.dir()));
            writeln!(out, "\nThe time is up; go on with: {}", command(&next))?;
        }
        Ok(())
    })
}

/// Writes a table with aligned columns: the first to the left, all others to the right.
fn write_table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cell = |(i, text): (usize, &String)| {
            if i == 0 { format!("{text:<w$}", w = widths[i]) } else { format!("{text:>w$}", w = widths[i]) }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "number"], ["longer", "7"]].map(|row| row.map(str::to_owned).to_vec());
        let mut out = Vec::new();
        write_table(&mut out, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a       number\nlonger       7\n");
    }
}
