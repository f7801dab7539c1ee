//! `enas config`: prints the effective settings, checks a file, lists the presets.

use anyhow::{Context as _, Result};
use enas_search::{ConfigBuilder, SMALL_FILE, SearchConfig, Settings, TrainConfig, presets, read_text};
use serde::Serialize;

use super::{Context, settings};
use crate::args::{self, Job};
use crate::failure::{OrUsage, SUCCESS};

/// Runs `enas config …`.
///
/// # Errors
/// A usage error for invalid settings.
pub(crate) fn run(context: &Context, command: &args::Config) -> Result<u8> {
    match command {
        args::Config::Show(args) => show(context, args),
        args::Config::Check(args) => check(context, args),
        args::Config::Presets => list(context),
    }?;
    Ok(SUCCESS)
}

fn show(context: &Context, args: &args::ConfigShow) -> Result<()> {
    match args.job {
        Job::Search => print(context, &settings::search(&args.settings, None, None)?),
        Job::Train => print(context, &settings::train(&args.settings, None, None)?),
    }
}

fn print(context: &Context, config: &impl Settings) -> Result<()> {
    let text = toml::to_string(config).context("settings that TOML cannot express")?;
    context.out.print(config, |out| out.write_all(text.as_bytes()))
}

fn check(context: &Context, args: &args::ConfigCheck) -> Result<()> {
    let layers = args.set.iter().fold(ConfigBuilder::file(&args.file), |layers, set| layers.set(set));
    let job = match args.job {
        Some(job) => job,
        None => job_of(&args.file)?,
    };
    match job {
        Job::Search => checked(context, args, job, &layers.load::<SearchConfig>().or_usage()?),
        Job::Train => checked(context, args, job, &layers.load::<TrainConfig>().or_usage()?),
    }
}

fn checked(context: &Context, args: &args::ConfigCheck, job: Job, config: &impl Settings) -> Result<()> {
    context
        .out
        .print(config, |out| writeln!(out, "{}: ok, settings for `enas {}`", args.file.display(), job.name()))
}

/// The command that a file is for: only files for a search have these tables. The check reports files that do not
/// parse.
fn job_of(file: &std::path::Path) -> Result<Job> {
    let text =
        read_text(file, SMALL_FILE).with_context(|| format!("cannot read {}", file.display())).or_usage()?;
    let search_only = ["strategy", "controller", "reward", "select"];
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let is_train = !table.is_empty() && !search_only.iter().any(|key| table.contains_key(*key));
    Ok(if is_train { Job::Train } else { Job::Search })
}

fn list(context: &Context) -> Result<()> {
    #[derive(Serialize)]
    struct Listed {
        name: &'static str,
        about: &'static str,
    }
    let listed: Vec<Listed> = presets().iter().map(|p| Listed { name: p.name, about: p.about }).collect();
    let width = listed.iter().map(|p| p.name.len()).max().unwrap_or(0);
    context
        .out
        .print(&listed, |out| listed.iter().try_for_each(|p| writeln!(out, "{:width$}  {}", p.name, p.about)))
}
